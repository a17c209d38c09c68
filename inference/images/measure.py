"""The measures of ``report.json`` of packages over images: counts, densities, scores, sizes, grades and points."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from domain.errors import PackageError
from domain.results import Code
from inference.images.contract import Manifest
from inference.images.tally import Tally
from inference.keys import Table, known_segments, suggestion
from inference.objects.table import Objects

ONE = Code("1", "UCUM", "no units")
COUNT = Code("{objects}", "UCUM", "objects")
PER_FIELD = Code("{objects}/{field}", "UCUM", "objects per field")
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


def quantity(name: str, table: Table, words: Vocabulary) -> Quantity:
    """The quantity a table of ``quantities`` asks for; raises PackageError."""
    measure = table.text("measure")
    if measure not in MEASURES:
        raise PackageError(f"{table.where}: there is no measure {measure!r}{suggestion(measure, MEASURES)}")
    found = MEASURES[measure](name, table, words)
    table.done()
    return found


def pick(table: Table, words: Vocabulary) -> Pick:
    """``classes``, ``min_score``, ``feature`` with ``value``, ``per_area``."""
    classes = known_segments(table, "classes", words.segments)
    feature = table.choice("feature", words.features) if "feature" in table else ""
    per_area = {}
    if "per_area" in table:
        areas = table.table("per_area")
        for key in areas.names():
            if key not in {str(number) for number in classes}:
                raise areas.wrong(key, "one of 'classes'")
            per_area[int(key)] = areas.number(key, 0.01, 1e9)
    return Pick(
        classes,
        table.number("min_score", 0, 1, 0.0),
        feature,
        table.choice("value", words.features[feature]) if feature else "",
        per_area,
    )


def _count(name: str, table: Table, words: Vocabulary) -> Quantity:
    chosen = pick(table, words)
    return Quantity(name, COUNT, lambda tally, _: _number(tally, chosen, words), pick=chosen)


def _number(tally: Tally, chosen: Pick, words: Vocabulary) -> float:
    return chosen.number(tally, tally.things.take(chosen.of(tally, tally.things, words.features)))


def _per_field(name: str, table: Table, words: Vocabulary) -> Quantity:
    chosen, per = pick(table, words), table.integer("per", 1, 1000, 1)
    unit = PER_FIELD if per == 1 else Code(f"{{objects}}/({per}.{{field}})"[:16], "UCUM", f"objects per {per} fields")

    def value(tally: Tally, _: Values) -> float | None:
        return per * _number(tally, chosen, words) / fields(tally) if tally.images else None

    return Quantity(name, PER_FIELD if per == 1 else unit, value, pick=chosen)


def _density(name: str, table: Table, words: Vocabulary) -> Quantity:
    chosen = pick(table, words)

    def value(tally: Tally, _: Values) -> float | None:
        areas = [image.mm2 for image in tally.images]
        if not areas or any(area is None for area in areas):
            return None
        total = sum(area for area in areas if area is not None)
        return _number(tally, chosen, words) / total if total else None

    return Quantity(name, PER_MM2, value, pick=chosen)


def _scores(name: str, table: Table, words: Vocabulary, how: Callable[[npt.NDArray[np.float32]], float]) -> Quantity:
    chosen = pick(table, words)

    def value(tally: Tally, _: Values) -> float | None:
        scores = tally.things.score[chosen.of(tally, tally.things, words.features)]
        return float(how(scores)) if len(scores) else None

    return Quantity(name, ONE, value, pick=chosen)


def _max_score(name: str, table: Table, words: Vocabulary) -> Quantity:
    return _scores(name, table, words, lambda scores: float(scores.max()))


def _mean_score(name: str, table: Table, words: Vocabulary) -> Quantity:
    return _scores(name, table, words, lambda scores: float(scores.mean(dtype=np.float64)))


def _fraction(name: str, table: Table, words: Vocabulary) -> Quantity:
    """Objects of ``classes`` in per cent of those of ``of``."""
    chosen, all_of = pick(table, words), Pick(known_segments(table, "of", words.segments))

    def value(tally: Tally, _: Values) -> float | None:
        total = _number(tally, all_of, words)
        return 100 * _number(tally, chosen, words) / total if total else None

    return Quantity(name, PERCENT, value, pick=chosen)


def _covered(name: str, table: Table, words: Vocabulary) -> Quantity:
    """Part of all images, in per cent, that the segments of a label or probability map cover."""
    classes = known_segments(table, "classes", words.segments)

    def value(tally: Tally, _: Values) -> float | None:
        sizes = [image.rows * image.columns for image in tally.images]
        covered = sum(size * image.share.get(c, 0.0) for size, image in zip(sizes, tally.images, strict=True) for c in classes)
        return 100 * covered / sum(sizes) if sizes else None

    return Quantity(name, PERCENT, value)


def _sized(
    name: str,
    table: Table,
    words: Vocabulary,
    concept: Code,
    units: tuple[Code, Code],
    size: Callable[[Tally, Objects, int], float],
) -> Quantity:
    """The largest of the chosen objects. In millimetres when all of them are calibrated, else in pixels."""
    chosen = pick(table, words)

    def things(tally: Tally) -> Objects:
        return tally.things.take(chosen.of(tally, tally.things, words.features))

    def value(tally: Tally, _: Values) -> float | None:
        found = things(tally)
        return max((size(tally, found, i) for i in range(len(found))), default=None)

    def unit(tally: Tally) -> Code:
        found = things(tally)
        return units[0] if all(tally.unit(found, i) for i in range(len(found))) else units[1]

    return Quantity(name, units[0], value, concept, in_unit=unit, pick=chosen)


def _long_axis(name: str, table: Table, words: Vocabulary) -> Quantity:
    return _sized(name, table, words, LONG_AXIS, (MM, PIXELS), lambda tally, found, i: tally.axes(found, i)[0].long_length)


def _short_axis(name: str, table: Table, words: Vocabulary) -> Quantity:
    return _sized(name, table, words, SHORT_AXIS, (MM, PIXELS), lambda tally, found, i: tally.axes(found, i)[0].short_length)


def _area(name: str, table: Table, words: Vocabulary) -> Quantity:
    return _sized(name, table, words, AREA, (MM2, PIXELS), lambda tally, found, i: tally.area(found, i)[0])


def _fields(name: str, _table: Table, _words: Vocabulary) -> Quantity:
    return Quantity(name, FIELDS, lambda tally, _: fields(tally))


def fields(tally: Tally) -> float:
    """How many fields were examined: images, or the area of slides in fields."""
    return float(sum(image.fields for image in tally.images))


def _focus(name: str, _table: Table, _words: Vocabulary) -> Quantity:
    """Median focus of the images (inference/images/quality.py)."""
    return Quantity(name, SCORE, lambda tally, _: _median([image.look.focus for image in tally.images]))


def _brightness(name: str, _table: Table, _words: Vocabulary) -> Quantity:
    return Quantity(name, SCORE, lambda tally, _: _median([image.look.brightness for image in tally.images]))


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None


_OVER: Mapping[str, Callable[[npt.NDArray[np.float64]], float]] = {
    "max": lambda values: float(values.max()),
    "mean": lambda values: float(values.mean()),
    "any": lambda values: float(1 - np.prod(1 - values)),  # that at least one holds, were they independent
}


def _probability(name: str, table: Table, words: Vocabulary) -> Quantity:
    """Of one value of an output with scores: over images, or over objects for an output of the second network."""
    both = {**words.scores, **{k: v for k, v in words.features.items() if k != TALLER}}
    source = table.choice("output", both)
    position = both[source].index(table.choice("value", both[source]))
    over = _OVER[table.choice("over", _OVER, "max")]
    chosen = pick(table, words) if source in words.features else None

    def value(tally: Tally, _: Values) -> float | None:
        if chosen is None:
            pieces = [np.atleast_2d(image.scores[source])[:, position] for image in tally.images]
            rows = np.concatenate([np.zeros(0), *pieces])
        else:
            things = tally.things.take(chosen.of(tally, tally.things, words.features))
            rows = np.asarray(things.features[source][:, position], np.float64)
        rows = rows[np.isfinite(rows)]
        return over(rows) if len(rows) else None

    return Quantity(name, ONE, value, pick=chosen)


def levels(table: Table, key: str) -> tuple[Level, ...]:
    """Rising grades: each with ``at_least`` or ``above``, ``value`` (a code), and maybe ``min_fields``."""
    found = []
    for item in table.tables(key):
        above = "above" in item
        found.append(
            Level(
                item.number("above" if above else "at_least"),
                above,
                item.required_code("value"),
                item.integer("min_fields", 0, 10_000, 0),
            )
        )
        item.done()
    edges = [(one.least, one.above) for one in found]
    if not found or edges != sorted(set(edges)):
        raise table.wrong(key, "a list of grades that rise")
    return tuple(found)


def _grade(name: str, table: Table, words: Vocabulary) -> Quantity:
    source = table.choice("quantity", words.quantities)
    bands = levels(table, "bands")

    def value(_: Tally, values: Values) -> float | None:
        reached = level(bands, values[source])
        return None if reached is None else float(bands.index(reached))

    return Quantity(name, SCORE, value, levels=bands, of=source)


def _points(name: str, table: Table, words: Vocabulary) -> Quantity:
    """The most points any of the chosen objects has."""
    chosen, features = pick(table, words), []
    for item in table.tables("features"):
        feature = item.choice("feature", words.features)
        given = item.table("points")
        for key in given.names():
            if key not in words.features[feature]:
                raise PackageError(f"{given.where}: {feature!r} has no value {key!r}{suggestion(key, words.features[feature])}")
        features.append((feature, {key: given.number(key, -100, 100) for key in given.names()}))
        item.done()
    table_of = Points(tuple(features), levels(table, "levels"))

    def value(tally: Tally, _: Values) -> float | None:
        things = tally.things.take(chosen.of(tally, tally.things, words.features))
        totals = [table_of.total(tally, things, i, words.features) for i in range(len(things))]
        return max((total for total in totals if total is not None), default=None)

    return Quantity(name, SCORE, value, levels=table_of.levels, pick=chosen, points=table_of)


Builder = Callable[[str, Table, Vocabulary], Quantity]
MEASURES: Mapping[str, Builder] = {
    "Count": _count,
    "CountPerField": _per_field,
    "DensityPerArea": _density,
    "MaxScore": _max_score,
    "MeanScore": _mean_score,
    "Fraction": _fraction,
    "AreaFraction": _covered,
    "LongAxis": _long_axis,
    "ShortAxis": _short_axis,
    "Area": _area,
    "FieldsExamined": _fields,
    "Focus": _focus,
    "Brightness": _brightness,
    "Probability": _probability,
    "GradeTable": _grade,
    "PointsTable": _points,
}
