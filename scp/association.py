"""One association as its acceptor: pynetdicom's, with our rules for who may send and one path for whatever is stored.

``intake.opened`` is called before the association is accepted and ``intake.closed`` exactly once after it, however it ends.
"""

import logging
import socket
from typing import Any, Final, cast

from pynetdicom import _config, evt
from pynetdicom.acse import ACSE
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO, C_STORE
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.transport import AssociationSocket

from domain.instances import Caller
from scp.admission import Verdict
from scp.boundary import attempt
from scp.deposit import Announced, Depositor
from scp.house import House
from scp.negotiation import VERIFICATION, supported
from scp.reactor import BoundedSocket, GuardedReactor
from scp.statuses import Reply, Status

LOG: Final = logging.getLogger(__name__)
CALLING_UNKNOWN, CALLED_UNKNOWN = (1, 1, 3), (1, 1, 7)  # result, source, reason (PS3.8 9.3.4)
CONGESTION, LIMIT_EXCEEDED = (2, 3, 1), (2, 3, 2)
NO_PLACE: Final = "too many associations at the same time"
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
        self.depositor: Depositor | None = None
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
            super().run_reactor()
        finally:
            self._over()

    def _over(self) -> None:
        self.drop()
        self.finished("lost" if self.lost else "aborted")

    def finished(self, how: str) -> None:
        """No more objects will come; the first call counts. Before the release is answered: then the sender may rely on it."""
        self.discard_unfinished()
        self.house.associations.gone(self)
        depositor, self.depositor = self.depositor, None
        if depositor:
            attempt(lambda: depositor.intake.closed(depositor.association_id, how))

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
        """C-STORE here, C-ECHO by pynetdicom; whoever asks for what was not negotiated is not understood (PS3.7 8.1)."""
        if isinstance(msg, C_STORE) and msg.is_valid_request and context_id in self._accepted_cx:
            self._store(msg, context_id)
        elif isinstance(msg, C_ECHO):
            super()._serve_request(msg, context_id)
        else:
            LOG.warning("%s sent a message this node does not take", self.caller.calling_ae)
            self.abort()

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
        if context.abstract_syntax == VERIFICATION:
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
        verdict = house.admission.verdict(assoc.caller)
        if verdict:
            self._reject(CALLED_UNKNOWN if verdict is Verdict.CALLED_AE else CALLING_UNKNOWN, verdict)
        elif not house.associations.accept(assoc):
            self._reject(LIMIT_EXCEEDED, NO_PLACE)
        elif not assoc.open():
            self._reject(CONGESTION, NO_STORAGE)
        else:
            request = cast(A_ASSOCIATE, assoc.requestor.primitive)
            assoc.acceptor.supported_contexts = supported(request.presentation_context_definition_list)
            super()._negotiate_as_acceptor()

    def send_release(self, is_response: bool = False) -> None:
        """See ``ACSE``."""
        if is_response:
            self.assoc.finished("released")
        super().send_release(is_response)

    def _reject(self, reason: tuple[int, int, int], words: str) -> None:
        self.send_reject(*reason)
        caller = self.assoc.caller
        attempt(lambda: self.assoc.house.intake.rejected(caller, words))
        self.assoc.kill()


def attempt_shutdown(sock: socket.socket) -> None:
    """Wake whoever reads from it; a socket that is closed already is what we want."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def quiet_library() -> None:
    """pynetdicom logs what it receives and quotes it in errors: nothing of that belongs into a log (it may name patients)."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    _config.LOG_HANDLER_LEVEL = "none"
