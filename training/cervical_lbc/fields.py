"""Measures finder and classifier together on composed fields and single-cell pictures of cells that both never saw."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.cervical_lbc import cells, compose, singles
from training.cervical_lbc.cells import Cell
from training.cervical_lbc.where import BETHESDA, CLASSES, CROP, MARGIN, NORMAL, PACKAGE
from training.microscopy import decode, score

LEAST, IOU = 0.3, 0.5  # of the rule in package.toml
Pixels = npt.NDArray[np.uint8]


def networks(precision: str, size: tuple[int, int] | None = None) -> tuple[Any, Any]:
    """Finder and classifier as they ship."""
    return decode.compiled(PACKAGE, "network", precision, size), singles.network(precision)


def crop(pixels: Pixels, box: npt.NDArray[np.floating[Any]]) -> Pixels:
    """The square the node cuts around a box given by centre and size."""
    side = max(2, round(MARGIN * float(max(box[2], box[3]))))
    left, top = round(float(box[0]) - side / 2), round(float(box[1]) - side / 2)
    return np.asarray(
        Image.fromarray(pixels).crop((left, top, left + side, top + side)).resize((CROP, CROP), Image.Resampling.BOX)
    )


def find(finder: Any, pixels: Pixels, tile: int, scale: float = 0.5) -> decode.Found:
    """Objects of a picture by tiles without overlap of the result, in its pixels."""
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
    return found


def read(finder: Any, classifier: Any, pixels: Pixels, tile: int) -> decode.Found:
    """Objects of a picture: centre, size (its pixels), class and its probability."""
    found = find(finder, pixels, tile)
    table = singles.probabilities(classifier, [crop(pixels, b) for b in found])
    found[:, 4], found[:, 5] = table.argmax(1) if len(table) else 0, table.max(1) if len(table) else 0
    return found


def _composed(held: Sequence[Cell], count: int, side: int, kinds: int, seed: int) -> list[tuple[Pixels, npt.NDArray[np.float32]]]:
    """Fields at 0.25 micrometres a pixel composed of held-out cells alone."""
    stamps = [compose.stamp(c) for c in held]
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


def measure(every: Sequence[Cell]) -> dict[str, Any]:
    """Average precision by size of tile (INT8), and at 1024 in the other precisions."""
    made = _composed(cells.held_out(list(every)), 2, 4096, 420, 31)
    truth = [boxes for _, boxes in made]
    figures: dict[str, Any] = {"fields": len(made), "cells": int(sum(len(b) for b in truth)), "tiles": {}}
    for tile in (512, 1024, 2048):
        pair = networks("int8", (tile, tile))
        figures["tiles"][str(tile)] = _map([read(*pair, p, tile) for p, _ in made], truth)
    for precision in ("fp32", "bf16"):
        pair = networks(precision)
        figures[precision] = _map([read(*pair, p, 1024) for p, _ in made], truth)
    return figures


def lone(cell: Cell) -> Pixels:
    """A cell as a picture of its own, with its bars, 200 pixels square."""
    square = np.ones((200, 200, 3), np.uint8) * np.array(cell.bar, np.uint8)
    h, w = cell.pixels.shape[:2]
    r, c = (200 - h) // 2, (200 - w) // 2
    square[r : r + h, c : c + w] = cell.pixels
    return square


def measure_lone(every: Sequence[Cell]) -> dict[str, Any]:
    """Single-cell pictures through finder and classifier: how many are found, and the class of the best object."""
    held, pair = cells.held_out(list(every)), networks("int8")
    answers = [read(*pair, lone(c), 1024) for c in held]
    best = np.array([a[a[:, 2:4].prod(1).argmax(), 4] if len(a) else -1 for a in answers]).astype(int)
    kinds = np.array([c.kind for c in held])
    return {
        "found": singles.interval(best >= 0),
        "seven_classes": singles.interval(best == kinds),
        "normal_abnormal": singles.interval((best >= 0) & ((best >= NORMAL) == (kinds >= NORMAL))),
        "objects_per_picture": round(float(np.mean([len(a) for a in answers])), 2),
    }
