"""Writes the model card from figures.json, so that the two cannot disagree."""

import json
from pathlib import Path
from typing import Any

from training.tb_smear_afb.where import PACKAGE

FIGURES = Path(__file__).parent / "figures.json"
TEXT = Path(__file__).parent / "card.md"


def _precisions(figures: dict[str, Any]) -> str:
    rows = ["| precision | F1 (95 % interval) | precision | recall | F1, IoU 0.3 |", "| --- | --- | --- | --- | --- |"]
    for name, found in figures["precisions"].items():
        low, high = found["f1_ci95"]
        numbers = f"{found['f1']:g} ({low:g} to {high:g}) | {found['precision']:g} | {found['recall']:g} | {found['f1_iou03']:g}"
        rows.append(f"| {name.upper()} | {numbers} |")
    return "\n".join(rows)


def render(figures: dict[str, Any], text: str) -> str:
    """The card: the words of card.md with every figure filled in."""
    mark, _, per_area, count = figures["rules"]
    grades, made, int8 = figures["grades"], figures["made_up"], figures["precisions"]["int8"]
    values = {
        "MARK": f"{mark:g}",
        "COUNT": f"{count:g}",
        "PER_AREA": f"{per_area:g}",
        "HELD": ", ".join(figures["held_out"]),
        "STEPS": f"{figures['steps']}",
        "PRECISIONS": _precisions(figures),
        "THRESHOLDS": ", ".join(f"{value:g} at {score}" for score, value in figures["thresholds"].items()),
        "TRAINED": f"{figures['trained_fields']:g}",
        "CHANGES": "\n".join(f"| {name} | {value:g} |" for name, value in figures["changes"].items()),
        "SCALES": "\n".join(f"| {s['width']} ({name}) | {s['f1']:g} | {s['ms']} |" for name, s in figures["scales"].items()),
        "SCANNED": ", ".join(f"{value:g} at {um}" for um, value in figures["scanned"].items()),
        "SMEARS": f"{grades['smears_per_grade']}",
        "GRADES": ", ".join(f"{name} {share:g}" for name, share in grades["right"].items()),
        "RIGHT": f"{grades['right_all']:g}",
        "TRUE": f"{made['true']}",
        "COUNTED": f"{made['counted']}",
        "MARKED": f"{made['marked']}",
        "MADE": f"{made['f1']:g}",
        "AP_BACILLUS": f"{int8['ap03_bacillus']:g}",
        "AP_CLUSTER": f"{int8['ap03_cluster']:g}",
    }
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


def write() -> None:
    """Writes MODEL_CARD.md into the package; seal the package afterwards."""
    (PACKAGE / "MODEL_CARD.md").write_text(render(json.loads(FIGURES.read_text()), TEXT.read_text()))
