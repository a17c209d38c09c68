"""What a pixel measures, and where: ultrasound regions, pixel spacing, detectors. No calibration is an answer too."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from inference.images.pixels import spacing
from inference.source import first, items, text

_CENTIMETRE = 3  # Physical Units X/Y Direction (PS3.3 C.8.5.5.1.15)
_TWO_D = 1  # Region Spatial Format: 2D (tissue or flow)
MOST_REGIONS = 64


@dataclass(frozen=True, slots=True)
class Region:
    """A part of an image in which one pixel is (mm_x, mm_y); borders are pixel edges: left, top inside, right, bottom not."""

    left: float
    top: float
    right: float
    bottom: float
    mm_x: float
    mm_y: float
    tissue: bool = False  # a 2D ultrasound region with tissue, not a trace or a scale bar

    def holds(self, x: float, y: float) -> bool:
        """Whether a point of the image lies in the region."""
        return self.left <= x < self.right and self.top <= y < self.bottom


def regions(header: Dataset, rows: int, columns: int) -> tuple[Region, ...]:
    """The calibrated parts of an image. Ultrasound regions (PS3.3 C.8.5.5) come before one spacing for all of it."""
    if text(header, "Modality").strip() in ("US", "IVUS"):
        found = tuple(
            region
            for item in items(header, "SequenceOfUltrasoundRegions", MOST_REGIONS)
            if (region := _region(item, rows, columns)) is not None
        )
        if found:
            return found
    whole = _whole(header)
    return (Region(0, 0, columns, rows, whole[1], whole[0]),) if whole else ()


def at(calibrated: Sequence[Region], x: float, y: float) -> tuple[float, float] | None:
    """Millimetres per pixel (x, y) at a point: by the smallest region that holds it. None: not known."""
    there = [region for region in calibrated if region.holds(x, y)]
    if not there:
        return None
    smallest = min(there, key=lambda r: (r.right - r.left) * (r.bottom - r.top))
    return smallest.mm_x, smallest.mm_y


def tissue_view(calibrated: Sequence[Region]) -> Region | None:
    """The largest 2D tissue region, or None."""
    tissue = [region for region in calibrated if region.tissue]
    return max(tissue, key=lambda r: (r.right - r.left) * (r.bottom - r.top), default=None)


def _region(item: Dataset, rows: int, columns: int) -> Region | None:
    """None for a region that is not measured in centimetres both ways (a trace, a curve), or lies outside the image."""
    if first(item, "PhysicalUnitsXDirection") != _CENTIMETRE or first(item, "PhysicalUnitsYDirection") != _CENTIMETRE:
        return None
    edges = [first(item, f"RegionLocation{name}") for name in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
    steps = [first(item, f"PhysicalDelta{axis}") for axis in "XY"]
    if any(edge is None for edge in edges) or any(step is None or not 1e-6 < abs(step) < 10 for step in steps):
        return None
    left, top, right, bottom = (float(edge) for edge in edges if edge is not None)
    left, top, right, bottom = max(left, 0), max(top, 0), min(right + 1, columns), min(bottom + 1, rows)
    if right - left < 2 or bottom - top < 2:
        return None
    mm_x, mm_y = (abs(float(step)) * 10 for step in steps if step is not None)
    return Region(left, top, right, bottom, mm_x, mm_y, first(item, "RegionSpatialFormat") == _TWO_D)


def _whole(header: Dataset) -> tuple[float, float] | None:
    found = spacing(header, "PixelSpacing") or measured(header)
    if found:
        return found
    detector = spacing(header, "ImagerPixelSpacing")
    factor = first(header, "EstimatedRadiographicMagnificationFactor") or 1.0
    return (detector[0] / factor, detector[1] / factor) if detector and 0.5 < factor < 20 else None


def measured(header: Dataset) -> tuple[float, float] | None:
    """Pixel Spacing of the Shared Functional Groups (PS3.3 C.7.6.16.2.1)."""
    groups = items(header, "SharedFunctionalGroupsSequence", 1)
    measures = items(groups[0], "PixelMeasuresSequence", 1) if groups else []
    return spacing(measures[0], "PixelSpacing") if measures else None
