"""Modality Performed Procedure Step as provider (PS3.4 Annex F): N-CREATE and N-SET become evidence of completeness."""

from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from domain.evidence import Evidence, Member, Source

_ENDS = {"COMPLETED": True, "DISCONTINUED": True, "IN PROGRESS": False}
_LISTS = ("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence")


class RefusedStepError(Exception):
    """The request cannot be understood; ``status`` is the DIMSE status (PS3.7 Annex C)."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


def created(sop_instance_uid: str, attributes: Dataset) -> Evidence:
    """Evidence from an N-CREATE. Raises RefusedStepError (0x0120 missing attribute, 0x0106 invalid value)."""
    if attributes.get("PerformedProcedureStepStatus") != "IN PROGRESS":
        raise RefusedStepError(0x0106, "PerformedProcedureStepStatus must be IN PROGRESS")
    steps = attributes.get("ScheduledStepAttributesSequence") or []
    studies = {str(step.get("StudyInstanceUID", "")) for step in steps} - {""}
    if len(studies) != 1:
        raise RefusedStepError(0x0120, "ScheduledStepAttributesSequence must name one StudyInstanceUID")
    return Evidence(Source.MPPS, sop_instance_uid, studies.pop(), final=False, members=tuple(_members(attributes)))


def changed(sop_instance_uid: str, modifications: Dataset) -> Evidence:
    """Evidence from an N-SET; its study is known from the N-CREATE. Raises RefusedStepError."""
    status = str(modifications.get("PerformedProcedureStepStatus", "IN PROGRESS"))
    if status not in _ENDS:
        raise RefusedStepError(0x0106, "PerformedProcedureStepStatus must be IN PROGRESS, DISCONTINUED or COMPLETED")
    return Evidence(Source.MPPS, sop_instance_uid, "", final=_ENDS[status], members=tuple(_members(modifications)))


def _members(attributes: Dataset) -> Iterator[Member]:
    for series in attributes.get("PerformedSeriesSequence") or Sequence():
        uid = str(series.get("SeriesInstanceUID", ""))
        for name in _LISTS:
            for item in series.get(name) or Sequence():
                yield Member(str(item.get("ReferencedSOPClassUID", "")), str(item.get("ReferencedSOPInstanceUID", "")), uid)
