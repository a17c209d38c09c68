"""How well objects were found: matches by centre and by overlap, F1 with its interval, average precision."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Tallied:
    """Of one image: objects found rightly, found wrongly, missed."""

    hit: int
    wrong: int
    missed: int


def corners(boxes: Floats) -> Floats:
    """Left, top, right, bottom of boxes given by centre and size."""
    return np.concatenate([boxes[:, :2] - boxes[:, 2:4] / 2, boxes[:, :2] + boxes[:, 2:4] / 2], 1)


def overlaps(first: Floats, second: Floats) -> Floats:
    """IoU of all pairs; both by centre and size."""
    a, b = corners(first)[:, None], corners(second)[None]
    inner = (np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])).clip(0).prod(-1)
    area = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    return np.asarray(inner / np.maximum(area - inner, 1e-6))


def centred(found: Floats, truth: Floats, slack: float) -> Floats:
    """Whether each found centre lies in each true box made ``slack`` pixels larger on all sides (1 or 0), nearer ones higher."""
    away = np.abs(found[:, None, :2] - truth[None, :, :2]) / (truth[None, :, 2:4] / 2 + slack)
    return np.asarray(np.where((away <= 1).all(-1), 2.0 - away.max(-1), 0.0))


def match(agreement: Floats, scores: Floats, least: float) -> tuple[npt.NDArray[np.bool_], int]:
    """Best scores first, each takes the free truth it agrees with most: which ones are hits, and how many truths were met."""
    free = np.ones(agreement.shape[1], bool)
    hit = np.zeros(len(scores), bool)
    for i in np.argsort(-scores, kind="stable"):
        row = np.where(free, agreement[i], -1.0)
        if len(row) and row.max() >= least:
            free[int(row.argmax())] = False
            hit[i] = True
    return hit, int((~free).sum())


def tally(found: Floats, truth: Floats, slack: float | None = None, iou: float = 0.3) -> Tallied:
    """``found`` (n, >=6): centre, size, class, score; ``truth`` (n, 5) with class -1 for what is not judged, -2 for impostors.

    By centre in box with ``slack`` when it is given, else by ``iou``; classes are not compared. What is found in a region that is
    not judged does not count; an impostor is no object.
    """
    real, doubtful = truth[truth[:, 4] >= 0], truth[truth[:, 4] == -1]
    agreement = centred(found, real, slack) if slack is not None else overlaps(found, real)
    hit, met = match(agreement, found[:, 5], 1e-9 if slack is not None else iou)
    excused = ~hit & (centred(found, doubtful, 10.0) > 0).any(1)
    return Tallied(met, int((~hit & ~excused).sum()), len(real) - met)


def f1(tallies: Sequence[Tallied]) -> dict[str, Any]:
    """F1, precision and recall over all objects, F1 with a 95 % bootstrap interval over images."""
    table = np.array([(t.hit, t.wrong, t.missed) for t in tallies], float)
    draws = table[np.random.default_rng(0).integers(0, len(table), (RESAMPLES, len(table)))].sum(1)
    hit, wrong, missed = table.sum(0)
    spread = 2 * draws[:, 0] / np.maximum(2 * draws[:, 0] + draws[:, 1] + draws[:, 2], 1)
    return {
        "images": len(table),
        "objects": int(hit + missed),
        "f1": round(2 * hit / max(2 * hit + wrong + missed, 1), 3),
        "f1_ci95": [round(float(v), 3) for v in np.percentile(spread, (2.5, 97.5))],
        "precision": round(hit / max(hit + wrong, 1), 3),
        "recall": round(hit / max(hit + missed, 1), 3),
    }


def average_precision(found: Sequence[Floats], truth: Sequence[Floats], kind: int, iou: float = 0.5) -> float | None:
    """Area under precision over recall of one class (all points, as PASCAL VOC 2010); None when no image holds one."""
    scores, hits, total = [], [], 0
    for f, t in zip(found, truth, strict=True):
        f, t = f[f[:, 4] == kind], t[t[:, 4] == kind]
        total += len(t)
        hit, _ = match(overlaps(f, t), f[:, 5], iou)
        scores.append(f[:, 5])
        hits.append(hit)
    if not total:
        return None
    order = np.argsort(-np.concatenate(scores), kind="stable")
    right = np.concatenate(hits)[order].cumsum()
    precision = right / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    recall = np.concatenate([[0.0], right / total])
    return float(((recall[1:] - recall[:-1]) * precision).sum())
