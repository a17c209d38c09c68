"""Reads an earlier report of this writer (or any TID 1500 report like it): what was measured then, and under which name.

A report that comes from a PACS is hostile until it is read: whatever is malformed in it is left out, nothing raises.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydicom.dataset import Dataset

from domain.results import Code

_MOST_ITEMS: Final = 200_000
_DEEPEST: Final = 12
_NAMES: Final = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)+")
_SUMMARY: Final = "111017"  # CAD Processing and Findings Summary; its values end with or without findings
_ANSWERED: Final = frozenset({"111241", "111242", "111243", "111244"})

Key = tuple[str, str, str, str]  # code value and scheme of the concept, unit, code value of the derivation


@dataclass(frozen=True, slots=True)
class Known:
    """One finding of the earlier report. ``numbers`` by concept, unit and derivation."""

    tracking_id: str
    tracking_uid: str
    numbers: Mapping[Key, float]
    order: int = 1  # Time Point Order (PS3.16 TID 1502)


@dataclass(frozen=True, slots=True)
class Prior:
    """An earlier report. ``study_date`` is YYYYMMDD or empty; ``negative`` and ``positive`` are never both true."""

    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    study_uid: str
    study_date: str
    package_id: str
    answered: bool
    findings: Mapping[str, Known] = field(default_factory=dict)  # by tracking identifier


def key(name: Code, unit: Code, derivation: Code | None) -> Key:
    """What makes two numbers the same measurement."""
    return (name.value, name.scheme, unit.value, "" if derivation is None else derivation.value)


def read_prior(report: Dataset) -> Prior | None:
    """What an earlier report said; None when it is no report that can be compared with."""
    sop_class, sop_instance, series, study = (_text(report, keyword) for keyword in _NAMES)
    if not all(_UID.fullmatch(name) and len(name) <= 64 for name in (sop_class, sop_instance, series, study)):
        return None
    items = list(_walk(report))
    findings: dict[str, Known] = {}
    for group in (item for item in items if _named(item) == "125007"):
        known = _known(group)
        if known is not None:
            findings.setdefault(known.tracking_id, known)
    observer = [_text(item, "TextValue") for item in items if _named(item) == "121013"]
    answers = {_coded(item) for item in items if _named(item) == _SUMMARY}
    date = _text(report, "StudyDate")
    return Prior(
        sop_class,
        sop_instance,
        series,
        study,
        study_date=date if re.fullmatch(r"\d{8}", date) else "",
        package_id=observer[0] if observer else "",
        answered=bool(answers & _ANSWERED),
        findings=findings,
    )


def _known(group: Dataset) -> Known | None:
    children = _children(group)
    texts = {_named(item): _text(item, "TextValue") for item in children}
    uids = [_text(item, "UID") for item in children if _named(item) == "112040"]
    identifier = texts.get("112039", "")
    if not identifier or not uids or not _UID.fullmatch(uids[0]) or len(uids[0]) > 64:
        return None
    numbers: dict[Key, float] = {}
    order = 1
    for item in children:
        value = _number(item)
        if value is None:
            continue
        if _named(item) == "126073":
            order = int(value) if 1 <= value < 1000 else 1
        else:
            numbers.setdefault(_key_of(item), value)
    return Known(identifier, uids[0], numbers, order)


def _key_of(item: Dataset) -> Key:
    name, derivation = _first(item, "ConceptNameCodeSequence"), ""
    for modifier in _children(item):
        if _named(modifier) == "121401":
            derivation = _coded(modifier)
    unit = _first(_first(item, "MeasuredValueSequence"), "MeasurementUnitsCodeSequence")
    return (_text(name, "CodeValue"), _text(name, "CodingSchemeDesignator"), _text(unit, "CodeValue"), derivation)


def _number(item: Dataset) -> float | None:
    raw = _text(_first(item, "MeasuredValueSequence"), "NumericValue")
    try:
        value = float(raw)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _walk(item: Dataset) -> Iterator[Dataset]:
    """Every content item below, in order, as far down and as many as a report of this kind can have."""
    waiting: list[tuple[Dataset, int]] = [(child, 1) for child in reversed(_children(item))]
    seen = 0
    while waiting and seen < _MOST_ITEMS:
        child, depth = waiting.pop()
        seen += 1
        yield child
        if depth < _DEEPEST:
            waiting += [(below, depth + 1) for below in reversed(_children(child))]


def _children(item: Dataset) -> Sequence[Dataset]:
    found = _value(item, "ContentSequence")
    return list(found) if isinstance(found, Sequence) and not isinstance(found, str | bytes) else []


def _named(item: Dataset) -> str:
    return _text(_first(item, "ConceptNameCodeSequence"), "CodeValue")


def _coded(item: Dataset) -> str:
    return _text(_first(item, "ConceptCodeSequence"), "CodeValue")


def _first(item: Dataset, keyword: str) -> Dataset:
    found = _value(item, keyword)
    try:
        return found[0] if isinstance(found[0], Dataset) else Dataset()
    except (TypeError, IndexError, KeyError):
        return Dataset()


def _text(item: Dataset, keyword: str) -> str:
    value = _value(item, keyword)
    return "" if value is None else str(value).strip()


def _value(item: Dataset, keyword: str) -> Any:
    try:
        return item.get(keyword)
    except (ValueError, TypeError, OverflowError, NotImplementedError, LookupError, AttributeError):
        return None
