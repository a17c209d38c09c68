"""The vocabulary of the audit log; values are stable, administrators search for them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Event(StrEnum):
    """What happened."""

    NODE_STARTED = "node-started"
    NODE_STOPPED = "node-stopped"
    NODE_RELOADED = "node-reloaded"  # it read its configuration again
    RECOVERED = "recovered"  # indexed again from a pack at start-up
    TORN = "torn"  # an unacknowledged tail was cut off at start-up
    ASSOCIATION_OPENED = "association-opened"
    ASSOCIATION_CLOSED = "association-closed"
    ASSOCIATION_REJECTED = "association-rejected"
    STORED = "stored"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REFUSED = "refused"
    SETTLED = "settled"
    REOPENED = "reopened"
    RERUN = "rerun"  # an operator had a closed study judged again
    PURGED = "purged"  # the images and results of a study were deleted
    UNCHANGED = "unchanged"  # a new revision brought nothing new for this model: no job
    UNMATCHED = "unmatched"  # no rule wanted this study
    QUEUED = "queued"
    CLAIMED = "claimed"
    FINISHED = "finished"
    DECLINED = "declined"
    RETRIED = "retried"
    EXPIRED = "expired"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REVIVED = "revived"
    SENT = "sent"
    WITHHELD = "withheld"  # shadow mode: an answer is kept here and goes nowhere
    EXPORTED = "images-exported"  # an operator had the images or results of a study written as files
    ASKED = "asked"  # an archive was asked to commit to results
    COMMITTED = "committed"  # and has taken responsibility for them
    FORGOTTEN = "forgotten"  # an operator had a destination asked anew what it takes
    TESTIFIED = "testified"  # somebody said what belongs to a study (MPPS, availability)
    COMMITMENT = "commitment"  # a storage commitment request, and how much of it is durable
    ADMITTED = "admitted"  # an administrator let a caller in
    DISMISSED = "dismissed"  # and sent it away again
    PACKAGE_ACCEPTED = "package-accepted"  # its golden cases agree on this CPU; in which precision it runs
    PACKAGE_REFUSED = "package-refused"
    AUDIT_RESENT = "audit-resent"  # an operator had rows of this log sent to the repository again
    AUDIT_READ = "audit-read"  # somebody exported this log
    HELD = "held"  # quiet, but something is known to be missing: waited for until the deadline


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row. ``hash`` is the SHA-256 (hex) of the previous row's hash and this row's fields."""

    seq: int
    at: datetime
    event: str
    study_uid: str
    job_id: int | None
    actor: str  # "CT01@192.0.2.7", "node", "operator:root"
    details: str  # JSON, sorted keys, no patient data
    hash: str
