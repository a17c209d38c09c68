"""Squares around objects, cut from the image and brought to one size, for a second network that looks at each of them."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from inference.images.contract import Crops
from inference.images.fit import resized
from inference.objects.table import Objects

RGB = npt.NDArray[np.uint8]


def square(box: npt.NDArray[np.generic], margin: float, side: float) -> tuple[int, int, int]:
    """Left, top and side of the square around a box, in whole pixels; ``side`` 0: ``margin`` times its longer side."""
    left, top, right, bottom = (float(v) for v in box)
    length = max(2, round(side or margin * max(right - left, bottom - top)))
    return round((left + right) / 2 - length / 2), round((top + bottom) / 2 - length / 2), length


def cut(image: RGB, left: int, top: int, side: int) -> RGB:
    """A square of the image, (side, side, 3), black beyond its edges."""
    found = np.zeros((side, side, *image.shape[2:]), image.dtype)
    rows, columns = image.shape[:2]
    first_row, last_row = max(top, 0), min(top + side, rows)
    first_column, last_column = max(left, 0), min(left + side, columns)
    if first_row < last_row and first_column < last_column:
        inner = image[first_row:last_row, first_column:last_column]
        found[first_row - top : last_row - top, first_column - left : last_column - left] = inner
    return found


def inputs(image: RGB, objects: Objects, wanted: npt.NDArray[np.intp], crops: Crops, scale: float) -> Iterator[tuple[int, RGB]]:
    """(position of the object, its crop of (size, size, 3 or 4)) of the ``wanted`` ones. ``scale``: input pixels per pixel."""
    for i in wanted:
        left, top, side = square(objects.box[i], crops.margin, crops.side / scale)
        crop = resized(cut(image, left, top, side), crops.size, crops.size)
        if crops.mask:
            shape = mask_of(objects, int(i), left, top, side, crops.size)
            crop = np.concatenate([crop, shape[:, :, np.newaxis]], axis=2)
        yield int(i), crop


def mask_of(objects: Objects, index: int, left: int, top: int, side: int, size: int) -> RGB:
    """0 or 255: whether the middle of each pixel of the crop lies in the object (all of its box, if it has no mask)."""
    middles = (np.arange(size) + 0.5) * side / size
    x, y = left + middles, top + middles
    box = objects.masks.box[index]
    if not box[2]:
        edges = objects.box[index]
        inside = np.outer((y >= edges[1]) & (y < edges[3]), (x >= edges[0]) & (x < edges[2]))
        return np.where(inside, 255, 0).astype(np.uint8)
    width, height, first_x, first_y = objects.masks.cell[index]
    columns = np.floor((x - first_x) / width).astype(int) - int(box[1])
    rows = np.floor((y - first_y) / height).astype(int) - int(box[0])
    mask = objects.masks.mask(index)
    there = np.outer((rows >= 0) & (rows < box[2]), (columns >= 0) & (columns < box[3]))
    values = mask[np.clip(rows, 0, box[2] - 1)[:, None], np.clip(columns, 0, box[3] - 1)[None]]
    return np.where(there & values, 255, 0).astype(np.uint8)
