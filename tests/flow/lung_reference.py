"""The lungs of a chest CT by threshold and morphology: a reference that shares no code and no idea with the models.

Air in the body, without the air-ways down to the main bronchi, two largest pieces, vessels filled by closing.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
from scipy import ndimage

AIR = -400  # HU: half-way between lung (-850) and soft tissue (40)
LUMEN = -930  # HU: the inside of the air-ways is emptier than normal lung
LUMEN_LARGEST = 1500  # mm2: no trachea is larger in a slice; what is has leaked into a lung
WALL = 2.0  # mm around the lumen that partial volume keeps above LUMEN
VESSEL = 6.0  # mm: radius of the closing
HOLE_LARGEST = 300  # mm2: a vessel seen end-on; the dome of the liver is larger and no lung

Mask = npt.NDArray[np.bool_]


def read(files: Sequence[Path]) -> tuple[npt.NDArray[np.int16], tuple[float, float, float]]:
    """HU of one axial series as int16 (slices, rows, columns) from feet to head, and its spacing in mm."""
    slices = sorted((pydicom.dcmread(file) for file in files), key=lambda ds: float(ds.ImagePositionPatient[2]))
    hu = np.stack([ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for ds in slices]).astype(np.int16)
    places = [float(ds.ImagePositionPatient[2]) for ds in slices]
    rows, columns = map(float, slices[0].PixelSpacing)
    return hu, (float(np.median(np.diff(places))), rows, columns)


def lungs(hu: npt.NDArray[np.int16], spacing: tuple[float, float, float]) -> Mask:
    """Both lungs with the vessels in them, bool (slices, rows, columns)."""
    air = _inside(hu < AIR)
    air &= ~_airways(hu, air, spacing)
    air = ndimage.binary_opening(air, iterations=1)
    both = _largest(air, 2)
    filled = np.zeros_like(both)
    window = ndimage.find_objects(both.any(axis=0).astype(np.uint8))[0]  # the rest of the image needs no closing
    for index, mask in enumerate(both[:, *window]):
        closed = _closed(mask, VESSEL / spacing[1])
        filled[index][window] = closed | _small_holes(closed, HOLE_LARGEST / (spacing[1] * spacing[2]))
    return filled


def _small_holes(mask: Mask, pixels: float) -> Mask:
    labels, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    sizes = ndimage.sum_labels(labels > 0, labels, range(1, count + 1))
    return np.isin(labels, np.nonzero(sizes < pixels)[0] + 1)


def litres(mask: Mask, spacing: tuple[float, float, float]) -> float:
    """Volume of a mask in litres."""
    return float(mask.sum() * np.prod(spacing) / 1e6)


def _inside(air: Mask) -> Mask:
    """Air that does not reach the border of its slice: what is around the patient does."""
    inside = np.zeros_like(air)
    for index, mask in enumerate(air):
        labels, _ = ndimage.label(mask)
        border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        inside[index] = mask & ~np.isin(labels, border)
    return inside


def _airways(hu: npt.NDArray[np.int16], air: Mask, spacing: tuple[float, float, float]) -> Mask:
    """The trachea and the main bronchi, followed downwards from the head through lumen that touches lumen above."""
    lumen = (hu < LUMEN) & air
    found = np.zeros_like(air)
    area = spacing[1] * spacing[2]
    for index in range(len(hu) - 1, -1, -1):
        labels, count = ndimage.label(ndimage.binary_opening(lumen[index]))
        sizes = ndimage.sum_labels(lumen[index], labels, range(1, count + 1)) * area
        above = found[index + 1] if index + 1 < len(hu) else np.zeros_like(air[0])
        starts = not found[index + 1 :].any()
        for label, size in enumerate(sizes, 1):
            piece = labels == label
            follows = (piece & above).any() or (starts and _is_trachea(piece, size))
            if follows and size < LUMEN_LARGEST:
                found[index] |= piece
    grown = _dilated(found, WALL / spacing[1])
    return grown & air


def _is_trachea(piece: Mask, size: float) -> bool:
    """A roundish hole of the size of a trachea in the middle third of the image."""
    rows, columns = np.nonzero(piece)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    centred = abs(columns.mean() / piece.shape[1] - 0.5) < 0.17
    return bool(80 < size < 800 and centred and 0.5 < height / width < 2 and len(rows) > 0.6 * height * width)


def _largest(mask: Mask, count: int) -> Mask:
    labels, found = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, labels, range(1, found + 1))
    keep = np.argsort(sizes)[::-1][:count] + 1
    return np.isin(labels, keep)


def _disk(radius: float) -> Mask:
    reach = int(np.ceil(radius))
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    return np.asarray(x * x + y * y <= radius * radius)


def _dilated(mask: Mask, radius: float) -> Mask:
    return np.stack([ndimage.binary_dilation(one, _disk(radius)) for one in mask])


def _closed(mask: Mask, radius: float) -> Mask:
    """By distances: as fast for a large radius as for a small one."""
    pad = int(np.ceil(radius)) + 1
    padded = np.pad(mask, pad)
    if not padded.any():
        return mask
    grown = ndimage.distance_transform_edt(~padded) <= radius
    shrunk = ndimage.distance_transform_edt(grown) > radius
    return np.asarray((shrunk | padded)[pad:-pad, pad:-pad])
