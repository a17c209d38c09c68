"""Connected regions of a label or probability map become objects with a shape: threshold, holes, smallest area, largest few."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from inference.images.contract import ObjectRule
from inference.objects.table import Objects, empty, joined, packed, plain

Cell = tuple[float, float, float, float]  # of the grid, in pixels of the image: width, height, column and row of its first corner
Mask = npt.NDArray[np.bool_]


def of_labels(labels: npt.NDArray[np.uint8], rule: ObjectRule, image: int, cell: Cell, unit: float) -> Objects:
    """Objects of a map of segment numbers (rows, columns). ``unit`` is the area of a cell in pixels of the network's input."""
    masks = ((number, labels == number, None) for number in rule.classes)
    return _objects(masks, rule, image, cell, unit)


def of_probability(
    fields: npt.NDArray[np.float32], channels: tuple[int, ...], rule: ObjectRule, image: int, cell: Cell, unit: float
) -> Objects:
    """Objects of (channels, rows, columns), one channel per segment number; the score is the mean probability inside."""
    masks = ((number, fields[c] >= rule.threshold, fields[c]) for c, number in enumerate(channels) if number in rule.classes)
    return _objects(masks, rule, image, cell, unit)


def _objects(
    masks: Iterator[tuple[int, Mask, npt.NDArray[np.float32] | None]], rule: ObjectRule, image: int, cell: Cell, unit: float
) -> Objects:
    found = [_of_class(number, mask, field, rule, image, cell, unit) for number, mask, field in masks]
    return joined([part for part in found if len(part)] or [empty()])


def _of_class(
    number: int, mask: Mask, field: npt.NDArray[np.float32] | None, rule: ObjectRule, image: int, cell: Cell, unit: float
) -> Objects:
    if not mask.any():
        return empty()
    filled = ndimage.binary_fill_holes(mask) if rule.fill_holes else mask
    regions, count = ndimage.label(filled, ndimage.generate_binary_structure(2, rule.connectivity))
    areas = np.bincount(regions.ravel(), minlength=count + 1)[1:]
    scores = np.ones(count) if field is None else ndimage.mean(field, regions, np.arange(1, count + 1))
    good = np.flatnonzero((areas * unit >= rule.min_area) & (scores >= rule.min_score))
    if rule.keep_largest:
        good = good[np.argsort(-areas[good], kind="stable")[: rule.keep_largest]]
    good = good[np.argsort(-scores[good], kind="stable")[: rule.most]]
    if not len(good):
        return empty()
    places = ndimage.find_objects(regions)
    parts = [regions[places[i]] == i + 1 for i in good]
    corners = [(places[i][0].start, places[i][1].start) for i in good]
    table = plain(image, np.full(len(good), number), scores[good], _boxes([places[i] for i in good], cell))
    centres = np.array([_centroid(part, corner) for part, corner in zip(parts, corners, strict=True)])
    return replace(
        table,
        centre=np.asarray(centres * cell[:2] + cell[2:], np.float32),
        area=np.asarray(areas[good] * cell[0] * cell[1], np.float32),
        masks=packed(parts, corners, cell),
    )


def _boxes(places: list[tuple[slice, slice]], cell: Cell) -> npt.NDArray[np.float64]:
    edges = np.array([(x.start, y.start, x.stop, y.stop) for y, x in places], np.float64)
    return edges * (cell[0], cell[1], cell[0], cell[1]) + (cell[2], cell[3], cell[2], cell[3])


def _centroid(part: Mask, corner: tuple[int, int]) -> tuple[float, float]:
    """(column, row) on the grid."""
    rows, columns = np.nonzero(part)
    return float(columns.mean()) + corner[1] + 0.5, float(rows.mean()) + corner[0] + 0.5
