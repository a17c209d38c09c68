"""The measures of ``report.json`` of packages over images: counts, densities, scores, sizes, grades and points."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from domain.errors import PackageError
from domain.results import Code
from inference.images.quantity import (
    AREA,
    COUNT,
    FIELDS,
    LONG_AXIS,
    MM,
    MM2,
    ONE,
    PER_FIELD,
    PER_MM2,
    PERCENT,
    PIXELS,
    SCORE,
    SHORT_AXIS,
    TALLER,
    Level,
    Pick,
    Points,
    Quantity,
    Values,
    Vocabulary,
    fields,
    level,
)
from inference.images.tally import Tally
from inference.keys import Table, known_segments, suggestion
from inference.objects.table import Objects


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
    unit = PER_FIELD if per == 1 else Code(f"/({per}.{{field}})", "UCUM", f"per {per} fields")

    def value(tally: Tally, _: Values) -> float | None:
        return per * _number(tally, chosen, words) / fields(tally) if tally.images else None

    return Quantity(name, unit, value, pick=chosen)


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
