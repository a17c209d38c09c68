"""A volume on its way to the network: float32 values and where each voxel is in the patient, so that answers find back."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Field:
    """``values`` has three axes: columns, rows, slices of the source (as MONAI's readers do), until a step changes them.

    ``place`` (4, 4) gives the place in the patient of a voxel index, mm, x to the left, y to the back, z to the head, relative
    to the first voxel of the source.
    """

    values: Values
    place: Matrix

    @property
    def spacing(self) -> Matrix:
        """Size of a voxel along each axis, mm."""
        return np.asarray(np.linalg.norm(self.place[:3, :3], axis=0))

    def moved(self, values: Values, to_old: Matrix) -> "Field":
        """Other values; ``to_old`` (4, 4) gives the old index of a new one."""
        return Field(values, self.place @ to_old)


def scaling(factors: Matrix, shifts: Matrix) -> Matrix:
    """The matrix of index -> factor x index + shift."""
    matrix = np.diag(np.append(factors, 1.0))
    matrix[:3, 3] = shifts
    return matrix
