"""Storage commitment reports: N-EVENT-REPORT on a new association where the peer listens, else on the one that asked.

PS3.4 J.3.3 allows both. A report that reaches nobody is tried again for a while, and once more after each start; it is
given up when nobody could take it any more (there is no port of the modality, and the association that asked is over).
"""

import logging
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from io import BytesIO
from typing import Any, Final

from pynetdicom import AE, build_role
from pynetdicom.dimse_primitives import N_EVENT_REPORT
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance  # type: ignore[attr-defined]

from domain.checkpoint import guard
from domain.errors import TransientError
from domain.evidence import Commitment
from domain.instances import Caller
from scp.boundary import attempt
from scp.commitment import report as contents

LOG: Final = logging.getLogger(__name__)
_WAITS: Final = (0.0, 1.0, 5.0, 30.0, 120.0)  # seconds before each attempt
_SECONDS: Final = 10.0  # for connecting and for each answer
Tls = tuple[ssl.SSLContext, str]  # and the name its certificate must have


def plain(_caller: Caller, _port: int) -> Tls | None:
    """Nobody is spoken to by TLS."""
    return None


class Reports:
    """Sends reports in the background. ``port_of`` tells where a caller listens (0: nowhere), ``done`` hears of each that is not
    owed any more, ``tls_of`` says whether a port is spoken to by TLS; it may raise TransientError."""

    def __init__(
        self,
        ae_title: str,
        port_of: Callable[[Caller], int],
        done: Callable[[Caller, str], None],
        waits: tuple[float, ...] = _WAITS,
        tls_of: Callable[[Caller, int], Tls | None] = plain,
    ) -> None:
        self._ae_title, self._port_of, self._done, self._waits = ae_title, port_of, done, waits
        self._tls_of = tls_of
        self._pool = ThreadPoolExecutor(16, thread_name_prefix="commitment")
        self._stopping = threading.Event()

    def send(self, caller: Caller, association: Any, commitment: Commitment) -> None:
        """Queue the report; returns at once. ``association`` is None when the one that asked is over."""
        if not self._stopping.is_set():
            self._pool.submit(self._deliver, caller, association, commitment)

    def stop(self) -> None:
        """Give up what waits."""
        self._stopping.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _deliver(self, caller: Caller, association: Any, commitment: Commitment) -> None:
        for wait in self._waits:
            if self._stopping.wait(wait):
                return
            port = self._port_of(caller)
            if (port and self._on_new(caller, port, commitment)) or self._on_same(association, commitment):
                self._forget(caller, commitment)
                return
            if not port:  # the association is gone, and there is no other way
                self._forget(caller, commitment)
                break
        LOG.warning("a storage commitment report reached nobody: %s", caller.calling_ae)

    def _forget(self, caller: Caller, commitment: Commitment) -> None:
        """When that cannot be written down, the report is sent once more after the next start: it says the same."""
        attempt(lambda: self._done(caller, commitment.transaction_uid))

    def _on_new(self, caller: Caller, port: int, commitment: Commitment) -> bool:
        """With the role of the provider, which the requestor of an association has to propose (PS3.7 D.3.3.4).

        Where TLS is wanted and cannot be had, nothing is sent.
        """
        try:
            tls = self._tls_of(caller, port)
        except TransientError:  # a certificate cannot be read
            return False
        ae = AE(self._ae_title)
        ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = _SECONDS
        ae.add_requested_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        new = ae.associate(caller.address, port, ae_title=caller.calling_ae, ext_neg=[role], tls_args=tls)
        if not new.is_established:
            return False
        try:
            guard(new)
            return self._report(new, commitment)
        finally:
            new.release()

    def _on_same(self, association: Any, commitment: Commitment) -> bool:
        """Its thread sends; the answer comes like any message, between whatever else the modality has to say."""
        if association is None:
            return False
        try:
            association.ask(lambda: self._send(association, commitment)).result(_SECONDS)
        except (CancelledError, TimeoutError, ValueError):  # it ended, or nothing can be sent on it
            return False
        return True

    def _send(self, association: Any, commitment: Commitment) -> None:
        """Raises ValueError when there is no presentation context for it."""
        [context] = [c for c in association.accepted_contexts if c.abstract_syntax == StorageCommitmentPushModel][:1]
        event_type, information = contents(commitment, self._ae_title)
        syntax = context.transfer_syntax[0]
        request = N_EVENT_REPORT()
        request.MessageID = 1
        request.AffectedSOPClassUID = StorageCommitmentPushModel
        request.AffectedSOPInstanceUID = StorageCommitmentPushModelInstance
        request.EventTypeID = event_type
        encoded = encode(information, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
        request.EventInformation = BytesIO(encoded or b"")
        association.dimse.send_msg(request, context.context_id)

    def _report(self, association: Any, commitment: Commitment) -> bool:
        event_type, information = contents(commitment, self._ae_title)
        try:
            status, _ = association.send_n_event_report(
                information, event_type, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            )
        except (RuntimeError, ValueError):  # the association ended, or this context was not accepted
            return False
        return bool(status.get("Status", 0xFFFF) == 0)
