"""From what was counted to the answer: positive or negative, findings, marks, statements, key images, one sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from domain.jobs import Outcome
from domain.results import Analysis, Code, Evaluation, Field, Finding, Labels, Line, Marks, Measurement, Outline, Statement
from inference import wording
from inference.images import labels as labelling
from inference.images import pictures
from inference.images.album import Views
from inference.images.judge import Reading, Values, level_of, measured, words
from inference.images.package import ImagePackage
from inference.images.plan import FindingPlan, Judged, MarksPlan, ObjectSaid, Plan, StatementPlan
from inference.images.quantity import LONG_AXIS, MM, MM2, ONE, PIXELS, SCORE, SHORT_AXIS, Quantity, level, winner
from inference.images.tally import Tally
from inference.objects import shape
from inference.objects.table import Objects
from inference.saying import Said

_UNCALIBRATED = "Sizes are in pixels: the images do not say what a pixel measures."


@dataclass(frozen=True, slots=True)
class Chosen:
    """Objects that become findings of one plan, best first: positions in ``things``."""

    plan: FindingPlan
    things: Objects
    order: tuple[int, ...]


def analysis(package: ImagePackage, reading: Reading, views: Views, series_uid: str) -> Analysis:
    """The answer for one study."""
    plan, when = package.plan, ("always", str(reading.outcome))
    chosen = [_chosen(package, item, reading.tally) for item in plan.findings if item.when in when]
    findings = tuple(f for item in chosen for f in _findings(package, item, reading.tally))
    marks = tuple(m for item in plan.marks if item.when in when for m in _marks(package, item, reading.tally))
    labels, fields = _maps(reading, chosen)
    positive = reading.outcome is Outcome.POSITIVE
    notes = (*reading.notes, *(reading.tally.drawn.notes if reading.tally.drawn else ()), *_pixel_note(findings))
    return Analysis(
        outcome=reading.outcome,
        summary=wording.fill(plan.summary_positive if positive else plan.summary_negative, words(plan, reading.values)),
        series_uid=series_uid,
        segments=tuple(s for s in package.segments if _is_used(s.number, labels, findings)),
        labels=labels,
        findings=findings,
        statements=_statements(package, reading, when),
        key_images=pictures.key_images(package, reading, views, [(c.plan, c.things, c.order) for c in chosen]),
        notes=notes,
        marks=marks,
        partial=reading.partial,
        fields=fields,
    )


def _maps(reading: Reading, chosen: Sequence[Chosen]) -> tuple[Labels | None, tuple[Field, ...]]:
    """Segments and probabilities: of the images that findings are drawn on, or of a slide, which was drawn tile by tile.

    Of a negative slide only segments that some finding tells of in any case.
    """
    drawn = reading.tally.drawn
    if drawn is None:
        pairs = [(c.things, c.order) for c in chosen]
        return labelling.labels(reading.tally, pairs), labelling.fields(reading.tally, pairs)
    labels = drawn.labels
    if labels is not None and reading.outcome is not Outcome.POSITIVE:
        always = {number for c in chosen for number in c.plan.pick.classes}
        layers = np.where(np.isin(labels.layers, sorted(always)), labels.layers, 0)
        labels = replace(labels, layers=layers) if layers.any() else None
    return labels, drawn.fields


def _is_used(number: int, labels: Labels | None, findings: Sequence[Finding]) -> bool:
    if any(finding.segment == number for finding in findings):
        return True
    return labels is not None and bool((labels.layers == number).any())


def _pixel_note(findings: Sequence[Finding]) -> tuple[str, ...]:
    units = {m.unit for finding in findings for m in finding.outline_measurements}
    return (_UNCALIBRATED,) if PIXELS in units else ()


def _chosen(package: ImagePackage, plan: FindingPlan, tally: Tally) -> Chosen:
    things = tally.things
    there = np.flatnonzero(plan.pick.of(tally, things, package.plan.words.features))
    worth = {"area": things.area, "score": things.score}.get(plan.order, things.score)[there].astype(np.float64)
    if plan.order == "points":
        worth = np.array([_points(package.plan, tally, things, int(i)) for i in there])
    order = there[np.lexsort((there, -things.score[there], -worth))][: plan.most]
    return Chosen(plan, things, tuple(int(i) for i in order))


def _points(plan: Plan, tally: Tally, things: Objects, index: int) -> float:
    table = next(q.points for q in plan.quantities.values() if q.points is not None)
    return table.total(tally, things, index, plan.words.features) or 0.0


def _findings(package: ImagePackage, chosen: Chosen, tally: Tally) -> list[Finding]:
    return [_finding(package, chosen.plan, tally, chosen.things, i, n) for n, i in enumerate(chosen.order, 1)]


def _finding(package: ImagePackage, plan: FindingPlan, tally: Tally, things: Objects, index: int, number: int) -> Finding:
    image = tally.images[int(things.image[index])]
    segment = package.segment(int(things.kind[index]))
    points = pictures.clipped(shape.polygon(things, index), image.rows, image.columns)
    said = tuple(m for item in plan.measurements if (m := _object_measurement(package.plan, item, tally, things, index)))
    judged = (_object_judgement(package.plan, item, tally, things, index) for item in plan.evaluations)
    return Finding(
        tracking_id=f"{package.id}/{plan.name}/{number}",
        finding=plan.finding,
        site=plan.site,
        laterality=plan.laterality,
        segment=segment.number,
        outline=Outline(image.uid, points, image.frame),
        outline_measurements=said,
        evaluations=tuple(e for e in judged if e is not None),
        lines=_lines(tally, things, index) if plan.lines else (),
        label=wording.fill(plan.label, {"n": float(number), "label": segment.label}),
    )


def _lines(tally: Tally, things: Objects, index: int) -> tuple[Line, ...]:
    image = tally.images[int(things.image[index])]
    axes, _ = tally.axes(things, index)
    pairs = ((LONG_AXIS, axes.long), (SHORT_AXIS, axes.short))
    return tuple(
        Line(name, image.uid, pictures.clipped(points, image.rows, image.columns), image.frame) for name, points in pairs
    )


def _object_measurement(plan: Plan, said: ObjectSaid, tally: Tally, things: Objects, index: int) -> Measurement | None:
    value, unit = _object_value(plan, said, tally, things, index)
    return None if value is None else Measurement(said.name, value, unit)


def _object_value(plan: Plan, said: ObjectSaid, tally: Tally, things: Objects, index: int) -> tuple[float | None, Code]:
    if said.measure == "Area":
        area, calibrated = tally.area(things, index)
        return area, MM2 if calibrated else PIXELS
    if said.measure in ("LongAxis", "ShortAxis"):
        axes, calibrated = tally.axes(things, index)
        return axes.long_length if said.measure == "LongAxis" else axes.short_length, MM if calibrated else PIXELS
    if said.measure == "Points":
        table = plan.quantities[said.source].points
        assert table is not None
        return table.total(tally, things, index, plan.words.features), SCORE
    if said.measure == "Probability":
        value = float(things.features[said.source][index, plan.words.features[said.source].index(said.value)])
        return value if np.isfinite(value) else None, ONE
    return float(things.score[index]), ONE


def _object_judgement(plan: Plan, judged: Judged, tally: Tally, things: Objects, index: int) -> Evaluation | None:
    if judged.fixed is not None:
        return Evaluation(judged.name, judged.fixed)
    value: Code | None = None
    if judged.feature:
        named = winner(tally, things, index, judged.feature, plan.words.features)
        value = (judged.values or {}).get(named or "")
    else:
        table = plan.quantities[judged.quantity].points
        assert table is not None
        reached = level(table.levels, table.total(tally, things, index, plan.words.features))
        value = reached.value if reached else None
    return None if value is None else Evaluation(judged.name, value)


def _marks(package: ImagePackage, plan: MarksPlan, tally: Tally) -> list[Marks]:
    """One group for each class and image that has such objects."""
    things = tally.objects
    there = plan.pick.of(tally, things, package.plan.words.features)
    found = []
    for number in plan.pick.classes:
        segment = package.segment(number)
        members = np.flatnonzero(there & (things.kind == number))
        for image in np.unique(things.image[members]):
            of_image = members[things.image[members] == image]
            seen = tally.images[int(image)]
            found.append(
                Marks(
                    tracking_id=f"{package.id}/{plan.name}-{number}/{int(image) + 1}",
                    label=segment.label,
                    category=segment.category,
                    type=segment.type,
                    sop_instance_uid=seen.uid,
                    points=corners(things, of_image, plan.shape, (seen.rows, seen.columns)),
                    colour=segment.colour,
                    scores=things.score[of_image],
                    frame=seen.frame,
                )
            )
    return found


def corners(things: Objects, members: npt.NDArray[np.intp], kind: str, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Points (n, 1, 2), or corners (n, 4, 2) of boxes, cut off at the edges of an image of ``size`` (rows, columns): a thing at
    the edge is often larger than what is seen of it."""
    if kind == "point":
        return np.asarray(np.clip(things.centre[members], 0, size[::-1])[:, np.newaxis, :], np.float32)
    left, top, right, bottom = np.clip(things.box[members], 0, (size[1], size[0]) * 2).T
    pairs = [np.stack(pair, axis=1) for pair in ((left, top), (right, top), (right, bottom), (left, bottom))]
    return np.asarray(np.stack(pairs, axis=1), np.float32)


