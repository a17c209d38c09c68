"""One association as its acceptor: pynetdicom's, with our rules for who may send and one path for whatever is stored.

``intake.opened`` is called before the association is accepted and ``intake.closed`` exactly once after it, however it ends.
"""

import logging
import socket
import ssl
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, cast

from pynetdicom import _config, evt
from pynetdicom.acse import ACSE
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO, C_STORE, N_EVENT_REPORT
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.transport import AssociationSocket

from domain.errors import NotKeptError
from domain.instances import Caller
from scp.admission import Verdict
from scp.boundary import attempt
from scp.deposit import Announced, Depositor
from scp.errands import Errands
from scp.flood import Flow
from scp.header import usable_uid
from scp.house import House
from scp.negotiation import is_storage, supported
from scp.outcomes import Outcome
from scp.reactor import BoundedSocket, GuardedReactor
from scp.statuses import Reply, Status
from scp.tls import LOST, shake_hands

LOG: Final = logging.getLogger(__name__)
CALLING_UNKNOWN, CALLED_UNKNOWN = (1, 1, 3), (1, 1, 7)  # result, source, reason (PS3.8 9.3.4)
CONGESTION, LIMIT_EXCEEDED = (2, 3, 1), (2, 3, 2)
SERVICE_USER: Final = 0x00  # source of an A-ABORT (PS3.8 9.3.8)
FLOOD: Final = "too many association requests per second"
NO_STORAGE: Final = "fault in this node, see its log"


def _default_handlers() -> dict[Any, Any]:
    """Those of the services; not those that format a log line for every PDU."""
    handlers: dict[Any, Any] = {}
    for event in evt._INTERVENTION_EVENTS:
        evt._add_handler(event, handlers, (evt.get_default_handler(event), None))
    return handlers


_HANDLERS: Final = _default_handlers()


class Acceptor(Association):
    """A thread per association; ends when the association does."""

    def __init__(self, ae: ApplicationEntity, house: House) -> None:
        super().__init__(ae, "acceptor")
        self.house = house
        if house.services:
            self._handlers |= house.services.handlers
        self.depositor: Depositor | None = None
        self.afterwards: list[Callable[[], None]] = []  # to be done once the response to the present request is sent
        self.answer_known = b""  # A-ASSOCIATE-AC, when the same request was accepted before
        self.errands: Errands = Errands()  # what other threads want this one to send
        self.lost = False  # the connection broke without release or abort
        self.acse = Negotiation(self)
        self.dul = self.make_reactor()
        self.acse_timeout, self.network_timeout = ae.acse_timeout, ae.network_timeout  # also sets the timers of the reactor

    def make_reactor(self) -> GuardedReactor:
        """What reads the connection."""
        return GuardedReactor(self)

    def wrap(self, connection: socket.socket) -> AssociationSocket:
        """The connection as the reactor wants it."""
        return BoundedSocket(self, connection)

    def _bind_defaults(self) -> None:
        self._handlers = dict(_HANDLERS)

    @property
    def caller(self) -> Caller:
        """Who asked for this association."""
        request = cast(A_ASSOCIATE, self.requestor.primitive)
        address = self.requestor.address or ""
        return Caller(str(request.calling_ae_title).strip(), str(request.called_ae_title).strip(), address)

    def open(self) -> bool:
        """Announce the association to the intake; False when that fails."""
        settings, intake, caller = self.house.settings, self.house.intake, self.caller

        def step() -> None:
            self.depositor = Depositor(intake, caller, intake.opened(caller), settings.max_object)

        return attempt(step) is None

    def run_reactor(self) -> None:
        """The thread: the whole life of the association."""
        try:
            if self._secured():  # an error nobody foresaw ends this association; its text may quote what was received
                attempt(super().run_reactor)
        finally:
            self._over()

    def _secured(self) -> bool:
        """The TLS handshake, where the connection came to the port for TLS. Whoever fails is gone."""
        wrapped = self.dul.socket
        if wrapped is None or not isinstance(wrapped.socket, ssl.SSLSocket):
            return True
        fault = shake_hands(wrapped.socket, self.house.settings.request_seconds)
        if fault:
            wrapped.close()
            self._report_untrusted(fault)
        return not fault

    def _report_untrusted(self, fault: str) -> None:
        address = self.requestor.address or ""
        if fault != LOST and self.house.flood.judge(address) is Flow.FREE:
            LOG.warning("TLS with %s failed: %s", address, fault)
            attempt(lambda: self.house.intake.rejected(Caller("", "", address), f"TLS: {fault}"))

    def _over(self) -> None:
        self.drop()
        self.errands.close()
        self.finished("lost" if self.lost else "aborted")

    def finished(self, how: str) -> bool:
        """No more objects will come; the first call counts. Before the release is answered: then the sender may rely on it.

        False when acknowledged objects could not be kept.
        """
        self.discard_unfinished()
        self.house.associations.gone(self)
        depositor, self.depositor = self.depositor, None
        if depositor is None:
            return True
        return not isinstance(attempt(lambda: depositor.intake.closed(depositor.association_id, how)), NotKeptError)

    def ask(self, errand: Callable[[], None]) -> Future[None]:
        """Let this association's thread do something between two messages (from another thread)."""
        return self.errands.put(errand)

    def discard_unfinished(self) -> None:
        """Forget an object that is not complete (here it is only in pynetdicom's memory)."""

    def drop(self) -> None:
        """Close the connection at once; the thread ends by itself."""
        wrapped = self.dul.socket
        if wrapped and (sock := wrapped.socket):
            attempt_shutdown(sock)

    def end(self) -> None:
        """Abort (from another thread)."""
        self.abort()

    def _serve_request(self, msg: Any, context_id: int) -> None:
        """C-STORE here, the rest by pynetdicom; whoever asks for what was not negotiated is not understood (PS3.7 8.1)."""
        if isinstance(msg, C_STORE) and msg.is_valid_request and context_id in self._accepted_cx:
            self._store(msg, context_id)
        elif isinstance(msg, C_ECHO) or self._testifies(msg, context_id):
            super()._serve_request(msg, context_id)
            while self.afterwards:
                self.afterwards.pop(0)()
        elif isinstance(msg, N_EVENT_REPORT) and msg.is_valid_response:
            if msg.Status:
                LOG.warning("%s answered a storage commitment report with 0x%04X", self.caller.calling_ae, msg.Status)
        else:
            LOG.warning("%s sent a message this node does not take", self.caller.calling_ae)
            self.abort()

    def _testifies(self, msg: Any, context_id: int) -> bool:
        services, context = self.house.services, self._accepted_cx.get(context_id)
        return bool(services and context and services.takes(msg, str(context.abstract_syntax)))

    def _store(self, request: C_STORE, context_id: int) -> None:
        self.respond(request, context_id, self._stored(request, context_id))

    def respond(self, request: C_STORE, context_id: int, reply: Reply) -> None:
        """Send a C-STORE-RSP by pynetdicom."""
        response = C_STORE()
        response.MessageID = request.MessageID
        response.MessageIDBeingRespondedTo = request.MessageID
        response.AffectedSOPClassUID = request.AffectedSOPClassUID
        response.AffectedSOPInstanceUID = request.AffectedSOPInstanceUID
        response.Status = reply.status
        if reply.words:
            response.ErrorComment = reply.words  # type: ignore[assignment]  # declared as None in pynetdicom
        self.dimse.send_msg(response, context_id)

    def _stored(self, request: C_STORE, context_id: int) -> Reply:
        context = self._accepted_cx[context_id]
        assert self.depositor is not None and request.DataSet is not None
        if not is_storage(str(context.abstract_syntax)):
            reply = Reply(Status.SOP_CLASS_NOT_SUPPORTED, "not a storage presentation context")
            self.depositor.refused(reply)
            return reply
        announced = Announced(
            str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID), str(context.transfer_syntax[0])
        )
        deposit = self.depositor.begin(announced)
        deposit.write(request.DataSet.getvalue())
        return deposit.finish()


