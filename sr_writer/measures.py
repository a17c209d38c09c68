"""How large a pixel is in the Segmentation of images that lie nowhere (ultrasound, projection X-ray), where they say it."""

from collections.abc import Iterator
from math import isfinite
from typing import Any, Final

from pydicom.dataset import Dataset

from sr_writer.grid import Grid

_CENTIMETRE: Final = 3  # Physical Units X/Y Direction (PS3.3 C.8.5.5.1.15)
_OWN_AXES: Final = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
Spacing = tuple[float, float]  # millimetres from row to row, from column to column


def measure(dataset: Dataset, grid: Grid) -> None:
    """Pixel Measures and Plane Orientation of a SEG without frame of reference, if one spacing is true of all its images.

    Both groups are optional there (PS3.3 table A.51-2), and OHIF 3.13 blanks its page without the first and loads no segment
    without the second. With no Frame of Reference the orientation is that of the pixels to themselves; it says nothing about
    the patient.
    """
    spacings = {spacing for image in grid.images for spacing in _spacings(image)}
    if len(spacings) != 1 or not all(any(_spacings(image)) for image in grid.images):
        return
    measures, orientation = Dataset(), Dataset()
    measures.PixelSpacing = [f"{value:.10g}" for value in spacings.pop()]
    measures.SliceThickness = measures.PixelSpacing[0]  # highdicom reads no SEG without; how thick the beam was nobody says
    orientation.ImageOrientationPatient = list(_OWN_AXES)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [orientation]


def _spacings(image: Dataset) -> Iterator[Spacing]:
    """Of every calibrated ultrasound region (PS3.3 C.8.5.5), else of the whole image."""
    regions = image.get("SequenceOfUltrasoundRegions") or ()
    found = [spacing for region in regions if (spacing := _region(region)) is not None]
    whole = _pair(image.get("PixelSpacing"))
    yield from found or ([whole] if whole else [])


def _region(region: Dataset) -> Spacing | None:
    units = region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection")
    if units != (_CENTIMETRE, _CENTIMETRE):
        return None
    pair = _pair((region.get("PhysicalDeltaY"), region.get("PhysicalDeltaX")))
    return (pair[0] * 10, pair[1] * 10) if pair else None


def _pair(values: Any) -> Spacing | None:
    try:
        first, second = (abs(float(value)) for value in values)
    except (TypeError, ValueError):
        return None
    return (first, second) if all(isfinite(v) and v > 0 for v in (first, second)) else None
