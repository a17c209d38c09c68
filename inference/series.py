"""Puts the images of one series in order from their geometry alone, or says in one sentence why they make no volume.

Never the file order, never the instance numbers: positions along the normal (PS3.3 C.7.6.2.1.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.uid import CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage

from domain.errors import Reason, UnsuitableError
from inference.admission import Contract
from inference.frames import ENHANCED, singles
from inference.planes import Vector, angle, check_plane, rising, turning
from inference.source import Source, integer, numbers, text, words

CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage, "PT": PositronEmissionTomographyImageStorage}
_PET = {"PT": "PET"}
_SAME_DIRECTION = np.cos(np.radians(0.5))
_NOTED_TILT = 1.0
MOST_SHEAR = 45.0  # degrees; more is no gantry


@dataclass(frozen=True, slots=True)
class Stack:
    """The images of a volume from feet to head (coronal: front to back, sagittal: right to left). ``spacing`` is mm between
    slices, rows, columns; ``positions`` mm along the normal, rising. ``transposed`` and the flips (rows, columns) bring a slice
    into the orientation the network sees.

    ``steps`` are the ways in the patient, mm (PS3.3 C.7.6.2.1.1), to the next slice (slanted where the gantry was tilted), row
    and column, (3, 3), one in each row; ``origin`` is the centre of the first voxel of the first slice."""

    sources: tuple[Source, ...]
    rows: int
    columns: int
    spacing: tuple[float, float, float]
    positions: tuple[float, ...]
    transposed: bool
    flips: tuple[bool, bool]
    steps: Vector
    units: str = "HU"
    notes: tuple[str, ...] = ()
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)


def stack(sources: Sequence[Source], contract: Contract) -> Stack:
    """The images of one series as the contract wants them; raises UnsuitableError."""
    images, notes = _images(sources, contract)
    rows, columns = _one_size(images)
    _check_size(rows, columns, len(images), contract)
    row, column = _one_orientation(images)
    normal = np.cross(row, column)
    check_plane(row, column, normal, contract.orientation, contract.tolerance_deg)
    normal = rising(normal)
    places = np.array([_triple(image, "ImagePositionPatient") for image in images])
    order = np.argsort(places @ normal, kind="stable")
    places, images = places[order], [images[i] for i in order]
    positions = places @ normal
    spacing, gap_notes = _slice_spacing(positions, contract)
    notes += gap_notes + _tilt_notes(normal, places[-1] - places[0], contract)
    in_plane = _pixel_spacing(images, contract)
    transposed, flips = turning(row, column, normal)
    along = tuple(float(p) for p in positions)
    slice_step = (places[-1] - places[0]) * spacing / (positions[-1] - positions[0])
    steps = np.stack([slice_step, column * in_plane[0], row * in_plane[1]])
    whole, origin = (spacing, *in_plane), (float(places[0][0]), float(places[0][1]), float(places[0][2]))
    return Stack(tuple(images), rows, columns, whole, along, transposed, flips, steps, contract.units, tuple(notes), origin)


def _images(sources: Sequence[Source], contract: Contract) -> tuple[list[Source], list[str]]:
    """The images that count: of the right class and no localizers."""
    if not sources:
        raise UnsuitableError(Reason.NO_IMAGES, "There are no images.")
    for source in sources:
        if source.fault:
            raise UnsuitableError(Reason.DECODE, f"Part of the series is missing: {source.fault}.")
    modalities = {text(source.header, "Modality") for source in sources}
    if contract.modality not in modalities:
        raise UnsuitableError(Reason.MODALITY, f"The series is not {contract.modality}.")
    sources, frame_notes = singles(sources)
    _check_single_frames(sources)
    images = [source for source in sources if _is_slice(source, contract.modality)]
    if not images:
        name = _PET.get(contract.modality, contract.modality)
        raise UnsuitableError(Reason.NO_IMAGES, f"The series has no {name} images, only other objects.")
    slices = [source for source in images if "LOCALIZER" not in words(source.header, "ImageType")]
    if not slices:
        raise UnsuitableError(Reason.LOCALIZER, "The series has localizer images only.")
    left_out = len(images) - len(slices)
    notes = [f"{left_out} localizer {'image' if left_out == 1 else 'images'} left out"] if left_out else []
    if len(slices) < contract.min_slices:
        words_ = f"The series has {len(slices)} slices; this model needs at least {contract.min_slices}."
        raise UnsuitableError(Reason.TOO_FEW_SLICES, words_)
    return slices, notes + frame_notes


def _is_slice(source: Source, modality: str) -> bool:
    if source.frame:
        return text(source.header, "SOPClassUID") in ENHANCED and text(source.header, "Modality") == modality
    return text(source.header, "SOPClassUID") == CLASSES[modality]


def _check_single_frames(sources: Sequence[Source]) -> None:
    for source in sources:
        if not source.frame and (integer(source.header, "NumberOfFrames") or 1) > 1:
            raise UnsuitableError(Reason.OTHER, "The series has multi-frame images of a class this version does not read.")


def _one_size(images: Sequence[Source]) -> tuple[int, int]:
    sizes = {(integer(image.header, "Rows"), integer(image.header, "Columns")) for image in images}
    if len(sizes) != 1:
        raise UnsuitableError(Reason.GEOMETRY, "The images of the series differ in their numbers of rows and columns.")
    rows, columns = sizes.pop()
    if not rows or not columns or rows < 0 or columns < 0:
        raise UnsuitableError(Reason.GEOMETRY, "The images do not say how many rows and columns they have.")
    return rows, columns


def _check_size(rows: int, columns: int, slices: int, contract: Contract) -> None:
    if rows * columns * slices > contract.max_voxels:
        raise UnsuitableError(Reason.TOO_LARGE, f"The series claims {slices} slices of {rows} x {columns} pixels: too large.")
    if rows < contract.min_rows or columns < contract.min_columns:
        least = f"{contract.min_rows} x {contract.min_columns}"
        raise UnsuitableError(Reason.GEOMETRY, f"The images have {rows} x {columns} pixels; this model needs at least {least}.")


def _triple(source: Source, keyword: str) -> tuple[float, ...]:
    found = numbers(source.header, keyword, 3)
    if found is None:
        raise UnsuitableError(Reason.GEOMETRY, "An image does not say where it lies in the patient (Image Position).")
    return found


def _one_orientation(images: Sequence[Source]) -> tuple[Vector, Vector]:
    found = [_directions(image) for image in images]
    row, column = found[0]
    for other_row, other_column in found:
        if row @ other_row < _SAME_DIRECTION or column @ other_column < _SAME_DIRECTION:
            raise UnsuitableError(Reason.MIXED_ORIENTATION, "The series mixes images of different orientations.")
    return row, column


def _directions(source: Source) -> tuple[Vector, Vector]:
    found = numbers(source.header, "ImageOrientationPatient", 6)
    if found is None:
        raise UnsuitableError(Reason.GEOMETRY, "An image does not say how it lies in the patient (Image Orientation).")
    row, column = np.array(found[:3]), np.array(found[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if min(lengths) < 0.9 or max(lengths) > 1.1 or abs(row @ column) > 0.01:
        raise UnsuitableError(Reason.GEOMETRY, "The orientation of an image is not two unit vectors at a right angle.")
    return row / lengths[0], column / lengths[1]


def _slice_spacing(positions: Vector, contract: Contract) -> tuple[float, list[str]]:
    """Median distance, after looking for duplicates, gaps and uneven distances; and the notes."""
    distances = np.diff(positions)
    typical = float(np.median(distances[distances > 0.001])) if (distances > 0.001).any() else 0.0
    doubled = int((distances <= 0.02 * typical).sum()) if typical else len(distances)
    if doubled:
        words_ = (
            f"{doubled} of {len(positions)} images lie where another one lies (several phases or reconstructions in one series)."
        )
        raise UnsuitableError(Reason.DUPLICATE_POSITION, words_)
    low, high = contract.slice_spacing
    if not low <= round(typical, 3) <= high:
        words_ = f"The slices are {typical:.1f} mm apart; this model was validated for {low:g} to {high:g} mm."
        raise UnsuitableError(Reason.SPACING, words_)
    return typical, _gaps(distances, typical, contract)


def _gaps(distances: Vector, typical: float, contract: Contract) -> list[str]:
    wide = distances > contract.gap_factor * typical
    missing = int(np.maximum(np.rint(distances[wide] / typical) - 1, 1).sum())
    complete = len(distances) + 1 + missing
    if missing > contract.max_missing:
        raise UnsuitableError(Reason.GAP, f"{missing} of {complete} slices are missing.")
    if (np.abs(distances[~wide] / typical - 1) > contract.spacing_variation).any():
        words_ = f"The distances between slices vary from {distances.min():.1f} to {distances[~wide].max():.1f} mm."
        raise UnsuitableError(Reason.SPACING, words_)
    return [f"{missing} of {complete} slices {'is' if missing == 1 else 'are'} missing"] if missing else []


def _tilt_notes(normal: Vector, way: Vector, contract: Contract) -> list[str]:
    """Gantry tilt: slices that lean, or a stack that is sheared. Positions along the normal stay right in both."""
    shear = angle(float(normal @ way / np.linalg.norm(way)))
    most = MOST_SHEAR if contract.orientation == "any" else contract.tolerance_deg
    if shear > most:
        words_ = f"The stack of slices is slanted by {shear:.0f} degrees; this model allows {most:.0f}."
        raise UnsuitableError(Reason.ORIENTATION, words_)
    tilt = max(shear, angle(float(np.abs(normal).max())))
    return [f"Slices tilted by {tilt:.0f} degrees"] if tilt > _NOTED_TILT else []


def _pixel_spacing(images: Sequence[Source], contract: Contract) -> tuple[float, float]:
    found = {numbers(image.header, "PixelSpacing", 2) for image in images}
    first = found.pop()
    if first is None or None in found:
        raise UnsuitableError(Reason.GEOMETRY, "The images do not say how large a pixel is (Pixel Spacing).")
    if any(other is not None and not np.allclose(other, first, rtol=1e-3) for other in found):
        raise UnsuitableError(Reason.GEOMETRY, "The images of the series differ in the size of their pixels.")
    low, high = contract.pixel_spacing
    for value in first:
        if not low <= value <= high:
            words_ = f"A pixel is {value:.2f} mm wide; this model was validated for {low:g} to {high:g} mm."
            raise UnsuitableError(Reason.GEOMETRY, words_)
    return first[0], first[1]
