"""Instance Availability Notification as provider (PS3.4 Annex R): N-CREATE becomes evidence of completeness."""

from pydicom.dataset import Dataset

from domain.evidence import Evidence, Member, Source

_THERE = {"ONLINE", "NEARLINE", "OFFLINE"}


def notified(sop_instance_uid: str, attributes: Dataset) -> Evidence | None:
    """Evidence from an N-CREATE, or None when it names no study or lists nothing that exists (all UNAVAILABLE)."""
    members = tuple(
        Member(str(item.get("ReferencedSOPClassUID", "")), str(item.get("ReferencedSOPInstanceUID", "")), uid)
        for series in attributes.get("ReferencedSeriesSequence") or []
        for uid in [str(series.get("SeriesInstanceUID", ""))]
        for item in series.get("ReferencedSOPSequence") or []
        if str(item.get("InstanceAvailability", "")) in _THERE
    )
    study_uid = str(attributes.get("StudyInstanceUID", ""))
    if not study_uid or not members:
        return None
    return Evidence(Source.AVAILABILITY, sop_instance_uid, study_uid, final=True, members=members)
