"""Modality Performed Procedure Step as provider (PS3.4 Annex F): N-CREATE and N-SET become evidence of completeness."""

from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from domain.errors import PermanentError
from domain.evidence import Evidence, Member, Source
from scp.references import distinct, items, references, text, uid

_ENDS: Final = {"COMPLETED": True, "DISCONTINUED": True, "IN PROGRESS": False}
_LISTS: Final = ("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence")


class RefusedStepError(PermanentError):
    """The request cannot be understood; ``status`` is the DIMSE status (PS3.7 Annex C)."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


def created(sop_instance_uid: str, attributes: Dataset) -> Evidence:
    """Evidence from an N-CREATE. Raises RefusedStepError (0x0120 missing attribute, 0x0106 invalid value), TooManyError."""
    if text(attributes, "PerformedProcedureStepStatus") != "IN PROGRESS":
        raise RefusedStepError(0x0106, "PerformedProcedureStepStatus must be IN PROGRESS")
    studies = {uid(step, "StudyInstanceUID") for step in items(attributes, "ScheduledStepAttributesSequence")} - {""}
    if len(studies) != 1:
        raise RefusedStepError(0x0120, "ScheduledStepAttributesSequence must name one StudyInstanceUID")
    return Evidence(Source.MPPS, sop_instance_uid, studies.pop(), final=False, members=distinct(_members(attributes)))


def changed(sop_instance_uid: str, modifications: Dataset) -> Evidence:
    """Evidence from an N-SET; its study is known from the N-CREATE. Raises RefusedStepError, TooManyError."""
    status = text(modifications, "PerformedProcedureStepStatus") or "IN PROGRESS"
    if status not in _ENDS:
        raise RefusedStepError(0x0106, "PerformedProcedureStepStatus must be IN PROGRESS, DISCONTINUED or COMPLETED")
    return Evidence(Source.MPPS, sop_instance_uid, "", final=_ENDS[status], members=distinct(_members(modifications)))


def _members(attributes: Dataset) -> Iterator[Member]:
    for series in items(attributes, "PerformedSeriesSequence"):
        for name in _LISTS:
            yield from references(items(series, name), uid(series, "SeriesInstanceUID"))
