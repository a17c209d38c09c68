"""Fits an image to the network: one letterbox, or tiles that overlap; and says where each piece lies in the image."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image

RGB = npt.NDArray[np.uint8]
ALIGNED = 32  # input pixels: tiles begin at multiples of this, so that cells of coarser outputs fall on each other


@dataclass(frozen=True, slots=True)
class Place:
    """Where an input of the network lies: input = image x scale - shift, both (x, y).

    ``core`` is the part of the image (left, top, right, bottom) whose objects this input answers for; the cores of all tiles
    are the image, without overlap.
    """

    scale: tuple[float, float]
    shift: tuple[float, float]
    core: tuple[float, float, float, float]

    def to_image(self, points: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        """Points of the input (n, 2 or 4) of x, y in pixels of the image."""
        repeat = points.shape[1] // 2
        return np.asarray((points + np.tile(self.shift, repeat)) / np.tile(self.scale, repeat), np.float32)

    def cell(self, per_cell: tuple[float, float], start: tuple[float, float] = (0.0, 0.0)) -> tuple[float, float, float, float]:
        """The grid of an output with ``per_cell`` input pixels a cell (x, y), as objects.components wants it."""
        left, top = ((start[i] + self.shift[i]) / self.scale[i] for i in (0, 1))
        return per_cell[0] / self.scale[0], per_cell[1] / self.scale[1], left, top


def resized(image: RGB, rows: int, columns: int) -> RGB:
    """Area means when the image becomes smaller (Pillow's BOX; whole factors by its faster reduce), bilinear when it grows."""
    if image.shape[:2] == (rows, columns):
        return image
    if image.shape[0] % rows == image.shape[1] % columns == 0:
        return np.asarray(Image.fromarray(image).reduce((image.shape[1] // columns, image.shape[0] // rows)))
    smaller = rows <= image.shape[0] and columns <= image.shape[1]
    how = Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image).resize((columns, rows), how))


def letterbox(image: RGB, size: tuple[int, int], origin: tuple[float, float] = (0.0, 0.0)) -> tuple[RGB, Place]:
    """The whole image in ``size`` (rows, columns), its aspect kept, in the middle, black around it.

    ``origin`` is where the image begins in the one that places are told in.
    """
    rows, columns = image.shape[:2]
    factor = min(size[0] / rows, size[1] / columns)
    inner = (max(1, min(size[0], round(rows * factor))), max(1, min(size[1], round(columns * factor))))
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas = np.zeros((*size, 3), np.uint8)
    canvas[top : top + inner[0], left : left + inner[1]] = resized(image, *inner)
    scale = (inner[1] / columns, inner[0] / rows)
    shift = (origin[0] * scale[0] - left, origin[1] * scale[1] - top)
    return canvas, Place(scale, shift, (origin[0], origin[1], origin[0] + columns, origin[1] + rows))


def stretched(image: RGB, size: tuple[int, int], origin: tuple[float, float] = (0.0, 0.0)) -> tuple[RGB, Place]:
    """The whole image in ``size`` (rows, columns), its aspect not kept; ``origin`` as in ``letterbox``."""
    rows, columns = image.shape[:2]
    scale = (size[1] / columns, size[0] / rows)
    shift = (origin[0] * scale[0], origin[1] * scale[1])
    return resized(image, *size), Place(scale, shift, (origin[0], origin[1], origin[0] + columns, origin[1] + rows))


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along one side, at multiples of 32; the last one reaches the end, or up to 31 pixels beyond it."""
    if length <= tile:
        return [0]
    step = max(ALIGNED, (tile - overlap) // ALIGNED * ALIGNED)
    last = -(-(length - tile) // ALIGNED) * ALIGNED
    return [*range(0, last, step), last]


def cores(begin: list[int], tile: int, length: int) -> list[tuple[float, float]]:
    """The part of each tile that is its own: borders lie in the middle of overlaps."""
    middles = [(first + tile + second) / 2 for first, second in pairwise(begin)]
    return list(pairwise([0.0, *middles, float(length)]))


def tiles(
    image: RGB, size: tuple[int, int], overlap: int, scale: float, origin: tuple[float, float] = (0.0, 0.0)
) -> Iterator[tuple[RGB, Place]]:
    """Tiles of the image brought to ``scale``, black beyond its ends, row by row."""
    rows, columns = (max(1, round(n * scale)) for n in image.shape[:2])
    scaled = resized(image, rows, columns)
    factor = (columns / image.shape[1], rows / image.shape[0])
    down, across = starts(rows, size[0], overlap), starts(columns, size[1], overlap)
    for top, (core_top, core_bottom) in zip(down, cores(down, size[0], rows), strict=True):
        for left, (core_left, core_right) in zip(across, cores(across, size[1], columns), strict=True):
            piece = scaled[top : top + size[0], left : left + size[1]]
            if piece.shape[:2] != size:
                piece = np.pad(piece, ((0, size[0] - piece.shape[0]), (0, size[1] - piece.shape[1]), (0, 0)))
            edges = (core_left / factor[0], core_top / factor[1], core_right / factor[0], core_bottom / factor[1])
            core = tuple(edge + origin[i % 2] for i, edge in enumerate(edges))
            shift = (left + origin[0] * factor[0], top + origin[1] * factor[1])
            yield np.ascontiguousarray(piece), Place(factor, shift, (core[0], core[1], core[2], core[3]))
