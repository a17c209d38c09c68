"""The services by which others say what belongs to a study, bound to pynetdicom: MPPS, availability, storage commitment.

Every answer follows what the witness made of the statement: nothing is acknowledged that was not recorded.
"""

from collections.abc import Callable
from typing import Any, Final

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.dimse_primitives import N_ACTION, N_CREATE, N_EVENT_REPORT, N_SET
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    InstanceAvailabilityNotification,
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModel,
)

from domain.evidence import Commitment, Evidence, Witness
from domain.instances import Caller
from scp import availability, commitment, mpps
from scp.boundary import attempt
from scp.header import usable_uid
from scp.references import TooManyError
from scp.reports import Reports

SUCCESS, INVALID_ARGUMENT, DUPLICATE, NO_SUCH_INSTANCE = 0x0000, 0x0115, 0x0111, 0x0112
PROCESSING_FAILURE, NO_SUCH_ACTION, LIMIT = 0x0110, 0x0123, 0x0213

# What each service is asked for; anything else on its presentation context is not understood (PS3.7 8.1).
_REQUESTS: Final[dict[str, tuple[type, ...]]] = {
    str(ModalityPerformedProcedureStep): (N_CREATE, N_SET),
    str(InstanceAvailabilityNotification): (N_CREATE,),
    str(StorageCommitmentPushModel): (N_ACTION, N_EVENT_REPORT),
}
Answer = tuple[int, Dataset | None]


class Services:
    """What every association of a receiver needs for them."""

    def __init__(self, witness: Witness, reports: Reports) -> None:
        self.reports = reports
        self._witness = witness
        self.handlers: dict[Any, Any] = {
            evt.EVT_N_CREATE: (self._on_create, None),
            evt.EVT_N_SET: (self._on_set, None),
            evt.EVT_N_ACTION: (self._on_action, None),
            evt.EVT_N_EVENT_REPORT: (self._on_report, None),
        }

    def send_owed(self) -> None:
        """The reports that an earlier process did not get rid of."""
        owed: list[tuple[Caller, Commitment]] = []
        attempt(lambda: owed.extend(self._witness.owed()))
        for caller, commitment_ in owed:
            self.reports.send(caller, None, commitment_)

    @property
    def sop_classes(self) -> frozenset[str]:
        """The presentation contexts to accept beside storage and verification."""
        return frozenset(_REQUESTS)

    def takes(self, message: Any, abstract_syntax: str) -> bool:
        """Whether this message belongs to the service its presentation context was accepted for."""
        named = getattr(message, "AffectedSOPClassUID", None) or getattr(message, "RequestedSOPClassUID", None)
        fits = isinstance(message, _REQUESTS.get(abstract_syntax, ())) and named == abstract_syntax
        return fits and bool(message.is_valid_request)

    def _on_create(self, event: Any) -> Answer:
        if event.request.AffectedSOPClassUID == InstanceAvailabilityNotification:
            return _guarded(lambda: self._available(event))
        return _guarded(lambda: self._begun(event))

    def _on_set(self, event: Any) -> Answer:
        return _guarded(lambda: self._changed(event))

    def _on_action(self, event: Any) -> Answer:
        return _guarded(lambda: self._asked(event))

    def _on_report(self, event: Any) -> Answer:
        return _guarded(lambda: self._promised(event))

    def _promised(self, event: Any) -> Answer:
        """An archive answers what we asked it on an association of its own."""
        promise = commitment.reported(event.event_information)
        if promise is None:
            return INVALID_ARGUMENT, None
        return SUCCESS if self._witness.promised(event.assoc.caller, promise) else NO_SUCH_INSTANCE, None

    def _available(self, event: Any) -> Answer:
        evidence = availability.notified(usable_uid(str(event.request.AffectedSOPInstanceUID or "")), event.attribute_list)
        if evidence is None:
            return INVALID_ARGUMENT, None
        self._witness.testify(event.assoc.caller, evidence)
        return SUCCESS, event.attribute_list

    def _begun(self, event: Any) -> Answer:
        uid = usable_uid(str(event.request.AffectedSOPInstanceUID or ""))
        if not uid:
            return INVALID_ARGUMENT, None
        new = self._witness.step_created(event.assoc.caller, mpps.created(uid, event.attribute_list))
        return (SUCCESS, event.attribute_list) if new else (DUPLICATE, None)

    def _changed(self, event: Any) -> Answer:
        evidence = mpps.changed(usable_uid(str(event.request.RequestedSOPInstanceUID or "")), event.modification_list)
        why_not = self._witness.step_set(event.assoc.caller, evidence)
        if why_not:
            return NO_SUCH_INSTANCE if why_not == "unknown" else PROCESSING_FAILURE, None
        return SUCCESS, event.modification_list

    def _asked(self, event: Any) -> Answer:
        if event.action_type != 1:
            return NO_SUCH_ACTION, None
        evidence = commitment.requested(event.action_information)
        if evidence is None:
            return INVALID_ARGUMENT, None
        self._answer_later(event.assoc, evidence)
        return SUCCESS, None

    def _answer_later(self, association: Any, evidence: Evidence) -> None:
        """The report follows the response to the request: some modalities take it for the response otherwise."""
        caller = association.caller
        promise = self._witness.commit(caller, evidence)
        association.afterwards.append(lambda: self.reports.send(caller, association, promise))


def _guarded(step: Callable[[], Answer]) -> Answer:
    """The answer, or the status an error stands for."""
    found: list[Answer] = []
    error = attempt(lambda: found.append(step()))
    if error is None:
        return found[0]
    if isinstance(error, mpps.RefusedStepError):
        return error.status, None
    return LIMIT if isinstance(error, TooManyError) else PROCESSING_FAILURE, None
