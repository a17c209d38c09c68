"""The outline of an object in pixels of its image, and its long and short axis as a reader would draw them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from inference import outline
from inference.objects.table import Objects

Points = npt.NDArray[np.float64]
_FINEST = 16  # times a cell of the grid is divided at most
_SOFT = 0.8  # cells


@dataclass(frozen=True, slots=True)
class Axes:
    """Ends of the long and of the short axis, (2, 2) each of (column, row) in pixels, and their lengths in the unit asked for."""

    long: Points
    short: Points
    long_length: float
    short_length: float


def polygon(objects: Objects, index: int) -> Points:
    """Closed polygon (N, 2) around one object: its mask, smoothed to the pixels of the image, or else the ellipse in its box."""
    box = objects.masks.box[index]
    if not box[2]:
        return ellipse(objects.box[index])
    width, height, left, top = objects.masks.cell[index]
    mask = objects.masks.mask(index)
    factor = int(np.clip(round(max(width, height)), 1, _FINEST))
    points = outline.outline(_finer(mask, factor)) / factor - 1  # _finer adds a cell on each side
    return np.asarray((points + box[[1, 0]]) * (width, height) + (left, top))


def _finer(mask: npt.NDArray[np.bool_], factor: int) -> npt.NDArray[np.bool_]:
    """The mask with a border of one cell, each cell cut into ``factor`` squared, edges where the soft field is one half."""
    if factor == 1:
        return np.pad(mask, 1)
    soft = _soft(mask, True)
    places = [(np.arange(n * factor) + 0.5) / factor - 0.5 for n in soft.shape]
    grid = np.meshgrid(*places, indexing="ij")
    fine: npt.NDArray[np.bool_] = ndimage.map_coordinates(soft, grid, order=1, mode="nearest") >= 0.5
    # What is thinner than a cell can vanish between its cells: such a mask stays as coarse as it is.
    return fine if fine.any() else np.kron(np.pad(mask, 1), np.ones((factor, factor), bool)).astype(bool)


def _soft(mask: npt.NDArray[np.bool_], coarse: bool) -> npt.NDArray[np.float32]:
    """The mask with a border of one cell as a field whose half is its edge; that of a coarse grid has its stairs taken off.

    A Gaussian of 0.8 cells moves the edge of a disc of ten cells inwards by a thirtieth of a cell.
    """
    padded = np.pad(mask, 1).astype(np.float32)
    if not coarse:
        return padded
    soft = ndimage.gaussian_filter(padded, _SOFT, mode="nearest")
    return soft if (soft >= 0.5).any() else padded


def ellipse(box: npt.NDArray[np.generic], corners: int = 24) -> Points:
    """The ellipse in a box, closed."""
    left, top, right, bottom = (float(v) for v in box)
    angles = np.linspace(0, 2 * np.pi, corners + 1)
    points = np.stack([np.cos(angles) * (right - left) / 2, np.sin(angles) * (bottom - top) / 2], axis=1)
    points[-1] = points[0]
    return np.asarray(points + np.array([(left + right) / 2, (top + bottom) / 2]))


def axes(points: Points, unit: tuple[float, float] = (1.0, 1.0)) -> Axes:
    """Long axis: the largest distance of two points of the outline (maximum Feret diameter). Short axis: the longest chord at
    right angles to it (as RECIST 1.1 measures nodes). ``unit`` is the size of a pixel (x, y), so that both are right where
    pixels are not square.
    """
    there = points[:-1] * unit if len(points) > 1 and np.array_equal(points[0], points[-1]) else points * unit
    hull = _hull(there)
    apart = np.linalg.norm(hull[:, None] - hull[None], axis=2)
    a, b = np.unravel_index(int(apart.argmax()), apart.shape)
    length = float(apart[a, b])
    along = (hull[b] - hull[a]) / length if length else np.array([1.0, 0.0])
    across = np.array([-along[1], along[0]])
    short = _chord(np.vstack([there, there[:1]]), along, across)
    long = np.stack([hull[a], hull[b]]) / unit
    return Axes(long, short / unit, length, float(np.linalg.norm(short[1] - short[0])))


def _hull(points: Points) -> Points:
    try:
        return np.asarray(points[ConvexHull(points).vertices])
    except (QhullError, ValueError):  # all on one line
        return points


def _chord(closed: Points, along: Points, across: Points) -> Points:
    """The longest chord across. It begins at a corner of the outline, so it is looked for at each of them."""
    u, v = closed @ along, closed @ across
    best = np.stack([closed[0], closed[0]])
    longest = -1.0
    for position in np.unique(u):
        first, second = u[:-1] - position, u[1:] - position
        crosses = (first * second <= 0) & (first != second)
        at = v[:-1][crosses] + (v[1:] - v[:-1])[crosses] * (first / np.where(first == second, 1, first - second))[crosses]
        at = np.concatenate([at, v[:-1][(first == 0) & (second == 0)], v[1:][(first == 0) & (second == 0)]])
        if at.size and np.ptp(at) > longest:
            longest = float(np.ptp(at))
            best = np.stack([position * along + at.min() * across, position * along + at.max() * across])
    return best


def drawn(objects: Objects, index: int, rows: int, columns: int) -> tuple[slice, slice, npt.NDArray[np.bool_]]:
    """Where an object with a mask lies on the pixels of its image: rows, columns, and the mask of that part.

    A pixel belongs to it when the bilinear field of the mask is at least one half at its centre, as in ``polygon``.
    """
    first_row, first_column, height, width = (int(v) for v in objects.masks.box[index])
    cell_x, cell_y, left, top = objects.masks.cell[index]
    edges = np.array([left + (first_column - 1) * cell_x, top + (first_row - 1) * cell_y])
    ends = edges + np.array([(width + 2) * cell_x, (height + 2) * cell_y])
    x0, y0 = (max(0, int(np.floor(v))) for v in edges)
    x1, y1 = min(columns, int(np.ceil(ends[0]))), min(rows, int(np.ceil(ends[1])))
    soft = _soft(objects.masks.mask(index), round(max(cell_x, cell_y)) > 1)
    at_rows = (np.arange(y0, max(y1, y0)) + 0.5 - edges[1]) / cell_y - 0.5
    at_columns = (np.arange(x0, max(x1, x0)) + 0.5 - edges[0]) / cell_x - 0.5
    grid = np.meshgrid(at_rows, at_columns, indexing="ij")
    field = ndimage.map_coordinates(soft, grid, order=1, mode="nearest")
    return slice(y0, max(y1, y0)), slice(x0, max(x1, x0)), np.asarray(field >= 0.5)
