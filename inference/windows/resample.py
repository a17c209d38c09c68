"""Brings a volume onto another grid: linear or nearest between voxel centres, edges repeated; splines where nnU-Net has them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from inference.windows.field import Matrix, Values

_STRAIGHT = 1e-6  # voxels of slant over one voxel
_THREADS, _SLAB = 2, 8


def resample(values: Values, to_old: Matrix, shape: tuple[int, ...], mode: str) -> Values:
    """``values`` at the places of a new grid of ``shape``; ``to_old`` (4, 4) gives the old index of a new one.

    ``mode`` is "bilinear" or "nearest". Outside, the nearest voxel counts (MONAI's padding_mode "border").
    """
    turn = to_old[:3, :3]
    if np.abs(turn - np.diag(np.diag(turn))).max() * max(shape) > _STRAIGHT * max(shape):
        return _slanted(values, to_old, shape, 1 if mode == "bilinear" else 0)
    axes = sorted(range(3), key=lambda axis: shape[axis] / values.shape[axis])  # the axis that shrinks most first
    for axis in axes:
        places = np.arange(shape[axis]) * turn[axis, axis] + to_old[axis, 3]
        values = along(values, places, axis, mode)
    return values


def _slanted(values: Values, to_old: Matrix, shape: tuple[int, ...], order: int) -> Values:
    """Slab by slab of the last axis, which is the outermost in memory, as slices are; SciPy leaves Python's lock to others."""
    turn, shift = to_old[2::-1, 2::-1], to_old[2::-1, 3]
    turned, out = values.transpose(2, 1, 0), np.empty(shape[::-1], np.float32)

    def slab(first: int) -> None:
        part = out[first : first + _SLAB]
        ndimage.affine_transform(turned, turn, shift + turn[:, 0] * first, part.shape, part, order, mode="nearest")

    with ThreadPoolExecutor(_THREADS, "resampling") as pool:
        list(pool.map(slab, range(0, len(out), _SLAB)))
    return out.transpose(2, 1, 0)


def along(values: Values, places: npt.NDArray[np.float64], axis: int, mode: str) -> Values:
    """``values`` at ``places`` (indices, not whole) of one axis."""
    last = values.shape[axis] - 1
    places = np.clip(np.round(places, 6), 0, last)
    if mode == "nearest":
        return values.take(np.rint(places).astype(np.intp), axis)
    below = np.floor(places).astype(np.intp)
    share = (places - below).astype(np.float32)
    found = values.take(below, axis)
    if share.any():
        shape = [1] * values.ndim
        shape[axis] = -1
        above = values.take(np.minimum(below + 1, last), axis)
        above -= found
        above *= share.reshape(shape)
        found += above
    return found


def average(values: Values, size: int, axis: int) -> Values:
    """PyTorch's adaptive average: output i is the mean of all voxels from floor(i n / m) to ceil((i + 1) n / m)."""
    n = values.shape[axis]
    starts, stops = np.arange(size) * n // size, -(-(np.arange(1, size + 1) * n) // size)
    parts = [values.take(range(a, b), axis).mean(axis=axis, dtype=np.float32) for a, b in zip(starts, stops, strict=True)]
    return np.stack(parts, axis=axis)


def spline(values: Values, shape: tuple[int, ...], order: int) -> Values:
    """What skimage.transform.resize(mode="edge", anti_aliasing=False) does: splines between voxel centres."""
    if values.shape == tuple(shape):
        return values
    factors = [new / old for new, old in zip(shape, values.shape, strict=True)]
    found: Values = ndimage.zoom(values, factors, order=order, mode="nearest", grid_mode=True)
    return found
