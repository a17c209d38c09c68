"""Measures the shipped networks of the cervical package on cells never trained on, in all precisions; writes figures.json."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.cervical_lbc import cells, compose, crops
from training.cervical_lbc.cells import Cell
from training.cervical_lbc.where import BETHESDA, CLASSES, CROP, LEAST_INDEX, MARGIN, NORMAL, PACKAGE, SURE
from training.microscopy import decode, score
from training.tb_smear_afb.evaluate import CHANGES

FIGURES = Path(__file__).parent / "figures.json"
RESAMPLES = 2000
LEAST, IOU = 0.3, 0.5
Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def interval(right: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Share that is right, with a 95 % bootstrap interval."""
    draws = right[np.random.default_rng(0).integers(0, len(right), (RESAMPLES, len(right)))].mean(1)
    return {
        "cells": len(right),
        "share": round(float(right.mean()), 3),
        "ci95": [round(float(v), 3) for v in np.percentile(draws, (2.5, 97.5))],
    }


def probabilities(network: Any, pictures: Sequence[Pixels]) -> Floats:
    """(n, 7) of crops."""
    return np.array([network(p[None])["cell"][0] for p in pictures], np.float64).reshape(-1, len(CLASSES))


def _judged(table: Floats, kinds: npt.NDArray[np.intp]) -> dict[str, Any]:
    named, groups = table.argmax(1), np.array(BETHESDA)
    abnormal = table[:, NORMAL:].sum(1) >= 0.5
    confusion = np.zeros((7, 7), int)
    np.add.at(confusion, (kinds, named), 1)
    return {
        "seven_classes": interval(named == kinds),
        "bethesda_three": interval(groups[named] == groups[kinds]),
        "normal_abnormal": interval(abnormal == (kinds >= NORMAL)),
        "one_class_off_or_right": interval(_near(named, kinds)),
        "auc_abnormal": round(auc(table[:, NORMAL:].sum(1), kinds >= NORMAL), 3),
        "confusion": confusion.tolist(),
    }