def _statements(package: ImagePackage, reading: Reading, when: tuple[str, ...]) -> tuple[Statement, ...]:
    plan = package.plan
    found = [
        _statement(f"{package.id}/{item.name}/1", plan, item, reading.tally, reading.values)
        for item in plan.statements
        if item.when in when
    ]
    for item in plan.per_image:
        if item.when in when:
            found += _per_image(package, item, reading.tally)
    return tuple(statement for statement in found if statement.measurements or statement.evaluations)


def _per_image(package: ImagePackage, item: StatementPlan, tally: Tally) -> list[Statement]:
    """Of the images with the most of ``order``, those that have any."""
    rated = []
    for index, image in enumerate(tally.images):
        values = measured(package.plan, tally.of_image(index))
        worth = values[item.order]
        if worth:
            rated.append((-worth, index, image, values))
    rated.sort(key=lambda one: one[:2])
    return [
        _statement(
            f"{package.id}/{item.name}/{index + 1}", package.plan, item, tally.of_image(index), values, image.uid, image.frame
        )
        for _, index, image, values in rated[: item.most]
    ]


def _statement(
    tracking: str, plan: Plan, item: StatementPlan, tally: Tally, values: Values, uid: str = "", frame: int | None = None
) -> Statement:
    judged = (_judgement(plan, one, values) for one in item.evaluations)
    return Statement(
        tracking,
        item.finding,
        _measurements(item.measurements, tally, values),
        tuple(e for e in judged if e is not None),
        uid,
        frame,
    )


def _measurements(said: tuple[Said[Quantity], ...], tally: Tally, values: Values) -> tuple[Measurement, ...]:
    found = []
    for item in said:
        value, quantity = values[item.quantity.name], item.quantity
        if value is not None:
            unit = quantity.in_unit(tally) if quantity.in_unit else quantity.unit
            found.append(Measurement(item.name, value, unit, None, item.method))
    return tuple(found)


def _judgement(plan: Plan, judged: Judged, values: Values) -> Evaluation | None:
    if judged.fixed is not None:
        return Evaluation(judged.name, judged.fixed)
    grade = level_of(plan.quantities[judged.quantity], values)
    return None if grade is None else Evaluation(judged.name, grade.value)
