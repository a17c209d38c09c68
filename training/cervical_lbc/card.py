"""Writes the model card from figures.json, so that the two cannot disagree."""

import json
from pathlib import Path
from typing import Any

from training.cervical_lbc.where import LEAST_INDEX, PACKAGE, SURE

FIGURES = Path(__file__).parent / "figures.json"
TEXT = Path(__file__).parent / "card.md"
PRECISIONS = ("fp32", "bf16", "int8")
SLIDES = {"cells held out": "slides", "cells trained on": "slides_seen"}


def _share(found: dict[str, Any]) -> str:
    low, high = found["ci95"]
    return f"{found['share']:g} ({low:g} to {high:g})"


def _singles(figures: dict[str, Any]) -> str:
    rows = ["| precision | seven classes | NILM, LSIL, HSIL | normal or abnormal | AUC |", "| --- | --- | --- | --- | --- |"]
    for name in PRECISIONS:
        one = figures[name]
        shares = " | ".join(_share(one[key]) for key in ("seven_classes", "bethesda_three", "normal_abnormal"))
        rows.append(f"| {name.upper()} | {shares} | {one['auc_abnormal']:g} |")
    return "\n".join(rows)


def _tile(name: str, found: dict[str, Any]) -> str:
    return f"| {name} | {found['map_seven']:g} | {found['map_bethesda']:g} | {found['ap_any_cell']:g} |"


def _slides(name: str, found: dict[str, Any]) -> str:
    return f"| {name} | {found['slides']} | {found['auc']:g} | {found['sensitivity']:g} | {found['specificity']:g} |"


def _targets(single: dict[str, Any], field: dict[str, Any]) -> str:
    rows = (
        ("seven classes, single cells", 0.9, single["seven_classes"]["share"]),
        ("normal or abnormal, single cells", 0.98, single["normal_abnormal"]["share"]),
        ("mean average precision of seven classes, composed fields, tile 1024", 0.6, field["map_seven"]),
    )
    lines = (f"| {name}: {asked:g} | {got:g} | {'yes' if got >= asked else 'no'} |" for name, asked, got in rows)
    return "\n".join(lines)


def render(figures: dict[str, Any], text: str) -> str:
    """The card: the words of card.md with every figure filled in."""
    singles, lone, fields = (figures[key] for key in ("singles", "lone", "fields"))
    values = {
        "HELD": f"{singles['fp32']['seven_classes']['cells']}",
        "SINGLES": _singles(singles),
        "CHANGES": "\n".join(f"| {name} | {value:g} |" for name, value in singles["changes"].items()),
        "FOUND": _share(lone["found"]),
        "LONE7": _share(lone["seven_classes"]),
        "LONE2": _share(lone["normal_abnormal"]),
        "PER": f"{lone['objects_per_picture']:g}",
        "FIELDS": f"{fields['fields']}",
        "CELLS": f"{fields['cells']}",
        "TILES": "\n".join(_tile(name, found) for name, found in fields["tiles"].items()),
        "SLIDES": "\n".join(_slides(name, figures[key]) for name, key in SLIDES.items()),
        "TARGETS": _targets(singles["int8"], fields["tiles"]["1024"]),
        "SURE": f"{SURE:g}",
        "LEAST": f"{LEAST_INDEX:g}",
    }
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


def write() -> None:
    """Writes MODEL_CARD.md into the package; seal the package afterwards."""
    (PACKAGE / "MODEL_CARD.md").write_text(render(json.loads(FIGURES.read_text()), TEXT.read_text()))
