"""What others say belongs to a study: the evidence by which it is judged complete."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from domain.instances import Caller


class Source(StrEnum):
    """Who says so, strongest first."""

    MPPS = "mpps"  # Modality Performed Procedure Step, COMPLETED (PS3.4 Annex F)
    AVAILABILITY = "instance-availability"  # Instance Availability Notification (PS3.4 Annex R)
    COMMITMENT = "storage-commitment"  # the modality asks us to take responsibility (PS3.4 Annex J)
    PACS_COUNT = "pacs-count"  # Number of Study Related Instances by C-FIND (PS3.4 Annex C)


@dataclass(frozen=True, slots=True)
class Member:
    """One instance that somebody listed."""

    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One statement about one study.

    ``subject`` names the statement itself (MPPS SOP Instance UID, transaction UID ...): a later one of the same source and
    subject replaces it. ``final`` is false while the step is in progress: the study then waits for the end of it.
    ``study_uid`` may be empty in a commitment request (it lists instances only) and in the N-SET of an MPPS.
    """

    source: Source
    subject: str
    study_uid: str
    final: bool
    members: tuple[Member, ...] = ()
    count: int | None = None  # where only a number is known


@dataclass(frozen=True, slots=True)
class Commitment:
    """The answer to a storage commitment request: what is durable and what is not, here or at an archive that we asked."""

    transaction_uid: str
    durable: tuple[Member, ...]
    missing: tuple[Member, ...]


class Witness(Protocol):
    """Where evidence goes: made by node from the store, given to the receiver."""

    def step_created(self, caller: Caller, evidence: Evidence) -> bool:
        """An MPPS N-CREATE; False when that SOP Instance UID exists already (0x0111)."""

    def step_set(self, caller: Caller, evidence: Evidence) -> str:
        """An MPPS N-SET; "" or why not: "unknown" (0x0112) or "final" (a finished step may not change, 0x0110)."""

    def testify(self, caller: Caller, evidence: Evidence) -> None:
        """Any other statement."""

    def commit(self, caller: Caller, evidence: Evidence) -> Commitment:
        """A storage commitment request: recorded as evidence, and answered for what is durable. The report is owed then."""

    def owed(self) -> Sequence[tuple[Caller, Commitment]]:
        """Reports that are owed since before this process began, oldest first."""

    def reported(self, caller: Caller, transaction_uid: str) -> None:
        """The report was taken, or cannot reach anybody any more: it is not owed."""

    def promised(self, caller: Caller, commitment: Commitment) -> bool:
        """An archive answered a request of ours; False when there was none of that transaction."""
