"""Instance Availability Notification as provider (PS3.4 Annex R): N-CREATE becomes evidence of completeness."""

from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from domain.evidence import Evidence, Member, Source
from scp.references import distinct, items, references, text, uid

_THERE: Final = frozenset({"ONLINE", "NEARLINE", "OFFLINE"})


def notified(sop_instance_uid: str, attributes: Dataset) -> Evidence | None:
    """Evidence from an N-CREATE, or None when it names no study or lists nothing that exists (all UNAVAILABLE).

    Raises TooManyError.
    """
    study_uid, members = uid(attributes, "StudyInstanceUID"), distinct(_members(attributes))
    if not study_uid or not members:
        return None
    return Evidence(Source.AVAILABILITY, sop_instance_uid or study_uid, study_uid, final=True, members=members)


def _members(attributes: Dataset) -> Iterator[Member]:
    for series in items(attributes, "ReferencedSeriesSequence"):
        there = [item for item in items(series, "ReferencedSOPSequence") if text(item, "InstanceAvailability") in _THERE]
        yield from references(there, uid(series, "SeriesInstanceUID"))
