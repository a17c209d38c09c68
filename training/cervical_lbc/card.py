"""Writes the model card from figures.json, so that the two cannot disagree."""

import json
from pathlib import Path
from typing import Any

from training.cervical_lbc.where import LEAST_INDEX, PACKAGE, SURE

FIGURES = Path(__file__).parent / "figures.json"
TEXT = Path(__file__).parent / "card.md"
NAMES = ("superficial", "intermediate", "columnar", "mild", "moderate", "severe", "in situ")  # as in where.CLASSES
PRECISIONS = ("fp32", "bf16", "int8")
SHARES = ("seven_classes", "bethesda_three", "normal_abnormal")
SLIDES = {"cells trained on, the limit set on them": "setting", "cells held out": "judged"}


def _share(found: dict[str, Any]) -> str:
    low, high = found["ci95"]
    return f"{found['share']:g} ({low:g} to {high:g})"


def _singles(figures: dict[str, Any]) -> str:
    rows = ["| precision | seven classes | NILM, LSIL, HSIL | normal or abnormal | AUC |", "| --- | --- | --- | --- | --- |"]
    for name in PRECISIONS:
        one = figures[name]
        shares = " | ".join(_share(one[key]) for key in SHARES)
        rows.append(f"| {name.upper()} | {shares} | {one['auc_abnormal']:g} |")
    return "\n".join(rows)


def _table(rows: list[list[int]]) -> str:
    head = ["| true, named: | " + " | ".join(NAMES) + " |", "| --- " * 8 + "|"]
    return "\n".join([*head, *(f"| {name} | " + " | ".join(map(str, row)) + " |" for name, row in zip(NAMES, rows, strict=True))])


def _tile(name: str, found: dict[str, Any]) -> str:
    return f"| {name} | {found['map_seven']:g} | {found['map_bethesda']:g} | {found['ap_any_cell']:g} |"


def _slides(name: str, found: dict[str, Any]) -> str:
    return f"| {name} | {found['slides']} | {found['auc']:g} | {found['sensitivity']:g} | {found['specificity']:g} |"


def _changed(name: str, found: dict[str, Any]) -> str:
    return f"| {name} | {found['seven_classes']['share']:g} | {found['normal_abnormal']['share']:g} |"


def _targets(single: dict[str, Any], field: dict[str, Any]) -> str:
    rows = (
        ("seven classes, single cells", 0.9, single["seven_classes"]["share"]),
        ("normal or abnormal, single cells", 0.98, single["normal_abnormal"]["share"]),
        ("mean average precision of seven classes, composed fields, tile 1024", 0.6, field["map_seven"]),
    )
    lines = (f"| {name}: {asked:g} | {got:g} | {'yes' if got >= asked else 'no'} |" for name, asked, got in rows)
    return "\n".join(lines)


def _of_singles(singles: dict[str, Any]) -> dict[str, str]:
    best = singles["fp32"]
    return {
        "HELD": f"{best['seven_classes']['cells']}",
        "SINGLES": _singles(singles),
        "SQUAMOUS": _share(best["squamous"]),
        "CONFUSION": _table(best["confusion"]),
        "CHANGES": "\n".join(_changed(name, found) for name, found in singles["changes"].items()),
        "SEEN": f"{singles['taught']['seven_classes']['share']:g}",
    }


def render(figures: dict[str, Any], text: str) -> str:
    """The card: the words of card.md with every figure filled in."""
    lone, fields, nuclei = (figures[key] for key in ("lone", "fields", "nuclei"))
    values = _of_singles(figures["singles"]) | {
        "NUCLEI": f"{nuclei['found']:g}",
        "MASKS": f"{nuclei['masks']}",
        "DICE": f"{nuclei['dice_median']:g}",
        "DICE80": f"{nuclei['dice_at_least_80']:g}",
        "FOUND": _share(lone["found"]),
        "LONE7": _share(lone["seven_classes"]),
        "LONE2": _share(lone["normal_abnormal"]),
        "PER": f"{lone['objects_per_picture']:g}",
        "FIELDS": f"{fields['fields']}",
        "CELLS": f"{fields['cells']}",
        "TILES": "\n".join(_tile(name, found) for name, found in fields["tiles"].items()),
        "SLIDES": "\n".join(_slides(name, figures["slides"][key]) for name, key in SLIDES.items()),
        "TARGETS": _targets(figures["singles"]["int8"], fields["tiles"]["1024"]),
        "SURE": f"{SURE:g}",
        "LEAST": f"{LEAST_INDEX:g}",
        "ALONE": f"{LEAST_INDEX * SURE / (LEAST_INDEX * SURE + (1 - LEAST_INDEX) * (1 - SURE)):.2f}",
    }
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


def write() -> None:
    """Writes MODEL_CARD.md into the package; seal the package afterwards."""
    (PACKAGE / "MODEL_CARD.md").write_text(render(json.loads(FIGURES.read_text()), TEXT.read_text()))
