"""Makes an even grid of a volume: missing slices interpolated, every voxel placed in the patient."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from inference.volume import Volume
from inference.windows.field import Field, Matrix, Values


@dataclass(frozen=True, slots=True)
class EvenGrid:
    """Columns, rows and slices; ``place`` as in Field; ``index`` says which slice of the grid each slice of the volume is."""

    shape: tuple[int, int, int]
    place: Matrix
    index: npt.NDArray[np.intp]


def grid_of(volume: Volume) -> EvenGrid:
    """The even grid a volume lies on, missing slices included."""
    index = np.rint((np.array(volume.positions) - volume.positions[0]) / volume.spacing[0]).astype(np.intp)
    place = np.eye(4)
    place[:3, :3] = ways(volume).T[:, ::-1]
    return EvenGrid((volume.hu.shape[2], volume.hu.shape[1], int(index[-1]) + 1), place, index)


def field_of(volume: Volume) -> tuple[Field, npt.NDArray[np.intp]]:
    """The volume on an even grid, and which slice of that grid each slice is. Missing slices are interpolated linearly."""
    grid = grid_of(volume)
    hu = volume.hu.astype(np.float32)
    if grid.shape[2] != len(hu):
        hu = _filled(hu, grid.index)
    return Field(hu.transpose(2, 1, 0), grid.place), grid.index


def ways(volume: Volume) -> Matrix:
    """The ways to the next slice, row and column, mm, one in each row."""
    if volume.steps is not None:
        return volume.steps
    return np.array([[0.0, 0.0, volume.spacing[0]], [0.0, volume.spacing[1], 0.0], [volume.spacing[2], 0.0, 0.0]])


def _filled(hu: Values, index: npt.NDArray[np.intp]) -> Values:
    whole = np.empty((int(index[-1]) + 1, *hu.shape[1:]), np.float32)
    for (first, last), (below, above) in zip(pairwise(index), _pairs(hu), strict=True):
        for k in range(int(first), int(last)):
            share = np.float32((k - first) / (last - first))
            whole[k] = below if k == first else below * (1 - share) + above * share
    whole[-1] = hu[-1]
    return whole


def _pairs(hu: Values) -> list[tuple[Values, Values]]:
    return [(hu[i], hu[i + 1]) for i in range(len(hu) - 1)]
