"""From measured labels to the answer: positive or negative, findings, statements, key images, one sentence."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domain.errors import Reason, UnsuitableError
from domain.jobs import Outcome
from domain.results import Analysis, Code, Finding, KeyImage, Labels, Measurement, Outline, Statement
from inference import outline, wording
from inference.measure import Quantity, Tally, tallied
from inference.package import Package
from inference.plan import FindingPlan, Plan, StatementPlan
from inference.saying import Said
from inference.volume import Volume

AREA = Code("42798000", "SCT", "Area")
SQUARE_MM = Code("mm2", "UCUM", "SquareMilliMeter")

Values = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Reading:
    """Final labels (layers, slices, rows, columns) on the source grid with everything measured on them."""

    layers: npt.NDArray[np.uint8]
    counted: Tally
    values: dict[str, float | None]
    outcome: Outcome


def read(package: Package, layers: npt.NDArray[np.uint8], volume: Volume) -> Reading:
    """Measures the labels and decides; in a negative study what is below the threshold is taken out of them.

    Raises UnsuitableError when a requirement of the package does not hold.
    """
    plan = package.plan
    counted, values = _measure(package, layers, volume)
    for condition in plan.require:
        if not condition.holds(values):
            raise UnsuitableError(Reason.OTHER, condition.words)
    if all(condition.holds(values) for condition in plan.positive):
        return Reading(layers, counted, values, Outcome.POSITIVE)
    if _take_out(package, layers, counted):
        counted, values = _measure(package, layers, volume)
    return Reading(layers, counted, values, Outcome.NEGATIVE)


def _measure(package: Package, layers: npt.NDArray[np.uint8], volume: Volume) -> tuple[Tally, dict[str, float | None]]:
    counted = tallied(layers, volume.hu, volume.spacing, package.layer_of)
    return counted, {name: quantity.value(counted) for name, quantity in package.plan.quantities.items()}


def _take_out(package: Package, layers: npt.NDArray[np.uint8], counted: Tally) -> bool:
    there = {item.segment for item in package.plan.findings if item.when == "positive" and counted.area(item.segment).any()}
    for segment in there:
        layer = layers[package.layer_of[segment]]
        layer[layer == segment] = 0
    return bool(there)


def analysis(package: Package, reading: Reading, volume: Volume, series_uid: str, notes: tuple[str, ...]) -> Analysis:
    """The answer for one study."""
    plan, when = package.plan, ("always", str(reading.outcome))
    findings, pictures = _findings(package, reading, volume, [item for item in plan.findings if item.when in when])
    statements = tuple(_statement(package, item, reading.values) for item in plan.statements if item.when in when)
    positive = reading.outcome is Outcome.POSITIVE
    return Analysis(
        outcome=reading.outcome,
        summary=wording.fill(plan.summary_positive if positive else plan.summary_negative, reading.values),
        series_uid=series_uid,
        segments=tuple(segment for segment in package.segments if reading.counted.area(segment.number).any()),
        labels=Labels(reading.layers, volume.uids, volume.frames),
        findings=findings,
        statements=tuple(statement for statement in statements if statement.measurements or statement.evaluations),
        key_images=_key_images(package, reading, volume, pictures),
        notes=notes,
        partial=bool(notes),
        translations={
            language: wording.fill(both[0] if positive else both[1], reading.values)
            for language, both in plan.translations.items()
        },
    )


def _findings(
    package: Package, reading: Reading, volume: Volume, plans: list[FindingPlan]
) -> tuple[tuple[Finding, ...], list[tuple[int, int]]]:
    """The findings, and (slice, segment) of each outline, the largest first."""
    findings, pictures = [], []
    for plan in plans:
        areas = reading.counted.area(plan.segment)
        if not areas.any():
            continue
        key = int(areas.argmax())
        findings.append(_finding(package, plan, reading, volume, key))
        if plan.outline:
            pictures.append((int(areas[key]), key, plan.segment))
    pictures.sort(key=lambda picture: (-picture[0], picture[1:]))
    return tuple(findings), [(key, segment) for _, key, segment in pictures]


def _finding(package: Package, plan: FindingPlan, reading: Reading, volume: Volume, key: int) -> Finding:
    drawn: Outline | None = None
    drawn_area: tuple[Measurement, ...] = ()
    if plan.outline:
        mask = reading.layers[package.layer_of[plan.segment], key] == plan.segment
        drawn = Outline(volume.uids[key], outline.outline(mask), volume.frame(key))
        size = outline.area(drawn.points) * volume.spacing[1] * volume.spacing[2]
        drawn_area = (Measurement(AREA, size, SQUARE_MM),)
    return Finding(
        tracking_id=f"{package.id}/{plan.name}/1",
        finding=plan.finding,
        site=plan.site,
        laterality=plan.laterality,
        segment=plan.segment,
        outline=drawn,
        measurements=_measurements(plan.measurements, reading.values),
        outline_measurements=drawn_area,
        evaluations=plan.evaluations,
    )


def _measurements(said: tuple[Said[Quantity], ...], values: Values) -> tuple[Measurement, ...]:
    found = []
    for item in said:
        value = values[item.quantity.name]
        if value is not None:
            found.append(Measurement(item.name, value, item.quantity.unit, item.quantity.derivation, item.method))
    return tuple(found)


def _statement(package: Package, plan: StatementPlan, values: Values) -> Statement:
    tracking = f"{package.id}/{plan.name}/1"
    return Statement(tracking, plan.finding, _measurements(plan.measurements, values), plan.evaluations)


def _key_images(package: Package, reading: Reading, volume: Volume, pictures: list[tuple[int, int]]) -> tuple[KeyImage, ...]:
    """One picture per slice; a slice that is telling for two segments names both."""
    labels = {segment.number: segment.label for segment in package.segments}
    slices: dict[int, list[str]] = {}
    for key, segment in [*pictures, *_worst(package.plan, reading, volume)] or _largest(package, reading):
        names = slices.setdefault(key, [])
        if labels[segment] not in names:
            names.append(labels[segment])
    return tuple(
        KeyImage(
            volume.uids[key],
            windowed(volume.hu[key], package.plan),
            _caption(package.plan, names, reading.values),
            volume.frame(key),
            window=package.plan.window,
        )
        for key, names in slices.items()
    )


def _worst(plan: Plan, reading: Reading, volume: Volume) -> list[tuple[int, int]]:
    """The slices that show most of some segments together, the worst first, each with the segments it shows."""
    if plan.worst is None or reading.outcome is not Outcome.POSITIVE:
        return []
    areas = {number: reading.counted.area(number) for number in plan.worst.segments}
    total, heights = np.sum(list(areas.values()), axis=0), np.asarray(volume.positions)
    chosen: list[int] = []
    for key in np.argsort(-total, kind="stable"):
        far = all(abs(heights[key] - heights[other]) >= plan.worst.apart_mm for other in chosen)
        if total[key] and far and len(chosen) < plan.worst.count:
            chosen.append(int(key))
    return [(key, number) for key in chosen for number, area in areas.items() if area[key]]


def _largest(package: Package, reading: Reading) -> list[tuple[int, int]]:
    """Where nothing is outlined: the slice that shows most of what was segmented, so that a negative study has a picture too."""
    areas = {segment.number: reading.counted.area(segment.number) for segment in package.segments}
    key = int(np.sum(list(areas.values()), axis=0).argmax())
    return [(key, number) for number, area in areas.items() if area[key]]


def _caption(plan: Plan, names: list[str], values: Values) -> str:
    return wording.fill(plan.caption, {**values, "label": ", ".join(names)})


def windowed(hu: npt.NDArray[np.number], plan: Plan) -> npt.NDArray[np.uint8]:
    """Linear window (PS3.3 C.11.2.1.2.1) to 0-255."""
    centre, width = plan.window
    span = max(width - 1, 1.0)
    scaled = ((hu.astype(np.float32) - (centre - 0.5)) / span + 0.5) * 255
    pixels: npt.NDArray[np.uint8] = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return pixels
