"""Writes the model card from figures.json, so that the two cannot disagree."""

import json
from pathlib import Path
from typing import Any

from training.chest_ct_opacity.real import READINGS
from training.chest_ct_opacity.where import PACKAGE

FIGURES = Path(__file__).parent / "figures.json"
TEXT = Path(__file__).parent / "card.md"


def _interval(values: list[float]) -> str:
    return f"{values[0]:g} to {values[1]:g}"


def _row(what: str, of: str, found: dict[str, Any]) -> str:
    figures = (f"{found[key]:g} ({_interval(found[key + '_ci95'])})" for key in ("pooled", "mean"))
    return f"| {what} | {of} | {' | '.join(figures)} |"


def overlaps(figures: dict[str, Any]) -> str:
    """The table of Dice figures."""
    slices, phantoms = figures["annotated_slices"], figures["phantoms"]
    n = slices["infection"]["cases"]
    rows = [
        "| what | on | Dice of all pixels together (95 % interval) | mean Dice of the cases (95 % interval) |",
        "| --- | --- | --- | --- |",
        _row("both opacities together", f"{n} annotated slices held out", slices["infection"]),
        _row("ground-glass opacity", f"{slices['ground_glass']['cases']} of them", slices["ground_glass"]),
        _row("consolidation", f"{slices['consolidation']['cases']} of them", slices["consolidation"]),
        _row("left and right lung", f"the same slices ({slices['lungs']['cases']} lungs)", slices["lungs"]),
        _row(
            "left and right lung",
            f"CT slices of two patients held out ({figures['ct_slices_lungs']['cases']} lungs)",
            figures["ct_slices_lungs"],
        ),
        _row("left and right lung", f"{phantoms['sick_volumes']} diseased phantom volumes", phantoms["lungs"]),
        _row("both opacities together", "the same phantom volumes", phantoms["infection"]),
    ]
    return "\n".join(rows)


def painted(figures: dict[str, Any]) -> str:
    """The table of the volumes with painted opacities."""
    rows = [
        "| opacities painted into | volumes | slices, affected | ROC AUC of the slices, neighbours counted (95 % interval over "
        "volumes) | each slice by itself | mean Dice of the volumes |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, words in (("real_lung", "the real normal study"), ("phantoms", "phantoms")):
        found = figures["painted"][name]
        infection = f"{found['infection']['mean']:g} ({_interval(found['infection']['mean_ci95'])})"
        areas = [f"{area['auc']:g} ({_interval(area['auc_ci95'])})" for area in (found, found["alone"])]
        counts = f"{found['volumes']} | {found['slices']}, {found['affected']}"
        rows.append(f"| {words} | {counts} | {' | '.join(areas)} | {infection} |")
    return "\n".join(rows)


def precisions(figures: dict[str, Any]) -> str:
    """The table of the precisions side by side."""
    rows = [
        "| precision | Dice of both opacities, all pixels together | mean Dice of the slices | lungs |",
        "| --- | --- | --- | --- |",
    ]
    for name, found in figures["precisions"].items():
        rows.append(f"| {name.upper()} | {found['infection']:g} | {found['infection_mean']:g} | {found['lungs']:g} |")
    return "\n".join(rows)


def readings(figures: dict[str, Any]) -> str:
    """The table of the held-out slices with other Hounsfield units."""
    rows = [
        "| grey levels | Dice of both opacities, all pixels together | mean Dice of the slices | lungs |",
        "| --- | --- | --- | --- |",
    ]
    for name, found in figures["readings"].items():
        words = "{}: air {:g}, tissue {:g} HU".format(name, *READINGS[name])
        rows.append(f"| {words} | {found['infection']:g} | {found['infection_mean']:g} | {found['lungs']:g} |")
    return "\n".join(rows)


def stress(figures: dict[str, Any]) -> str:
    """The table of the normal study made unlike itself."""
    rows = ["| the study | percent of the lung called opacity | Dice of the lungs |", "| --- | --- | --- |"]
    rows += [f"| {name} | {found['opacity_percent']:g} | {found['lung_dice']:g} |" for name, found in figures["stress"].items()]
    return "\n".join(rows)


def choice(figures: dict[str, Any]) -> str:
    """The table of what favouring opacity does."""
    table = figures["choice"]
    values = list(next(iter(table.values())))
    rows = [f"| favoured by | {' | '.join(values)} |", "| --- " * (1 + len(values)) + "|"]
    rows += [f"| {kind} | {' | '.join(f'{row[value]:g}' for value in values)} |" for kind, row in table.items()]
    return "\n".join(rows)


def render(figures: dict[str, Any], text: str) -> str:
    """The card: the words of card.md with every figure filled in."""
    phantoms, normal = figures["phantoms"], figures["real_normal_study"]
    values = {
        "OVERLAPS": overlaps(figures),
        "PAINTED": painted(figures),
        "PRECISIONS": precisions(figures),
        "READINGS": readings(figures),
        "STRESS": stress(figures),
        "CHOICE": choice(figures),
        "NORMAL_VOLUMES": f"{phantoms['normal_volumes']}",
        "FALSE_MEAN": f"{phantoms['false_opacity_percent_mean']:g}",
        "FALSE_CI": _interval(phantoms["false_opacity_percent_ci95"]),
        "FALSE_WORST": f"{phantoms['false_opacity_percent_worst']:g}",
        "PHANTOM_LUNG_ERROR": f"{phantoms['lung_volume_error_percent_mean']:g}",
        **{f"REAL_{key.upper()}": f"{value}" for key, value in normal.items()},
        **{f"TRAINED_{key.upper()}": f"{value}" for key, value in figures["training"].items()},
    }
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


def write() -> None:
    """Writes MODEL_CARD.md into the package; seal the package afterwards."""
    (PACKAGE / "MODEL_CARD.md").write_text(render(json.loads(FIGURES.read_text()), TEXT.read_text()))
