"""Which DICOM audit message (PS3.15 A.5.3) each kind of row of the audit log becomes: one table, also that of docs/audit.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from domain.audit import Event
from domain.jobs import JobKind

DCM: Final = "DCM"
OURS: Final = "99ANCILLA"  # private coding scheme (PS3.16 section 8.2), where no code of the Standard says it


@dataclass(frozen=True, slots=True)
class Code:
    """A coded value (PS3.15 A.5.1, CodedValueType)."""

    value: str
    scheme: str
    meaning: str


class Parts(Enum):
    """Who takes part, and in which role (PS3.16 CID 402)."""

    APPLICATION = "this node"  # alone, or with the person who asked
    USE = "who asked, and this node"
    REPORT = "this node, which reports, and who did it"  # PS3.15 A.5.3.11
    ARRIVAL = "the sender as source, this node as destination"
    DEPARTURE = "this node as source, the receiver as destination"


ACTIVITY: Final = Code("110100", DCM, "Application Activity")
LOG_USED: Final = Code("110101", DCM, "Audit Log Used")
BEGIN: Final = Code("110102", DCM, "Begin Transferring DICOM Instances")
ACCESSED: Final = Code("110103", DCM, "DICOM Instances Accessed")
TRANSFERRED: Final = Code("110104", DCM, "DICOM Instances Transferred")
DELETED: Final = Code("110105", DCM, "DICOM Study Deleted")
EXPORT: Final = Code("110106", DCM, "Export")
PROCEDURE: Final = Code("110111", DCM, "Procedure Record")
ALERT: Final = Code("110113", DCM, "Security Alert")

START: Final = Code("110120", DCM, "Application Start")
STOP: Final = Code("110121", DCM, "Application Stop")
AUTHENTICATION: Final = Code("110126", DCM, "Node Authentication")
SECURITY: Final = Code("110129", DCM, "Security Configuration")
SOFTWARE: Final = Code("110131", DCM, "Software Configuration")

SUCCESS, MINOR, SERIOUS = 0, 4, 8  # EventOutcomeIndicator


@dataclass(frozen=True, slots=True)
class Form:
    """The message of one kind of row. ``type`` None: the Standard has none, so the name of the event stands there as ours."""

    id: Code
    action: str  # EventActionCode: C, R, U, D, E
    parts: Parts
    type: Code | None = None
    outcome: int = SUCCESS
    plain: bool = False  # the Standard's message says all: no type at all


_USE, _HERE, _IN, _OUT = Parts.USE, Parts.APPLICATION, Parts.ARRIVAL, Parts.DEPARTURE

FORMS: Final[Mapping[str, Form]] = {
    Event.NODE_STARTED: Form(ACTIVITY, "E", _HERE, START),
    Event.NODE_STOPPED: Form(ACTIVITY, "E", _HERE, STOP),
    Event.NODE_RELOADED: Form(ALERT, "E", _HERE, SOFTWARE),
    Event.AUDIT_READ: Form(LOG_USED, "R", _USE, plain=True),
    Event.AUDIT_RESENT: Form(LOG_USED, "R", _USE),
    Event.RECOVERED: Form(ACTIVITY, "E", _HERE),
    Event.TORN: Form(ACTIVITY, "E", _HERE),
    Event.ASSOCIATION_OPENED: Form(ACTIVITY, "E", _USE),
    Event.ASSOCIATION_CLOSED: Form(ACTIVITY, "E", _USE),
    Event.ASSOCIATION_REJECTED: Form(ALERT, "E", Parts.REPORT, AUTHENTICATION, SERIOUS),
    Event.STORED: Form(TRANSFERRED, "C", _IN, plain=True),
    Event.DUPLICATE: Form(TRANSFERRED, "R", _IN, plain=True),
    Event.CONFLICT: Form(TRANSFERRED, "U", _IN),
    Event.REFUSED: Form(TRANSFERRED, "C", _IN, None, SERIOUS, plain=True),
    Event.SETTLED: Form(PROCEDURE, "U", _USE),
    Event.HELD: Form(PROCEDURE, "U", _USE),
    Event.REOPENED: Form(PROCEDURE, "U", _USE),
    Event.RERUN: Form(PROCEDURE, "U", _USE),
    Event.UNCHANGED: Form(PROCEDURE, "R", _USE),
    Event.UNMATCHED: Form(PROCEDURE, "R", _USE),
    Event.TESTIFIED: Form(PROCEDURE, "U", _USE),
    Event.QUEUED: Form(PROCEDURE, "C", _USE),
    Event.CANCELLED: Form(PROCEDURE, "U", _USE),
    Event.REVIVED: Form(PROCEDURE, "U", _USE),
    Event.CLAIMED: Form(ACCESSED, "R", _USE),
    Event.FINISHED: Form(ACCESSED, "C", _USE),
    Event.DECLINED: Form(ACCESSED, "R", _USE),
    Event.RETRIED: Form(ACCESSED, "R", _USE, None, MINOR),
    Event.EXPIRED: Form(ACCESSED, "R", _USE, None, MINOR),
    Event.FAILED: Form(ACCESSED, "R", _USE, None, SERIOUS),
    Event.SENT: Form(TRANSFERRED, "R", _OUT, plain=True),
    Event.ASKED: Form(ACCESSED, "R", _OUT),
    Event.COMMITTED: Form(ACCESSED, "R", _OUT),
    Event.COMMITMENT: Form(ACCESSED, "R", _USE),
    Event.WITHHELD: Form(PROCEDURE, "U", _USE),
    Event.PURGED: Form(DELETED, "D", _USE, plain=True),
    Event.EXPORTED: Form(EXPORT, "R", _USE, plain=True),
    Event.FORGOTTEN: Form(ALERT, "E", _USE, SOFTWARE),
    Event.ADMITTED: Form(ALERT, "E", _USE, SECURITY),
    Event.DISMISSED: Form(ALERT, "E", _USE, SECURITY),
    Event.PACKAGE_ACCEPTED: Form(ALERT, "E", _USE, SOFTWARE),
    Event.PACKAGE_REFUSED: Form(ALERT, "E", _USE, SOFTWARE, SERIOUS),
}

# The same events, when the job they are about is a delivery.
DELIVERIES: Final[Mapping[str, Form]] = {
    Event.CLAIMED: Form(BEGIN, "E", _OUT, plain=True),
    Event.RETRIED: Form(TRANSFERRED, "R", _OUT, None, MINOR),
    Event.EXPIRED: Form(TRANSFERRED, "R", _OUT, None, MINOR),
    Event.FAILED: Form(TRANSFERRED, "R", _OUT, None, SERIOUS),
}

_OTHER: Final = Form(ACTIVITY, "E", _USE)  # an event that this table does not know yet


def form_of(event: str, details: Mapping[str, Any]) -> Form:
    """The message for one row."""
    if details.get("kind") == JobKind.DELIVER and event in DELIVERIES:
        return DELIVERIES[event]
    return FORMS.get(event, _OTHER)


def type_of(form: Form, event: str) -> Code | None:
    """What stands as EventTypeCode; None: nothing."""
    if form.plain:
        return None
    return form.type or Code(str(event), OURS, str(event).replace("-", " ").capitalize())


def table() -> str:
    """Markdown, one row per kind of message; docs/audit.md contains it word for word."""
    rows = ["| row | EventID | EventTypeCode | action | outcome | who takes part |", "| --- | --- | --- | --- | --- | --- |"]
    several = [(str(event), event, form) for event, form in FORMS.items()]
    several += [(f"{event}, of a delivery", event, form) for event, form in DELIVERIES.items()]
    for name, event, form in several:
        kind = type_of(form, event)
        words = "-" if kind is None else f"{kind.value} {kind.meaning}" if kind.scheme == DCM else f"private: {kind.value}"
        rows.append(
            f"| {name} | {form.id.value} {form.id.meaning} | {words} | {form.action} | {form.outcome} | {form.parts.value} |"
        )
    return "\n".join(rows)
