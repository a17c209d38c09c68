"""How urgent a study is: what its images say (Requested Procedure Priority), unless the rule of the model says otherwise."""

from collections.abc import Iterable, Iterator
from typing import Final

from pydicom.dataset import Dataset

from domain.jobs import Priority
from node.broken import BROKEN

STUDY: Final = "study"
_TERMS: Final = {
    "STAT": Priority.STAT,
    "HIGH": Priority.HIGH,
    "MEDIUM": Priority.ROUTINE,
    "ROUTINE": Priority.ROUTINE,
    "LOW": Priority.LOW,
}
CHOICES: Final = (STUDY, "stat", "high", "routine", "low")


def priority_of(headers: Iterable[Dataset], setting: str = STUDY) -> Priority:
    """That of ``[[model]] priority``, or the most urgent that a header states; without any it is routine."""
    if setting != STUDY:
        return _TERMS[setting.upper()]
    return min((_TERMS[term] for header in headers for term in _said(header) if term in _TERMS), default=Priority.ROUTINE)


def _said(header: Dataset) -> Iterator[str]:
    """(0040,1003), which stands in the image itself or in an item of Request Attributes Sequence."""
    try:
        for item in (header, *(header.get("RequestAttributesSequence") or ())):
            yield str(item.get("RequestedProcedurePriority", "")).strip().upper()
    except BROKEN:
        return
