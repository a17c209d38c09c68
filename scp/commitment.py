"""Storage Commitment Push Model (PS3.4 Annex J): what is asked of us, the report of what is durable here, reports to us."""

from pydicom.dataset import Dataset

from domain.evidence import Commitment, Evidence, Member, Source
from scp.references import distinct, items, references, uid

ALL_DURABLE, SOME_MISSING = 1, 2  # Event Type IDs of the report, PS3.4 table J.3-2
NO_SUCH_OBJECT = 0x0112


def requested(action: Dataset) -> Evidence | None:
    """Evidence from an N-ACTION (Action Type 1), or None without Transaction UID or references. Raises TooManyError."""
    transaction = uid(action, "TransactionUID")
    members = distinct(references(items(action, "ReferencedSOPSequence")))
    if not transaction or not members:
        return None
    return Evidence(Source.COMMITMENT, transaction, "", final=True, members=members)


def reported(event_information: Dataset) -> Commitment | None:
    """What an archive says about a request of ours (N-EVENT-REPORT, PS3.4 J.3.3), or None without Transaction UID.

    Raises TooManyError.
    """
    transaction = uid(event_information, "TransactionUID")
    if not transaction:
        return None
    durable = distinct(references(items(event_information, "ReferencedSOPSequence")))
    missing = distinct(references(items(event_information, "FailedSOPSequence")))
    failed = {member.sop_instance_uid for member in missing}
    return Commitment(transaction, tuple(m for m in durable if m.sop_instance_uid not in failed), missing)


def report(commitment: Commitment, ae_title: str) -> tuple[int, Dataset]:
    """Event Type ID and Event Information of the N-EVENT-REPORT (PS3.4 J.3.3)."""
    information = Dataset()
    information.TransactionUID = commitment.transaction_uid
    information.RetrieveAETitle = ae_title
    if commitment.durable:
        information.ReferencedSOPSequence = [_reference(member) for member in commitment.durable]
    if not commitment.missing:
        return ALL_DURABLE, information
    information.FailedSOPSequence = [_failed(member) for member in commitment.missing]
    return SOME_MISSING, information


def _reference(member: Member) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = member.sop_class_uid
    item.ReferencedSOPInstanceUID = member.sop_instance_uid
    return item


def _failed(member: Member) -> Dataset:
    item = _reference(member)
    item.FailureReason = NO_SUCH_OBJECT
    return item
