"""What nnU-Net v2 does to a volume that MONAI does differently: crop to what is not 0, and resampling by its anisotropy rule."""

import numpy as np

from inference.windows.field import Field, Values, scaling
from inference.windows.resample import along, spline
from inference.windows.spatial import cut, extent

ANISOTROPY = 3.0


def crop_to_nonzero(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    """The box around everything that is not 0 in any channel."""
    ranges = extent([field.values != 0 for field in fields])
    if not len(ranges[0]):
        return fields
    start, stop = np.array([r[0] for r in ranges]), np.array([r[-1] + 1 for r in ranges])
    return tuple(cut(field, start, stop) for field in fields)


def resample_to_spacing(field: Field, wanted: tuple[float, ...], order: int = 3, order_z: int = 0) -> Field:
    """Voxels of about ``wanted`` mm (not above 0: as they are) by splines of ``order``.

    Where voxels are far longer than wide: slice by slice instead, and ``order_z`` (0: nearest) along the long axis.
    """
    old, target = np.array(field.values.shape), np.where(np.array(wanted) > 0, wanted, field.spacing)
    shape = tuple(int(n) for n in np.round(old * field.spacing / target))
    shape = tuple(max(n, 1) for n in shape)
    axis = separate_axis(field.spacing, target)
    values = spline(field.values, shape, order) if axis is None else _by_slices(field.values, shape, axis, order, order_z)
    factors = old / np.array(shape)
    return field.moved(np.asarray(values, np.float32), scaling(factors, 0.5 * factors - 0.5))


def separate_axis(now: np.ndarray, wanted: np.ndarray) -> int | None:
    """The one long axis of voxels more than three times as long as wide, now or as wanted."""
    for spacing in (now, wanted):
        if spacing.max() / spacing.min() > ANISOTROPY:
            long = np.flatnonzero(spacing.max() / spacing == 1)
            return int(long[0]) if len(long) == 1 else None
    return None


def _by_slices(values: Values, shape: tuple[int, ...], axis: int, order: int, order_z: int) -> Values:
    lines = np.moveaxis(values, axis, 0)
    flat = tuple(n for a, n in enumerate(shape) if a != axis)
    found = np.stack([spline(plane, flat, order) for plane in lines])
    n = shape[axis]
    if n != len(found):
        places = (np.arange(n) + 0.5) * len(found) / n - 0.5
        found = along(found, places, 0, "nearest" if order_z == 0 else "bilinear")
    return np.moveaxis(found, 0, axis)
