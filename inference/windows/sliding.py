"""Blends the answers of overlapping windows, and gives planes away as soon as no later window touches them.

So class scores are held for a slab as thick as one window, never for the whole volume.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from inference.windows.field import Values
from inference.windows.placing import Starts

Predict = Callable[[Starts], Iterable[tuple[tuple[int, int, int], Values]]]


@dataclass(frozen=True, slots=True)
class Slab:
    """Finished scores (classes, planes, ., .): ``planes`` along ``axis`` from ``start``, the other two axes in their order."""

    start: int
    scores: Values


def blended(shape: tuple[int, ...], starts: Starts, axis: int, weights: Values, predict: Predict) -> Iterator[Slab]:
    """The weighted mean of the scores of all windows over a volume of ``shape``, slab by slab along ``axis``, in order.

    ``starts`` are in the order ``placing.in_order`` gives. ``predict`` gives the scores (classes, *window) of each in turn.
    """
    roi = weights.shape
    weights = np.moveaxis(weights, axis, 0)
    flat = tuple(n for a, n in enumerate(shape) if a != axis)
    total = np.zeros((roi[axis], *flat), np.float32)
    scores: Values | None = None
    base = 0
    for start, answer in predict(starts):
        if scores is None:
            scores = np.zeros((len(answer), roi[axis], *flat), np.float32)
        if start[axis] > base:
            yield from _finished(scores, total, base, start[axis] - base)
            base = start[axis]
        b, c = (start[a] for a in range(3) if a != axis)
        window = (slice(None), slice(b, b + weights.shape[1]), slice(c, c + weights.shape[2]))
        scores[(slice(None), *window)] += np.moveaxis(answer, axis + 1, 1) * weights
        total[window] += weights
    if scores is not None:
        yield from _finished(scores, total, base, roi[axis])


def _finished(scores: Values, total: Values, base: int, planes: int) -> Iterator[Slab]:
    """Gives the first planes away, a few at a time, and moves the rest forward."""
    planes = min(planes, len(total))
    for first in range(0, planes, 8):
        part = slice(first, min(first + 8, planes))
        yield Slab(base + first, scores[:, part] / total[part])
    rest = len(total) - planes
    for place in range(rest):  # one by one: no second copy of the slab
        scores[:, place], total[place] = scores[:, place + planes], total[place + planes]
    scores[:, rest:], total[rest:] = 0, 0
