"""Measures the final labels: one pass over the slices makes a small table, and every quantity is computed from that table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from domain.errors import PackageError
from domain.results import Code
from inference.keys import Table, known_segments, suggestion
from inference.shapes import Voxels, components, largest_area, longest, percentile

MOST_COMBINATIONS = 65536
Spacing = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many voxels of each slice belong to which segments, and the sum of their Hounsfield units.

    ``counts`` and ``sums`` are (slices, combinations); ``members`` is bool (combinations, segments + 1): which segments a
    voxel of this combination belongs to (one per layer at most). Slices go from feet to head.
    """

    counts: npt.NDArray[np.int64]
    sums: npt.NDArray[np.float64]
    members: npt.NDArray[np.bool_]
    voxel_ml: float
    voxels: Voxels | None = None  # for what cannot be computed from counts and sums

    def any(self, segments: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Combinations that contain any of the segments."""
        return np.asarray(self.members[:, list(segments)].any(axis=1))

    def area(self, segment: int) -> npt.NDArray[np.int64]:
        """Voxels of a segment in each slice."""
        area: npt.NDArray[np.int64] = self.counts[:, self.any((segment,))].sum(axis=1)
        return area


def tallied(layers: npt.NDArray[np.uint8], hu: npt.NDArray[np.number], spacing: Spacing, layer_of: dict[int, int]) -> Tally:
    """The table with its voxels; ``spacing`` is mm between slices, rows, columns."""
    voxel_ml = spacing[0] * spacing[1] * spacing[2] / 1000
    return replace(tally(layers, hu, voxel_ml, layer_of), voxels=Voxels(layers, hu, spacing, layer_of))


def tally(layers: npt.NDArray[np.uint8], hu: npt.NDArray[np.number], voxel_ml: float, layer_of: dict[int, int]) -> Tally:
    """``layers`` is (layers, slices, rows, columns), ``hu`` (slices, rows, columns)."""
    ranks, bases = _places(layer_of, layers.shape[0])
    combinations = int(np.prod(bases))
    counts = np.zeros((hu.shape[0], combinations), np.int64)
    sums = np.zeros(counts.shape)
    for s in range(hu.shape[0]):
        marked = np.flatnonzero(layers[:, s].any(axis=0))
        if marked.size:
            codes = np.zeros(marked.size, np.intp)
            for layer, base in enumerate(bases):
                codes = codes * base + ranks[layer, layers[layer, s].ravel()[marked]]
            counts[s] = np.bincount(codes, minlength=combinations)
            sums[s] = np.bincount(codes, hu[s].ravel()[marked], combinations)
    return Tally(counts, sums, _members(layer_of, bases), voxel_ml)


def combinations(layer_of: dict[int, int]) -> int:
    """How many combinations of segments of different layers there can be."""
    layers = list(layer_of.values())
    return int(np.prod([layers.count(layer) + 1 for layer in set(layers)], dtype=object))


def _places(layer_of: dict[int, int], layers: int) -> tuple[npt.NDArray[np.intp], list[int]]:
    ranks = np.zeros((layers, 256), np.intp)
    bases = [1] * layers
    for segment in sorted(layer_of):
        layer = layer_of[segment]
        ranks[layer, segment] = bases[layer]
        bases[layer] += 1
    return ranks, bases


def _members(layer_of: dict[int, int], bases: list[int]) -> npt.NDArray[np.bool_]:
    members = np.zeros((int(np.prod(bases)), len(layer_of) + 1), bool)
    digits = np.unravel_index(np.arange(len(members)), bases)
    ranks, _ = _places(layer_of, len(bases))
    for segment, layer in layer_of.items():
        members[:, segment] = digits[layer] == ranks[layer, segment]
    return members


ML = Code("ml", "UCUM", "milliliter")
HOUNSFIELD = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
PERCENT = Code("%", "UCUM", "Percent")
SCORE = Code("{score}", "UCUM", "Score")
VOLUME = Code("118565006", "SCT", "Volume")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
_OTHER_VALUES = {
    "arbitrary": (Code("1", "UCUM", "no units"), Code("110852", "DCM", "MR signal intensity")),
    "BQML": (Code("Bq/ml", "UCUM", "Becquerels/milliliter"), Code("126377", "DCM", "Tracer Concentration")),
    "SUVbw": (Code("g/ml{SUVbw}", "UCUM", "Standardized Uptake Value body weight"), Code("126401", "DCM", "SUVbw")),
}
OBJECTS = Code("{objects}", "UCUM", "objects")
MM = Code("mm", "UCUM", "millimeter")
MM2 = Code("mm2", "UCUM", "SquareMilliMeter")
LONG_AXIS = Code("103339001", "SCT", "Long Axis")
SHORT_AXIS = Code("103340004", "SCT", "Short Axis")
AREA = Code("42798000", "SCT", "Area")
MEAN = Code("373098007", "SCT", "Mean")


@dataclass(frozen=True, slots=True)
class Quantity:
    """One named number of ``report.json``: its unit and how it comes from a tally (None: it has no value)."""

    name: str
    unit: Code
    value: Callable[[Tally], float | None]
    concept: Code | None = None  # what it is called in a report, unless the package says otherwise
    derivation: Code | None = None


def quantity(name: str, table: Table, known: dict[int, int], units: str = "HU") -> Quantity:
    """The quantity a table of ``quantities`` asks for, of values in ``units`` (inference.units); raises PackageError."""
    measure = table.text("measure")
    if measure not in MEASURES:
        raise PackageError(f"{table.where}: there is no measure {measure!r}{suggestion(measure, MEASURES)}")
    found = MEASURES[measure](name, table, known)
    table.done()
    if found.unit is HOUNSFIELD and units in _OTHER_VALUES:
        unit, concept = _OTHER_VALUES[units]
        return replace(found, unit=unit, concept=concept if found.concept is not None else None)
    return found


def volume(table: Tally, segments: Sequence[int]) -> float:
    """Millilitres of any of the segments."""
    return float(table.counts[:, table.any(segments)].sum() * table.voxel_ml)


def mean(table: Tally, segments: Sequence[int]) -> float | None:
    """Mean Hounsfield units of any of the segments."""
    inside = table.any(segments)
    count = table.counts[:, inside].sum()
    return float(table.sums[:, inside].sum() / count) if count else None


def percent_affected(table: Tally, lesions: Sequence[int], organs: Sequence[int]) -> float | None:
    """Lesion voxels inside the organs, in per cent of the organs' voxels."""
    inside = table.any(organs)
    total = table.counts[:, inside].sum()
    return float(100 * table.counts[:, inside & table.any(lesions)].sum() / total) if total else None


def zones_of(table: Tally, organs: Sequence[int], zones: int) -> npt.NDArray[np.int64] | None:
    """The zone of each slice, 0 the lowest: equal parts of the height that shows any organ; None where nothing does."""
    where = np.flatnonzero(table.counts[:, table.any(organs)].sum(axis=1))
    if where.size == 0:
        return None
    first, height = int(where[0]), int(where[-1]) + 1 - int(where[0])
    # A slice belongs to the zone its centre lies in.
    return np.asarray((2 * (np.arange(len(table.counts)) - first) + 1) * zones // (2 * height), np.int64)


def percent_of_zone(
    table: Tally, lesions: Sequence[int], organs: Sequence[int], zones: int, zone: int, frame: Sequence[int]
) -> float | None:
    """``percent_affected`` of one zone, 1 the highest; ``frame``: the organs whose height is cut into zones."""
    of_slice = zones_of(table, frame, zones)
    if of_slice is None:
        return None
    return percent_affected(replace(table, counts=table.counts[of_slice == zones - zone]), lesions, organs)


def slices_affected(table: Tally, lesions: Sequence[int], organs: Sequence[int], at_least: float) -> float | None:
    """Per cent of the slices with an organ in which lesions take ``at_least`` per cent of it."""
    inside = table.any(organs)
    total = table.counts[:, inside].sum(axis=1)
    hit = table.counts[:, inside & table.any(lesions)].sum(axis=1)
    shown = total > 0
    return float(100 * (100 * hit[shown] >= np.maximum(at_least * total[shown], 1)).mean()) if shown.any() else None


def zonal_severity(
    table: Tally, lesions: Sequence[int], organs: Sequence[int], zones: int, bands: Sequence[float]
) -> float | None:
    """Sum over organs and zones of 0 (no lesion) or 1 + the number of bands reached by the zone's percentage."""
    zone = zones_of(table, organs, zones)
    if zone is None:
        return None
    score = 0
    for organ in organs:
        inside = table.any((organ,))
        for part in range(zones):
            counts = table.counts[zone == part]
            total, hit = counts[:, inside].sum(), counts[:, inside & table.any(lesions)].sum()
            score += 1 + sum(100 * hit >= band * total for band in bands) if hit else 0
    return float(score)


def _volume(name: str, table: Table, known: dict[int, int]) -> Quantity:
    segments = known_segments(table, "segments", known)
    return Quantity(name, ML, lambda counted: volume(counted, segments), VOLUME)


def _mean(name: str, table: Table, known: dict[int, int]) -> Quantity:
    segments = known_segments(table, "segments", known)
    return Quantity(name, HOUNSFIELD, lambda counted: mean(counted, segments), ATTENUATION, MEAN)


def _percentile(name: str, table: Table, known: dict[int, int]) -> Quantity:
    segments, percent = known_segments(table, "segments", known), table.number("percent", 0, 100)
    # No code of a derivation says which percentile: the report must name it.
    return Quantity(name, HOUNSFIELD, _of_voxels(lambda voxels: percentile(voxels, segments, percent)))


def _count(name: str, table: Table, known: dict[int, int]) -> Quantity:
    segments = known_segments(table, "segments", known)
    least, connectivity = table.number("min_volume_ml", 0, 1e6, 0.0), table.integer("connectivity", 1, 3, 1)
    return Quantity(name, OBJECTS, _of_voxels(lambda voxels: components(voxels, segments, least, connectivity)))


def _long_axis(name: str, table: Table, known: dict[int, int]) -> Quantity:
    segments = known_segments(table, "segments", known)
    return Quantity(name, MM, _of_voxels(lambda v: a.long_length if (a := longest(v, segments)) else None), LONG_AXIS)


def _short_axis(name: str, table: Table, known: dict[int, int]) -> Quantity:
    segments = known_segments(table, "segments", known)
    return Quantity(name, MM, _of_voxels(lambda v: a.short_length if (a := longest(v, segments)) else None), SHORT_AXIS)


def _area(name: str, table: Table, known: dict[int, int]) -> Quantity:
    segments = known_segments(table, "segments", known)
    return Quantity(name, MM2, _of_voxels(lambda voxels: largest_area(voxels, segments)), AREA)


def _of_voxels(value: Callable[[Voxels], float | None]) -> Callable[[Tally], float | None]:
    return lambda counted: None if counted.voxels is None else value(counted.voxels)


def _percent_affected(name: str, table: Table, known: dict[int, int]) -> Quantity:
    lesions, organs = known_segments(table, "lesions", known), known_segments(table, "organs", known)
    if "zone" not in table:
        return Quantity(name, PERCENT, lambda counted: percent_affected(counted, lesions, organs))
    zones = table.integer("zones", 2, 10)
    zone = table.integer("zone", 1, zones)
    frame = known_segments(table, "of_height", known) if "of_height" in table else organs
    return Quantity(name, PERCENT, lambda counted: percent_of_zone(counted, lesions, organs, zones, zone, frame))


def _slices_affected(name: str, table: Table, known: dict[int, int]) -> Quantity:
    lesions, organs = known_segments(table, "lesions", known), known_segments(table, "organs", known)
    at_least = table.number("at_least_percent", 0, 100, 0.0)
    return Quantity(name, PERCENT, lambda counted: slices_affected(counted, lesions, organs, at_least))


def _zonal_severity(name: str, table: Table, known: dict[int, int]) -> Quantity:
    lesions, organs = known_segments(table, "lesions", known), known_segments(table, "organs", known)
    zones, bands = table.integer("zones", 1, 10), table.numbers("bands_percent", 1, 10, 0, 100)
    if list(bands) != sorted(bands):
        raise table.wrong("bands_percent", "rising numbers")
    return Quantity(name, SCORE, lambda counted: zonal_severity(counted, lesions, organs, zones, bands))


MEASURES: dict[str, Callable[[str, Table, dict[int, int]], Quantity]] = {
    "Volume": _volume,
    "Mean": _mean,
    "Percentile": _percentile,
    "Count": _count,
    "LongAxis": _long_axis,
    "ShortAxis": _short_axis,
    "Area": _area,
    "PercentAffected": _percent_affected,
    "SlicesAffected": _slices_affected,
    "ZonalSeverity": _zonal_severity,
}
