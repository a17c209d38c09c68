"""Brings a volume onto another grid: linear or nearest between voxel centres, edges repeated; splines where nnU-Net has them."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from inference.windows.field import Matrix, Values

_STRAIGHT = 1e-6  # voxels of slant over one voxel


def resample(values: Values, to_old: Matrix, shape: tuple[int, ...], mode: str) -> Values:
    """``values`` at the places of a new grid of ``shape``; ``to_old`` (4, 4) gives the old index of a new one.

    ``mode`` is "bilinear" or "nearest". Outside, the nearest voxel counts (MONAI's padding_mode "border").
    """
    turn = to_old[:3, :3]
    if np.abs(turn - np.diag(np.diag(turn))).max() * max(shape) > _STRAIGHT * max(shape):
        order = 1 if mode == "bilinear" else 0
        slanted: Values = ndimage.affine_transform(values, turn, to_old[:3, 3], shape, np.float32, order, mode="nearest")
        return slanted
    axes = sorted(range(3), key=lambda axis: shape[axis] / values.shape[axis])  # the axis that shrinks most first
    for axis in axes:
        places = np.arange(shape[axis]) * turn[axis, axis] + to_old[axis, 3]
        values = along(values, places, axis, mode)
    return values


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
