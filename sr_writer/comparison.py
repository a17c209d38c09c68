"""Compares an analysis with an earlier report of the same package for the same patient: what is the same, and how it changed.

Only what can be told apart for certain is matched: a finding under a name that stands once on each side (the left lung; the only
nodule). Where several bear one name nothing is matched, because a wrong pair would be a false statement about a patient.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from domain.jobs import Outcome
from domain.results import Analysis, Code, Evaluation, Finding, Measurement, Statement
from sr_writer.codes import PRIVATE
from sr_writer.prior import Known, Prior, key

UNCHANGED_PERCENT: Final = 10.0  # a smaller change of a measured size is not told from a second measurement

CHANGE: Final = Code("CHANGE", PRIVATE, "Change since prior result")
PERCENT: Final = Code("%", "UCUM", "Percent")
COMPARED: Final = Code("111021", "DCM", "Description of Change")
INCREASE: Final = Code("15454001", "SCT", "Increase in size")
DECREASE: Final = Code("19776001", "SCT", "Decrease in size")
NO_CHANGE: Final = Code("260388006", "SCT", "No change")


Said = TypeVar("Said", Finding, Statement)


@dataclass(frozen=True, slots=True)
class TimePoint:
    """Which of a patient's examinations this is (PS3.16 TID 1502), counted from the first that was compared."""

    date: str
    order: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The analysis with its changes, the tracking UIDs to be kept by tracking identifier, and the time points."""

    analysis: Analysis
    tracking: Mapping[str, str] = field(default_factory=dict)
    points: Mapping[str, TimePoint] = field(default_factory=dict)


def compare(analysis: Analysis, prior: Prior, study_date: str) -> Comparison:
    """``study_date`` is that of the study analysed (YYYYMMDD or empty). An answer that is none is not compared."""
    if analysis.outcome not in (Outcome.POSITIVE, Outcome.NEGATIVE) or not prior.answered:
        return Comparison(analysis)
    pairs = _pairs(analysis, prior)
    tracking = {name: known.tracking_uid for name, known in pairs.items()}
    points = {name: TimePoint(study_date or "unknown", known.order + 1) for name, known in pairs.items()}
    findings = tuple(_changed(f, pairs[f.tracking_id]) if f.tracking_id in pairs else f for f in analysis.findings)
    statements = tuple(_changed(s, pairs[s.tracking_id]) if s.tracking_id in pairs else s for s in analysis.statements)
    notes = (*analysis.notes, *_notes(analysis, prior, pairs))
    return Comparison(replace(analysis, findings=findings, statements=statements, notes=notes), tracking, points)


def _pairs(analysis: Analysis, prior: Prior) -> dict[str, Known]:
    """By tracking identifier of now; a name is what stands before the last slash."""
    now = [f.tracking_id for f in analysis.findings] + [s.tracking_id for s in analysis.statements]
    count_now, count_then = Counter(map(_name, now)), Counter(map(_name, prior.findings))
    then = {_name(identifier): known for identifier, known in prior.findings.items()}
    alone = (name for name in now if count_now[_name(name)] == 1 == count_then[_name(name)])
    return {name: then[_name(name)] for name in alone}


def _name(tracking_id: str) -> str:
    return tracking_id.rpartition("/")[0] or tracking_id


def _changed(said: Said, known: Known) -> Said:
    """With the change of its first number that was measured then too."""
    main = next((m for m in said.measurements if key(m.name, m.unit, m.derivation) in known.numbers), None)
    if main is None:
        return said
    before = known.numbers[key(main.name, main.unit, main.derivation)]
    if before == 0:
        return said if main.value == 0 else replace(said, evaluations=(*said.evaluations, Evaluation(COMPARED, INCREASE)))
    percent = 100 * (main.value - before) / abs(before)
    word = NO_CHANGE if abs(percent) < UNCHANGED_PERCENT else INCREASE if percent > 0 else DECREASE
    return replace(
        said,
        measurements=(*said.measurements, Measurement(CHANGE, percent, PERCENT)),
        evaluations=(*said.evaluations, Evaluation(COMPARED, word)),
    )


def _notes(analysis: Analysis, prior: Prior, pairs: Mapping[str, Known]) -> list[str]:
    date = f"{prior.study_date[:4]}-{prior.study_date[4:6]}-{prior.study_date[6:]}" if prior.study_date else "an unknown date"
    said = [f"Compared with the result of the same model of {date}."]
    for finding in analysis.findings:
        known = pairs.get(finding.tracking_id)
        words = None if known is None else _difference(finding, known)
        if words:
            said.append(words)
    new = Counter(_name(f.tracking_id) for f in analysis.findings)
    several = sorted(name.rpartition("/")[2] for name, count in new.items() if count > 1)
    if several:
        said.append(f"Not compared one by one, because there are several: {', '.join(several)}.")
    return said


def _difference(finding: Finding, known: Known) -> str:
    for measurement in finding.measurements:
        before = known.numbers.get(key(measurement.name, measurement.unit, measurement.derivation))
        if before is not None:
            label = finding.label or _name(finding.tracking_id).rpartition("/")[2]
            unit = measurement.unit.value
            return f"{label}: {measurement.name.meaning} {measurement.value:.4g} {unit}, was {before:.4g} {unit}."
    return ""