def _near(named: npt.NDArray[np.intp], kinds: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    same_side = (named >= NORMAL) == (kinds >= NORMAL)
    return np.asarray((named == kinds) | (same_side & (np.abs(named - kinds) == 1)))


def auc(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the share of pairs in the right order, ties half."""
    high, low = scores[positive][:, None], scores[~positive][None]
    return float((high > low).mean() + (high == low).mean() / 2)


def _singles(data: Path) -> dict[str, Any]:
    held = cells.held_out(cells.read(data))
    kinds = np.array([c.kind for c in held])
    pictures = [crops.plain(c) for c in held]
    networks = {p: decode.compiled(PACKAGE, "crops", p) for p in decode.HINTS}
    figures: dict[str, Any] = {p: _judged(probabilities(n, pictures), kinds) for p, n in networks.items()}
    figures["changes"] = {
        name: _judged(probabilities(networks["fp32"], [change(p) for p in pictures]), kinds)["normal_abnormal"]["share"]
        for name, change in CHANGES.items()
    }
    return figures


def crop(pixels: Pixels, box: npt.NDArray[np.floating[Any]]) -> Pixels:
    """The square the node cuts around a box given by centre and size."""
    side = max(2, round(MARGIN * float(max(box[2], box[3]))))
    left, top = round(float(box[0]) - side / 2), round(float(box[1]) - side / 2)
    return np.asarray(
        Image.fromarray(pixels).crop((left, top, left + side, top + side)).resize((CROP, CROP), Image.Resampling.BOX)
    )


def read(finder: Any, classifier: Any, pixels: Pixels, tile: int, scale: float = 0.5) -> decode.Found:
    """Objects of a picture by tiles without overlap of the result: centre, size (its pixels), class, score, P(abnormal)."""
    small = np.asarray(Image.fromarray(pixels).resize([round(s * scale) for s in pixels.shape[1::-1]], Image.Resampling.BOX))
    parts = []
    for top in range(0, small.shape[0], tile):
        for left in range(0, small.shape[1], tile):
            piece = np.zeros((tile, tile, 3), np.uint8)
            part = small[top : top + tile, left : left + tile]
            piece[: part.shape[0], : part.shape[1]] = part
            found = decode.objects(finder, piece, LEAST, IOU)
            found[:, :2] += (left, top)
            parts.append(found)
    found = np.concatenate(parts)
    found[:, :4] /= scale
    table = probabilities(classifier, [crop(pixels, b) for b in found])
    found[:, 4], found[:, 5] = table.argmax(1) if len(table) else 0, table.max(1) if len(table) else 0
    return np.concatenate([found, table[:, NORMAL:].sum(1, keepdims=True).astype(np.float32)], 1)


def _composed(data: Path, count: int, side: int, kinds: int, seed: int) -> list[tuple[Pixels, npt.NDArray[np.float32]]]:
    """Fields at 0.25 micrometres a pixel composed of held-out cells alone."""
    stamps = [compose.stamp(c) for c in cells.held_out(cells.read(data))]
    made = []
    for n in range(count):
        rng = np.random.default_rng((seed, n))
        light, boxes = compose.field(stamps, rng.integers(0, 7, kinds).tolist(), side, side, 2.0, rng)
        made.append((np.asarray(light * 255, np.uint8), boxes))
    return made


def _map(found: list[decode.Found], truth: list[npt.NDArray[np.float32]]) -> dict[str, Any]:
    seven = [score.average_precision(found, truth, k) for k in range(7)]
    groups = np.array(BETHESDA, np.float32)
    grouped = [[_regrouped(a, groups) for a in part] for part in (found, truth)]
    three = [score.average_precision(grouped[0], grouped[1], k) for k in range(3)]
    one = score.average_precision([_regrouped(a, groups * 0) for a in found], [_regrouped(a, groups * 0) for a in truth], 0)
    return {
        "map_seven": round(float(np.mean([a for a in seven if a is not None])), 3),
        "map_bethesda": round(float(np.mean([a for a in three if a is not None])), 3),
        "ap_any_cell": None if one is None else round(one, 3),
        "ap_each": {name: None if a is None else round(a, 3) for name, a in zip(CLASSES, seven, strict=True)},
    }


def _regrouped(table: npt.NDArray[np.float32], groups: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    out = table.copy()
    out[:, 4] = groups[table[:, 4].astype(int)]
    return out


def _fields(data: Path) -> dict[str, Any]:
    made = _composed(data, 2, 4096, 420, 31)
    truth = [boxes for _, boxes in made]
    figures: dict[str, Any] = {"fields": len(made), "cells": int(sum(len(b) for b in truth)), "tiles": {}}
    for tile in (512, 1024, 2048):
        finder = decode.compiled(PACKAGE, "network", "int8", (tile, tile))
        classifier = decode.compiled(PACKAGE, "crops", "int8")
        figures["tiles"][str(tile)] = _map([read(finder, classifier, p, tile) for p, _ in made], truth)
    for precision in ("fp32", "bf16"):
        finder, classifier = (decode.compiled(PACKAGE, stem, precision) for stem in ("network", "crops"))
        figures[precision] = _map([read(finder, classifier, p, 1024) for p, _ in made], truth)
    return figures


def lone(cell: Cell) -> Pixels:
    """A cell as a picture of its own, with its bars, 200 pixels square."""
    square = np.ones((200, 200, 3), np.uint8) * np.array(cell.bar, np.uint8)
    h, w = cell.pixels.shape[:2]
    r, c = (200 - h) // 2, (200 - w) // 2
    square[r : r + h, c : c + w] = cell.pixels
    return square


def _lone(data: Path) -> dict[str, Any]:
    """Single-cell pictures through finder and classifier: how many are found, and the class of the best object."""
    held = cells.held_out(cells.read(data))
    finder, classifier = decode.compiled(PACKAGE, "network", "int8"), decode.compiled(PACKAGE, "crops", "int8")
    answers = [read(finder, classifier, lone(c), 1024) for c in held]
    best = np.array([a[a[:, 2:4].prod(1).argmax(), 4] if len(a) else -1 for a in answers]).astype(int)
    kinds = np.array([c.kind for c in held])
    return {
        "found": interval(best >= 0),
        "seven_classes": interval(best == kinds),
        "normal_abnormal": interval((best >= 0) & ((best >= NORMAL) == (kinds >= NORMAL))),
        "objects_per_picture": round(float(np.mean([len(a) for a in answers])), 2),
    }


def slide_cells(rng: np.random.Generator, abnormal_share: float, count: int) -> list[int]:
    """Classes of the cells of a slide, mostly superficial and intermediate."""
    abnormal = round(abnormal_share * count)
    normal = rng.choice(3, count - abnormal, p=[0.45, 0.45, 0.1]).tolist()
    return [*normal, *rng.choice([3, 4, 5, 6], abnormal, p=[0.4, 0.25, 0.2, 0.15]).tolist()]


def index(abnormal: Floats) -> float:
    """Of a slide or picture: the mean over its cells of what the classifier says of *surely abnormal*; 0 without cells."""
    yes = abnormal * (1 - SURE)
    return float((yes / (yes + (1 - abnormal) * SURE)).mean()) if len(abnormal) else 0.0


def _slides(pool: Sequence[Cell], seed: int, count: int) -> dict[str, Any]:
    """Composed slides, half without abnormal cells, half with 2 to 15 per cent: index of abnormality, rule on it."""
    stamps = [compose.stamp(c) for c in pool]
    finder, classifier = decode.compiled(PACKAGE, "network", "int8"), decode.compiled(PACKAGE, "crops", "int8")
    indices, truth = [], []
    for n in range(count):
        rng = np.random.default_rng((seed, n))
        truth.append(n % 2 == 1)
        kinds = slide_cells(rng, rng.uniform(0.02, 0.15) if n % 2 else 0.0, 130)
        light, _ = compose.field(stamps, kinds, 2048, 2048, 2.0, rng)
        found = read(finder, classifier, np.asarray(light * 255, np.uint8), 1024)
        indices.append(index(found[:, 6].astype(np.float64)))
    return called(indices, truth)


def called(indices: list[float], truth: list[bool]) -> dict[str, Any]:
    """How well the index parts slides, and what the rule of report.json makes of it."""
    positive, abnormal = np.array(indices) >= LEAST_INDEX, np.array(truth)
    return {
        "slides": len(truth),
        "auc": round(auc(np.array(indices), abnormal), 3),
        "sensitivity": round(float(positive[abnormal].mean()), 3),
        "specificity": round(float((~positive)[~abnormal].mean()), 3),
        "indices": [round(v, 4) for v in indices],
        "truth": truth,
    }


def measure(data: Path) -> dict[str, Any]:
    """All figures of the card."""
    every = cells.read(data)
    slides = {"slides": _slides(cells.held_out(every), 97, 16), "slides_seen": _slides(cells.training(every), 98, 8)}
    return {"singles": _singles(data), "lone": _lone(data), "fields": _fields(data), **slides}


def write(figures: dict[str, Any]) -> None:
    """figures.json, which the card is made of."""
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
