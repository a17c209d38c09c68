"""How slices lie in the patient, and how each is turned so that a network always sees the same side up.

Coordinates are DICOM's: x to the patient's left, y to the back, z to the head (PS3.3 C.7.6.2.1.1).
"""

import numpy as np
import numpy.typing as npt

from domain.errors import Reason, UnsuitableError

Vector = npt.NDArray[np.float64]
PLANES = ("axial", "coronal", "sagittal")
_BY_NORMAL = {2: "axial", 1: "coronal", 0: "sagittal"}
# What a reader is used to: (axis and sense) of the rows downwards, of the columns to the right.
_DOWN = {"axial": (1, 1), "coronal": (2, -1), "sagittal": (2, -1)}
_ACROSS = {"axial": (0, 1), "coronal": (0, 1), "sagittal": (1, 1)}


def plane(normal: Vector) -> str:
    """The plane whose normal is nearest."""
    return _BY_NORMAL[int(np.abs(normal).argmax())]


def rising(normal: Vector) -> Vector:
    """The normal, in the sense of its main axis: slices go to the head, to the back or to the left."""
    return -normal if normal[int(np.abs(normal).argmax())] < 0 else normal


def check_plane(row: Vector, column: Vector, normal: Vector, orientation: str, tolerance_deg: float) -> None:
    """Raises UnsuitableError when the slices do not lie as a model wants them ("any": as they like)."""
    if orientation == "any":
        return
    name = plane(normal)
    if name != orientation:
        raise UnsuitableError(Reason.ORIENTATION, f"The slices are {name}; this model needs {orientation} slices.")
    off = max(angle(float(np.abs(direction).max())) for direction in (normal, row, column))
    if off > tolerance_deg:
        words = f"The slices are turned by {off:.0f} degrees; this model allows {tolerance_deg:.0f}."
        raise UnsuitableError(Reason.ORIENTATION, words)


def turning(row: Vector, column: Vector, normal: Vector) -> tuple[bool, tuple[bool, bool]]:
    """Whether to transpose a slice, and then to flip its rows and columns, to see it as a reader does.

    ``row`` is the direction along a row, ``column`` the one down a column.
    """
    name = plane(normal)
    (down, down_sense), (across, across_sense) = _DOWN[name], _ACROSS[name]
    transposed = bool(abs(row[down]) > abs(row[across]))
    downwards, rightwards = (row, column) if transposed else (column, row)
    return transposed, (bool(downwards[down] * down_sense < 0), bool(rightwards[across] * across_sense < 0))


def angle(cosine: float) -> float:
    """Degrees."""
    return float(np.degrees(np.arccos(min(1.0, max(-1.0, cosine)))))
