"""Preprocessing steps that change the grid of a volume. Names, keys and results are MONAI's; Field.place keeps the way back."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from domain.errors import PackageError
from inference.keys import Table
from inference.windows.field import Field, Matrix, scaling
from inference.windows.resample import along, average, resample

# Axis of the patient and sense in which it rises (x to the left, y to the back, z to the head).
LETTERS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
_MOST = 2_000_000_000


def orientation(field: Field, axcodes: str) -> Field:
    """Axes exchanged and flipped so that each rises towards its letter ("RAS": right, front, head), as near as axes can."""
    axis_of = _nearest_axes(field.place)
    to_old, values = np.eye(4), field.values
    order = [axis_of.index(LETTERS[letter][0]) for letter in axcodes]
    values = values.transpose(order)
    to_old[:3, :3] = np.eye(3)[:, order]
    for new, (letter, old) in enumerate(zip(axcodes, order, strict=True)):
        patient, sense = LETTERS[letter]
        if field.place[patient, old] * sense < 0:
            values = np.flip(values, new)
            to_old[:3, 3] += to_old[:3, new] * (values.shape[new] - 1)
            to_old[:3, new] *= -1
    return field.moved(values, to_old)


def _nearest_axes(place: Matrix) -> list[int]:
    """For each axis of the array the axis of the patient that it is nearest to, none twice (as nibabel's io_orientation)."""
    cosines = place[:3, :3] / np.linalg.norm(place[:3, :3], axis=0)
    left, _, right = np.linalg.svd(cosines)
    nearest, found = np.abs(left @ right), []
    for axis in range(3):
        found.append(int(nearest[:, axis].argmax()))
        nearest[found[-1]] = -1
    return found


def spacing(field: Field, pixdim: tuple[float, ...], mode: str = "bilinear") -> Field:
    """Voxels of ``pixdim`` mm, axes as they are; a slant (tilted gantry) is removed. The first corner stays where it is."""
    turn = field.place[:3, :3]
    size = np.array([new if new > 0 else old for new, old in zip(pixdim, field.spacing, strict=True)])
    triangle = np.linalg.cholesky(turn.T @ turn).T
    upright = turn @ np.linalg.inv(triangle) * (np.sign(np.diag(triangle)) * size)
    corners = np.array(np.meshgrid(*((0.0, n - 1.0) for n in field.values.shape), indexing="ij")).reshape(3, -1)
    seen = np.linalg.solve(upright, turn @ corners)
    shape = tuple(int(n) for n in np.round(np.ptp(seen, axis=1) + 1))
    _check(shape)
    place = np.eye(4)
    place[:3, :3] = upright
    lowest = seen.min(axis=1)
    corner = next((corners[:, i] for i in range(8) if np.allclose(seen[:, i], lowest, atol=1e-3)), None)
    if corner is not None:
        place[:3, 3] = (field.place @ np.append(corner, 1))[:3]
    else:  # a slant: the middles of both grids are put together
        place[:3, 3] = turn @ (np.array(field.values.shape) / 2) + field.place[:3, 3] - upright @ (np.array(shape) / 2)
    to_old = np.asarray(np.linalg.solve(field.place, place), np.float64)
    return field.moved(resample(field.values, to_old, shape, mode), to_old)


def resize(field: Field, size: tuple[int, ...], mode: str = "area") -> Field:
    """``size`` voxels over the same extent ("area", "trilinear", "nearest": PyTorch's, align_corners false)."""
    values, old = field.values, np.array(field.values.shape)
    factors = old / np.array(size)
    for axis, n in enumerate(size):
        if mode == "area":
            values = average(values, n, axis)
        elif mode == "trilinear":
            values = along(values, (np.arange(n) + 0.5) * factors[axis] - 0.5, axis, "bilinear")
        else:
            values = values.take(np.arange(n) * old[axis] // n, axis)
    return field.moved(values, scaling(factors, 0.5 * factors - 0.5))


def cut(field: Field, start: Matrix, stop: Matrix) -> Field:
    """Voxels from ``start`` to before ``stop`` of each axis; what lies outside is 0."""
    shape = np.array(field.values.shape)
    inner = tuple(slice(int(max(a, 0)), int(min(b, n))) for a, b, n in zip(start, stop, shape, strict=True))
    before, after = np.maximum(-start, 0), np.maximum(stop - shape, 0)
    values = np.pad(field.values[inner], [(int(a), int(b)) for a, b in zip(before, after, strict=True)])
    return field.moved(values, scaling(np.ones(3), start))


def extent(there: Sequence[npt.NDArray[np.bool_]]) -> list[npt.NDArray[np.intp]]:
    """The indices along each axis at which something is there in any of some masks."""
    lines = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        lines.append(np.flatnonzero(np.any([mask.any(axis=others) for mask in there], axis=0)))
    return lines


def crop_foreground(
    fields: tuple[Field, ...], margin: int = 0, k_divisible: int = 1, allow_smaller: bool = False
) -> tuple[Field, ...]:
    """The box around everything above 0 in any channel and ``margin`` voxels more, filled up to a multiple of ``k_divisible``."""
    shape = np.array(fields[0].values.shape)
    ranges = extent([field.values > 0 for field in fields])
    if not len(ranges[0]):
        return fields  # nothing to crop to
    start = np.array([r[0] for r in ranges]) - margin
    stop = np.array([r[-1] + 1 for r in ranges]) + margin
    if allow_smaller:
        start, stop = np.maximum(start, 0), np.minimum(stop, shape)
    size = -(-(stop - start) // k_divisible) * k_divisible
    start = start - (size - (stop - start)) // 2
    return tuple(cut(field, start, start + size) for field in fields)


def spatial_pad(field: Field, size: tuple[int, ...]) -> Field:
    """At least ``size`` voxels (-1: as many as there are), zeros put around symmetrically."""
    shape = np.array(field.values.shape)
    wide = np.maximum(np.array(size) - shape, 0)
    return cut(field, -(wide // 2), shape + wide - wide // 2)


def divisible_pad(field: Field, k: tuple[int, ...]) -> Field:
    """A multiple of ``k`` voxels, zeros put around symmetrically."""
    shape = np.array(field.values.shape)
    return spatial_pad(field, tuple(int(-(-n // d) * d) for n, d in zip(shape, k, strict=True)))


def center_spatial_crop(field: Field, size: tuple[int, ...]) -> Field:
    """At most ``size`` voxels (-1: all there are) in the middle."""
    shape = np.array(field.values.shape)
    wanted = np.array([n if s <= 0 else min(s, n) for s, n in zip(size, shape, strict=True)])
    start = shape // 2 - wanted // 2
    return cut(field, start, start + wanted)


def _check(shape: tuple[int, ...]) -> None:
    if np.prod(shape, dtype=np.float64) > _MOST:
        raise PackageError("a preprocessing step makes a volume of more voxels than a node can hold")


def read_axcodes(table: Table, key: str = "axcodes") -> str:
    """Three letters, one of each pair L/R, P/A, I/S."""
    letters = table.text(key, 3)
    if sorted(LETTERS[x][0] if x in LETTERS else 9 for x in letters) != [0, 1, 2]:
        raise table.wrong(key, "three letters such as RAS or LPS, one each of L/R, P/A and I/S")
    return letters
