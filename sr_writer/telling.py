"""What pictures and pages say beside an image: the answer, what it is called, its numbers; no patient data."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from domain.jobs import Outcome
from domain.results import Analysis, Finding, KeyImage, Measurement, Statement
from sr_writer import drawing
from sr_writer.drawing import Colour

DISCLAIMER: Final = "AI result, research use, not for primary diagnosis"
HEADINGS: Final = {
    Outcome.POSITIVE: "Findings",
    Outcome.NEGATIVE: "No finding",
    Outcome.NOT_ANALYSED: "Not analysed",
    Outcome.FAILED: "Failed",
}
MOST: Final = 40  # findings listed beside one picture; the report has them all
_THOUSAND: Final = 1000
_UNITS: Final = {"[hnsf'U]": "HU", "mm3": "mm³", "mm2": "mm²", "cm2": "cm²", "cm3": "cm³", "um2": "µm²", "um": "µm", "1": ""}
_ANNOTATION: Final = re.compile(r"\{[^}]*\}")
_LETTER: Final = re.compile(r"[^\W\d_]|%")  # "/{field}" and "/(100.{field})" leave no unit: the name says what is counted

Entry = tuple[Colour | None, str]


def legend(analysis: Analysis, key: KeyImage | None, alone: bool = True) -> Iterator[Entry]:
    """Lines beside a picture, with the colour of what they speak about. The first is the heading.

    ``alone``: the picture is the only one, so that everything is said beside it; else only what is drawn on it.
    """
    yield None, HEADINGS[analysis.outcome]
    yield None, analysis.summary
    told = [(n, f) for n, f in enumerate(analysis.findings, 1) if alone or key is None or drawing.on(f, key)]
    for number, finding in told[:MOST]:
        head = f"{number}  " if len(analysis.findings) > 1 else ""
        yield drawing.colour(analysis, finding), head + name(analysis, finding)
        for measurement in (*finding.measurements, *finding.outline_measurements):
            yield None, "   " + number_of(measurement)
    yield from _segments(analysis, key, {finding.segment for _, finding in told})
    if len(told) > MOST:
        yield None, f"and {len(told) - MOST} more: see the report"
    yield from _marks(analysis, key, alone)
    yield from _statements(analysis.statements, key)
    for text in (*analysis.notes, key.caption if key is not None else ""):
        if text:
            yield None, text


def _segments(analysis: Analysis, key: KeyImage | None, named: set[int | None]) -> Iterator[Entry]:
    """What else is tinted on the picture: anatomy, and findings that are outlined on another picture."""
    shown = drawing.segments_on(analysis, key) - named if key is not None else set()
    for segment in analysis.segments:
        if segment.number in shown:
            yield segment.colour, segment.label


def _marks(analysis: Analysis, key: KeyImage | None, alone: bool) -> Iterator[Entry]:
    """How many there are of each kind, on all images that are spoken about together."""
    counts: dict[tuple[str, Colour], int] = {}
    for marks in analysis.marks:
        if alone or key is None or drawing.shows(key, marks.sop_instance_uid, marks.frame):
            counts[marks.label, marks.colour] = counts.get((marks.label, marks.colour), 0) + len(marks.points)
    for (label, colour), count in counts.items():
        yield colour, f"{label}: {count:,}"


def _statements(statements: Sequence[Statement], key: KeyImage | None) -> Iterator[Entry]:
    """What is said about the study, and about the image that is shown."""
    for statement in statements:
        uid = statement.sop_instance_uid
        if uid and (key is None or not drawing.shows(key, uid, statement.frame)):
            continue
        yield None, statement.finding.meaning + (" (this image)" if uid else "")
        for measurement in statement.measurements:
            yield None, "   " + number_of(measurement)
        for evaluation in statement.evaluations:
            yield None, f"   {evaluation.name.meaning}: {evaluation.value.meaning}"


def name(analysis: Analysis, finding: Finding) -> str:
    """What people call a finding: its label, else its segment's, else the coded finding with its site."""
    label = finding.label or next((s.label for s in analysis.segments if s.number == finding.segment), "")
    sides = [] if label else [c.meaning for c in (finding.site, finding.laterality) if c is not None]
    return label or ", ".join([finding.finding.meaning, *sides])


def number_of(measurement: Measurement) -> str:
    """Name, value and unit of a measurement."""
    words = measurement.name.meaning
    if measurement.derivation is not None:
        words = f"{words} ({measurement.derivation.meaning})"
    return f"{words}: {value_of(measurement)}"


def value_of(measurement: Measurement) -> str:
    """Value and unit as people write it; what stands in braces is an annotation and no unit (UCUM section 2.4)."""
    digits = ",.0f" if abs(measurement.value) >= _THOUSAND else ".4g"
    unit = _UNITS.get(measurement.unit.value) or _ANNOTATION.sub("", measurement.unit.value)
    return f"{measurement.value:{digits}}" + (f" {unit}" if _LETTER.search(unit) else "")