class Negotiation(ACSE):
    """Accepts or rejects."""

    assoc: Acceptor

    def _negotiate_as_acceptor(self) -> None:
        house, assoc = self.assoc.house, self.assoc
        caller = assoc.caller
        flow, verdict = house.flood.judge(caller.address), house.admission.verdict(caller)
        if flow is not Flow.FREE:
            self._reject(CONGESTION, FLOOD if flow is Flow.FIRST else "")
        elif verdict:
            self._reject(CALLED_UNKNOWN if verdict is Verdict.CALLED_AE else CALLING_UNKNOWN, verdict)
        elif why_not := house.associations.accept(assoc, (caller.calling_ae, caller.address)):
            self._reject(LIMIT_EXCEEDED, why_not)
        elif not assoc.open():
            self._reject(CONGESTION, NO_STORAGE)
        else:
            request = cast(A_ASSOCIATE, assoc.requestor.primitive)
            if outcome := house.outcomes.find(request):
                self._accept_again(outcome)
                return
            assoc.acceptor.supported_contexts = supported(
                request.presentation_context_definition_list, house.services.sop_classes if house.services else frozenset()
            )
            super()._negotiate_as_acceptor()

    def _accept_again(self, outcome: Outcome) -> None:
        """As ``super()._negotiate_as_acceptor`` did the first time."""
        assoc = self.assoc
        assoc.requestor.ae_title = outcome.request.calling_ae_title
        assoc._accepted_cx = {cast(int, context.context_id): context for context in outcome.accepted}
        assoc._rejected_cx = list(outcome.rejected)
        assoc.answer_known = outcome.answer
        self.send_accept()
        assoc.is_established = True

    def is_release_requested(self) -> bool:
        """See ``ACSE``. Asked in every round of pynetdicom's loop, between two messages."""
        self.assoc.errands.run()
        return super().is_release_requested()

    def send_release(self, is_response: bool = False) -> None:
        """See ``ACSE``."""
        if is_response and not self.assoc.finished("released"):
            self.send_abort(SERVICE_USER)  # the sender must not believe that all is well
            return
        super().send_release(is_response)

    def _reject(self, reason: tuple[int, int, int], words: str) -> None:
        """``words`` are for the administrator; none: it need not be reported."""
        self.send_reject(*reason)
        caller, proposed = self.assoc.caller, self._proposed()
        if words:
            attempt(lambda: self.assoc.house.intake.rejected(caller, words, proposed))
        self.assoc.kill()

    def _proposed(self) -> tuple[str, ...]:
        """What the caller wanted to send: its abstract syntaxes, each once, without what is no UID."""
        request = cast(A_ASSOCIATE, self.assoc.requestor.primitive)
        found = (usable_uid(str(context.abstract_syntax or "")) for context in request.presentation_context_definition_list)
        return tuple(dict.fromkeys(uid for uid in found if uid))


def attempt_shutdown(sock: socket.socket) -> None:
    """Wake whoever reads from it; a socket that is closed already is what we want."""
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # that of SSLSocket pulls the TLS from under the reader's feet
    except OSError:
        return


def quiet_library() -> None:
    """pynetdicom and pydicom quote what they read in logs and warnings: nothing of that belongs there (it may name patients)."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"pydicom\.")
    _config.LOG_HANDLER_LEVEL = "none"
