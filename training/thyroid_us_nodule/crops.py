"""Squares cut about the nodules of a picture, as the node cuts them."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.thyroid_us_nodule.tirads import MARGIN, SIDE

Pixels = npt.NDArray[np.uint8]


def cut(pixels: Pixels, mask: npt.NDArray[np.bool_], margin: float = MARGIN, side: int = SIDE) -> tuple[Pixels, Pixels]:
    """Grey and mask (0, 255), both ``side`` x ``side``: a square about the middle of the mask's box, black beyond the picture."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    high, wide = rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0]
    half = max(margin * max(high, wide) / 2, 4.0)
    cy, cx = (rows[-1] + 1 + rows[0]) / 2, (columns[-1] + 1 + columns[0]) / 2
    top, left, size = round(cy - half), round(cx - half), round(2 * half)
    made = []
    for plane in (pixels, mask.astype(np.uint8) * 255):
        square = Image.fromarray(plane).crop((left, top, left + size, top + size))
        how = Image.Resampling.BOX if size > side else Image.Resampling.BILINEAR
        made.append(np.asarray(square.resize((side, side), how)))
    return made[0], made[1]


def of_chunk(pixels: Pixels, labels: Pixels, features: npt.NDArray[np.int8]) -> Iterator[tuple[int, int, npt.NDArray[np.int8]]]:
    """Picture number, label and features of every nodule of a chunk that can be seen (at least 60 pixels)."""
    for k in range(len(pixels)):
        counts = np.bincount(labels[k].ravel(), minlength=features.shape[1] + 1)
        for n in range(features.shape[1]):
            if counts[n + 1] >= 60:
                yield k, n + 1, features[k, n]
