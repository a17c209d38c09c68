"""Storage commitment as user (PS3.4 Annex J): an archive is asked to take responsibility; its report may come at once.

Most archives report on an association of their own, to the receiver of this node; some on the one that asked.
"""

import threading
from collections.abc import Sequence
from typing import Any, Final

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance  # type: ignore[attr-defined]

from delivery.query import associated
from domain.destinations import Destination
from domain.errors import PermanentError, TransientError
from domain.evidence import Commitment, Member

_REQUEST: Final = 1  # Action Type ID
_UNABLE: Final = frozenset({0x0118, 0x0119, 0x0122, 0x0123, 0x0211})  # no such class, action or operation there


class NoCommitmentError(PermanentError):
    """The archive offers no storage commitment."""


def ask(destination: Destination, transaction_uid: str, members: Sequence[Member], wait_seconds: float) -> Commitment | None:
    """Ask for commitment; the report if it comes on the same association within ``wait_seconds``, else None.

    Raises NoCommitmentError when the archive does not offer it, TransientError when it cannot be asked now.
    """
    heard = _Heard(transaction_uid)
    handlers = [(evt.EVT_N_EVENT_REPORT, heard.take)]
    association = associated(destination, StorageCommitmentPushModel, "storage commitment", handlers)
    try:
        if not association.accepted_contexts:
            raise NoCommitmentError(f"{destination.name} offers no storage commitment")
        status = _act(association, destination, _information(transaction_uid, members))
        if status in _UNABLE:
            raise NoCommitmentError(f"{destination.name} answered the commitment request with {status:#06x}")
        if status:
            raise TransientError(f"{destination.name} answered the commitment request with {status:#06x}")
        heard.came.wait(wait_seconds)
        return heard.commitment
    finally:
        association.release()


def _act(association: Any, destination: Destination, information: Dataset) -> int:
    try:
        said, _ = association.send_n_action(information, _REQUEST, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    except (RuntimeError, ValueError):  # the association ended meanwhile
        raise TransientError(f"{destination.name} ended the association instead of an answer") from None
    if "Status" not in said:
        raise TransientError(f"{destination.name} did not answer the commitment request in time")
    return int(said.Status)


def _information(transaction_uid: str, members: Sequence[Member]) -> Dataset:
    information = Dataset()
    information.TransactionUID = transaction_uid
    information.ReferencedSOPSequence = []
    for member in members:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = member.sop_class_uid, member.sop_instance_uid
        information.ReferencedSOPSequence.append(item)
    return information


class _Heard:
    """The report of one transaction, if it comes on our own association."""

    def __init__(self, transaction_uid: str) -> None:
        self._transaction = transaction_uid
        self.commitment: Commitment | None = None
        self.came = threading.Event()

    def take(self, event: Any) -> tuple[int, None]:
        """Answers the N-EVENT-REPORT."""
        try:
            information = event.event_information
            if str(information.TransactionUID).strip() != self._transaction:
                return 0x0112, None
            failed = _members(information, "FailedSOPSequence")
            durable = tuple(member for member in _members(information, "ReferencedSOPSequence") if member not in failed)
        except (AttributeError, ValueError, TypeError, KeyError, NotImplementedError, OSError, OverflowError, EOFError):
            return 0x0115, None
        self.commitment = Commitment(self._transaction, durable, failed)
        self.came.set()
        return 0x0000, None


def _members(information: Dataset, keyword: str) -> tuple[Member, ...]:
    items = information.get(keyword) or ()
    return tuple(Member(str(i.get("ReferencedSOPClassUID", "")), str(i.ReferencedSOPInstanceUID)) for i in items)
