"""Brings the other series of a study onto the grid of the first one, by where their voxels lie in the patient.

Linear between voxel centres, edges repeated for half a voxel, as MONAI's ResampleToMatch with padding "border"; what lies outside
the other series is its "nothing" (air for Hounsfield units, 0 else).
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from domain.errors import Reason, UnsuitableError
from inference.volume import Volume
from inference.windows.entry import field_of, grid_of
from inference.windows.field import Field, Matrix
from inference.windows.resample import resample

_EDGE = 0.5 + 1e-3  # a voxel reaches half a voxel beyond its centre
_SAME = 1e-3  # voxels
_AIR = -1024.0
WHOLE = 0.95  # share of the first series from which on nobody is told


def fields_of(volume: Volume) -> tuple[tuple[Field, ...], np.ndarray]:
    """All channels on the grid of the first one, and which slice of that grid each slice of the first one is."""
    grid, index = field_of(volume)
    return (grid, *(onto(grid, volume, other) for other in volume.others)), index


def others_of(volume: Volume) -> Iterator[npt.NDArray[np.float32]]:
    """Each other series on the slices of the first one, float32 (slices, rows, columns) as its own."""
    if not volume.others:
        return
    even = grid_of(volume)
    grid = Field(np.broadcast_to(np.float32(0), even.shape), even.place)  # nobody looks at its values
    for other in volume.others:
        slices = onto(grid, volume, other).values.transpose(2, 1, 0)
        yield slices if len(slices) == len(even.index) else slices[even.index]


def onto(grid: Field, volume: Volume, other: Volume) -> Field:
    """The values of ``other`` on ``grid``, which is that of ``volume``."""
    field, _ = field_of(other)
    to_other = between(volume, grid.place, other, field.place)
    if field.values.shape == grid.values.shape and np.abs(to_other - np.eye(4)).max() < _SAME / max(grid.values.shape):
        return Field(field.values, grid.place)
    values = resample(field.values, to_other, grid.values.shape, "bilinear")
    nothing = np.float32(_AIR if np.issubdtype(other.hu.dtype, np.integer) else 0.0)
    for k in range(values.shape[2]):  # slice by slice: three arrays of indices of a whole volume are not held
        inside = _inside(to_other, values.shape, field.values.shape, k)
        if not inside.all():
            values[:, :, k].T[~inside.T] = nothing
    return Field(values, grid.place)


def between(volume: Volume, place: Matrix, other: Volume, other_place: Matrix) -> Matrix:
    """(4, 4): the index in the other volume of an index in the first one; both lie in one frame of reference."""
    shift = np.eye(4)
    shift[:3, 3] = np.array(volume.origin) - np.array(other.origin)
    return np.asarray(np.linalg.solve(other_place, shift @ place), np.float64)


def _inside(to_other: Matrix, shape: tuple[int, ...], size: tuple[int, ...], k: int) -> np.ndarray:
    """(columns, rows) of slice ``k``: whether each voxel lies inside the other volume."""
    found = np.ones(shape[:2], bool)
    columns, rows = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    for axis in range(3):
        line = to_other[axis, 0] * columns + to_other[axis, 1] * rows + (to_other[axis, 2] * k + to_other[axis, 3])
        found &= (line >= -_EDGE) & (line <= size[axis] - 1 + _EDGE)
    return found


def coverage(volume: Volume, other: Volume) -> float:
    """The share of the voxels of ``volume`` that lie inside ``other``, looked at in at most 48 slices."""
    grid, there = grid_of(volume), grid_of(other)
    to_other = between(volume, grid.place, other, there.place)
    slices = grid.index[:: max(1, len(grid.index) // 48)]
    return float(np.mean([_inside(to_other, grid.shape, there.shape, int(k)).mean() for k in slices]))


def check_coverage(volume: Volume, other: Volume, name: str, least: float) -> list[str]:
    """A note where a channel shows only a part of the first one; raises UnsuitableError when that is too little."""
    share = coverage(volume, other)
    words = f"The series for {name} shows {100 * share:.0f} % of what the first series shows"
    if share < least:
        raise UnsuitableError(Reason.GEOMETRY, f"{words}; this model needs at least {100 * least:.0f} %.")
    return [words] if share < WHOLE else []
