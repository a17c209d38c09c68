"""Writes the model card from figures.json, so that the two cannot disagree."""

import json
from pathlib import Path
from typing import Any

from training.thyroid_us_nodule.evaluate import TIMED
from training.thyroid_us_nodule.where import PACKAGE

FIGURES = Path(__file__).parent / "figures.json"
TEXT = Path(__file__).parent / "card.md"
_NAMES = {
    "all": "all pictures with a nodule",
    "small": "nodule below 5 % of the picture",
    "large": "nodule above 20 % of the picture",
    "cystic": "cystic",
    "spongiform": "spongiform",
    "mixed": "mixed cystic and solid",
    "solid": "solid",
    "unseen": "drawn without the limit of visibility",
}


def _interval(values: list[float]) -> str:
    return f"{values[0]:g} to {values[1]:g}"


def overlaps(figures: dict[str, Any]) -> str:
    """The table of Dice figures."""
    rows = ["| test phantoms | pictures | mean Dice (95 % interval) | median Dice |", "| --- | --- | --- | --- |"]
    for name, found in figures["overlap"].items():
        rows.append(
            f"| {_NAMES[name]} | {found['cases']} | {found['mean']:g} ({_interval(found['mean_ci95'])}) | {found['median']:g} |"
        )
    return "\n".join(rows)


def features(figures: dict[str, Any]) -> str:
    """The table of the features."""
    rows = ["| feature | measure | value (95 % interval) | share of the commonest value |", "| --- | --- | --- | --- |"]
    for name, found in figures["features"].items():
        common = f"{found['commonest']:g}" if "commonest" in found else "-"
        rows.append(f"| {name} | {found['measure']} | {found['value']:g} ({_interval(found['ci95'])}) | {common} |")
    return "\n".join(rows)


def precisions(figures: dict[str, Any]) -> str:
    """The table of the precisions side by side."""
    rows = [f"| precision | mean Dice | ms a picture on one core, fastest of {TIMED} |", "| --- | --- | --- |"]
    rows += [f"| {name.upper()} | {found['dice']:g} | {found['ms']:g} |" for name, found in figures["precisions"].items()]
    return "\n".join(rows)


def changes(figures: dict[str, Any]) -> str:
    """The table of changed pictures."""
    rows = ["| the same pictures | mean Dice |", "| --- | --- |", f"| as drawn | {figures['overlap']['all']['mean']:g} |"]
    return "\n".join([*rows, *(f"| {name} | {value:g} |" for name, value in figures["changed"].items())])


def validated(figures: dict[str, Any]) -> dict[str, str]:
    """Figures of the phantoms that choices were made with."""
    overlap, objects = figures["validation"]["overlap"], figures["validation"]["objects"]
    return {"VALIDATED_PICTURES": f"{overlap['cases'] + objects['empty']}", "VALIDATED_DICE": f"{overlap['mean']:g}"}


def int8(figures: dict[str, Any]) -> str:
    """What quantisation cost, in points of Dice."""
    table = figures["precisions"]
    return f"{100 * (table['fp32']['dice'] - table['int8']['dice']):.1f}"


def render(figures: dict[str, Any], text: str) -> str:
    """The card: the words of card.md with every figure filled in."""
    objects, training = figures["objects"], figures["training"]
    values = {
        "OVERLAPS": overlaps(figures),
        "FEATURES": features(figures),
        "PRECISIONS": precisions(figures),
        "CHANGED": changes(figures),
        "INT8_COST": int8(figures),
        **validated(figures),
        **{f"OBJECTS_{key.upper()}": f"{value}" for key, value in objects.items()},
        **{f"TRAINED_{key.upper()}": f"{value}" for key, value in training.items()},
    }
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


def write() -> None:
    """Writes MODEL_CARD.md into the package; seal the package afterwards."""
    (PACKAGE / "MODEL_CARD.md").write_text(render(json.loads(FIGURES.read_text()), TEXT.read_text()))
