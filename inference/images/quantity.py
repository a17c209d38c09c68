"""What a quantity of a report over images is made of: units, objects that count, grades, points."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from domain.results import Code
from inference.images.contract import Manifest
from inference.images.tally import Tally
from inference.objects.table import Objects

ONE = Code("1", "UCUM", "no units")
COUNT = Code("{objects}", "UCUM", "objects")
PER_FIELD = Code("/{field}", "UCUM", "per field")
PER_MM2 = Code("/mm2", "UCUM", "per square millimeter")
FIELDS = Code("{fields}", "UCUM", "fields")
PERCENT = Code("%", "UCUM", "Percent")
SCORE = Code("{score}", "UCUM", "Score")
MM = Code("mm", "UCUM", "millimeter")
MM2 = Code("mm2", "UCUM", "SquareMilliMeter")
PIXELS = Code("{pixels}", "UCUM", "pixels")
LONG_AXIS = Code("103339001", "SCT", "Long Axis")
SHORT_AXIS = Code("103340004", "SCT", "Short Axis")
AREA = Code("42798000", "SCT", "Area")
TALLER = "taller-than-wide"  # the one feature that is geometry and no output of a network

Values = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the rest of the package knows: segment numbers, and the values of every output with scores."""

    segments: tuple[int, ...]
    scores: Mapping[str, tuple[str, ...]]  # of whole images
    features: Mapping[str, tuple[str, ...]]  # of objects
    quantities: "dict[str, Quantity]" = field(default_factory=dict)  # those that were read already


def vocabulary(manifest: Manifest, segments: Iterable[int]) -> Vocabulary:
    """Of a manifest."""
    features = {head.name: head.values for head in manifest.crops.heads} if manifest.crops else {}
    scores = {output.name: output.values for output in manifest.network.outputs if output.kind == "scores"}
    return Vocabulary(tuple(segments), scores, {**features, TALLER: ("no", "yes")})


@dataclass(frozen=True, slots=True)
class Quantity:
    """One named number of ``report.json``. ``in_unit`` gives the unit that was used where it depends on calibration."""

    name: str
    unit: Code
    value: Callable[[Tally, Values], float | None]
    concept: Code | None = None
    levels: tuple["Level", ...] = ()
    in_unit: Callable[[Tally], Code] | None = None
    pick: "Pick | None" = None
    points: "Points | None" = None
    of: str = ""  # the quantity that a grade is made of


@dataclass(frozen=True, slots=True)
class Level:
    """One grade: from ``least`` on (or only above it). ``min_fields``: how many fields it should rest on."""

    least: float
    above: bool
    value: Code
    min_fields: int = 0

    def reached(self, value: float) -> bool:
        """Whether a value is enough."""
        return value > self.least if self.above else value >= self.least


@dataclass(frozen=True, slots=True)
class Pick:
    """Which objects count: of these classes, with at least this score, and where asked with a feature of a value."""

    classes: tuple[int, ...]
    min_score: float = 0.0
    feature: str = ""
    value: str = ""
    per_area: Mapping[int, float] = field(default_factory=dict)  # input pixels of one, for classes that are clusters

    def of(self, tally: Tally, things: Objects, features: Mapping[str, tuple[str, ...]]) -> npt.NDArray[np.bool_]:
        """bool (n,) of ``things``."""
        chosen = np.isin(things.kind, self.classes) & (things.score >= self.min_score)
        if self.feature:
            named = [i for i in np.flatnonzero(chosen) if self.value != winner(tally, things, int(i), self.feature, features)]
            chosen[named] = False
        return np.asarray(chosen, np.bool_)

    def number(self, tally: Tally, things: Objects) -> float:
        """How many they are; an object of a class that is clusters counts as many as its area holds, at least one.

        Areas are counted in pixels of the network's input, which mean the same on every image and slide.
        """
        total = 0.0
        scale = np.array([image.scale for image in tally.images] or [1.0])
        for kind in self.classes:
            members = things.kind == kind
            areas = things.area[members] * scale[things.image[members]] ** 2
            one = self.per_area.get(kind)
            total += float(np.maximum(np.rint(areas / one), 1).sum()) if one else float(len(areas))
        return total


@dataclass(frozen=True, slots=True)
class Points:
    """A sum of points by features of one object, and the level that the sum reaches (TI-RADS and its like)."""

    features: tuple[tuple[str, Mapping[str, float]], ...]
    levels: tuple[Level, ...]

    def total(self, tally: Tally, things: Objects, index: int, known: Mapping[str, tuple[str, ...]]) -> float | None:
        """Points of one object; None when a feature is not known."""
        total = 0.0
        for feature, points in self.features:
            value = winner(tally, things, index, feature, known)
            if value is None:
                return None
            total += points.get(value, 0.0)
        return total


def winner(tally: Tally, things: Objects, index: int, feature: str, known: Mapping[str, tuple[str, ...]]) -> str | None:
    """The most probable value of a feature of one object, or None where it was not looked at."""
    if feature == TALLER:
        return "yes" if tally.taller(things, index) else "no"
    row = things.features[feature][index]
    return known[feature][int(row.argmax())] if np.isfinite(row).all() else None


def level(levels: tuple[Level, ...], value: float | None) -> Level | None:
    """The last of rising levels that a value reaches."""
    reached = [one for one in levels if value is not None and one.reached(value)]
    return reached[-1] if reached else None


def fields(tally: Tally) -> float:
    """How many fields were examined: images, or the area of slides in fields."""
    return float(sum(image.fields for image in tally.images))
