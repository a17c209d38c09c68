"""The services by which others say what belongs to a study, bound to pynetdicom: MPPS, availability, storage commitment.

Every answer follows what the witness made of the statement: nothing is acknowledged that was not recorded.
"""

from collections.abc import Callable
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    InstanceAvailabilityNotification,
    ModalityPerformedProcedureStep,
    StorageCommitmentPushModel,
)

from domain.evidence import Commitment, Evidence, Witness
from domain.instances import Caller
from scp import availability, commitment, mpps

SUCCESS, INVALID_ARGUMENT, DUPLICATE, NO_SUCH_INSTANCE = 0x0000, 0x0115, 0x0111, 0x0112
PROCESSING_FAILURE, NO_SUCH_CLASS, NO_SUCH_ACTION = 0x0110, 0x0118, 0x0123

Reporter = Callable[[Caller, Any, Commitment], None]  # (who asked, their association, what to report)
CallerOf = Callable[[Any], Caller]


def contexts() -> list[PresentationContext]:
    """The presentation contexts to support beside storage and verification."""
    return [
        build_context(uid)
        for uid in (ModalityPerformedProcedureStep, InstanceAvailabilityNotification, StorageCommitmentPushModel)
    ]


def handlers(witness: Witness, caller_of: CallerOf, report: Reporter) -> list[tuple[Any, Callable[[Any], Any]]]:
    """pynetdicom event handlers. ``report`` must return at once and send the N-EVENT-REPORT afterwards."""
    bound = _Evidence(witness, caller_of, report)
    return [(evt.EVT_N_CREATE, bound.on_create), (evt.EVT_N_SET, bound.on_set), (evt.EVT_N_ACTION, bound.on_action)]


class _Evidence:
    def __init__(self, witness: Witness, caller_of: CallerOf, report: Reporter) -> None:
        self._witness, self._caller_of, self._report = witness, caller_of, report

    def on_create(self, event: Any) -> tuple[int, Dataset | None]:
        """N-CREATE of an MPPS or of an Instance Availability Notification."""
        uid, attributes = str(event.request.AffectedSOPInstanceUID or ""), event.attribute_list
        if event.request.AffectedSOPClassUID == InstanceAvailabilityNotification:
            return self._available(event, availability.notified(uid, attributes)), attributes
        if not uid:
            return INVALID_ARGUMENT, None
        try:
            evidence = mpps.created(uid, attributes)
        except mpps.RefusedStepError as refused:
            return refused.status, None
        return (SUCCESS if self._witness.step_created(self._caller_of(event), evidence) else DUPLICATE), attributes

    def _available(self, event: Any, evidence: Evidence | None) -> int:
        if evidence is None:
            return INVALID_ARGUMENT
        self._witness.testify(self._caller_of(event), evidence)
        return SUCCESS

    def on_set(self, event: Any) -> tuple[int, Dataset | None]:
        """N-SET of an MPPS."""
        uid, modifications = str(event.request.RequestedSOPInstanceUID or ""), event.modification_list
        try:
            evidence = mpps.changed(uid, modifications)
        except mpps.RefusedStepError as refused:
            return refused.status, None
        why_not = self._witness.step_set(self._caller_of(event), evidence)
        return {"": SUCCESS, "unknown": NO_SUCH_INSTANCE}.get(why_not, PROCESSING_FAILURE), modifications

    def on_action(self, event: Any) -> tuple[int, Dataset | None]:
        """N-ACTION of a storage commitment; the report follows after the response."""
        if event.action_type != 1:
            return NO_SUCH_ACTION, None
        evidence = commitment.requested(event.action_information)
        if evidence is None:
            return INVALID_ARGUMENT, None
        caller = self._caller_of(event)
        self._report(caller, event.assoc, self._witness.commit(caller, evidence))
        return SUCCESS, None
