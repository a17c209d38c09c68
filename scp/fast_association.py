"""An association in one thread that reads, stores and answers; see ``fast_reactor`` for how."""

import socket
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.transport import AssociationSocket

from scp.association import Acceptor
from scp.command_set import StoreRequest, store_response
from scp.fast_reactor import FastReactor, FastSocket
from scp.negotiation import is_storage
from scp.statuses import Reply

NO_LIMIT: Final = 1 << 32


class FastAcceptor(Acceptor):
    """Gives the same answers as ``Acceptor`` and makes the same calls of the intake, sooner."""

    dul: FastReactor

    def make_reactor(self) -> FastReactor:
        """What reads the connection, in this thread."""
        return FastReactor(self)

    def wrap(self, connection: socket.socket) -> AssociationSocket:
        """The connection as the reactor wants it."""
        return FastSocket(self, connection)

    def storage_syntax(self, context_id: int) -> str | None:
        """The transfer syntax of an accepted storage context."""
        context = self._accepted_cx.get(context_id)
        if context is None or not is_storage(str(context.abstract_syntax)):
            return None
        return str(context.transfer_syntax[0])

    def answer(self, context_id: int, request: StoreRequest, reply: Reply) -> None:
        """Send the C-STORE-RSP with one call; in pieces by pynetdicom to a peer that takes only tiny PDUs."""
        pdu = store_response(context_id, request, reply)
        if len(pdu) - 6 > (self.requestor.maximum_length or NO_LIMIT):
            self._answer_in_pieces(context_id, request, reply)
        elif self.dul.socket:
            self.dul.socket.send(pdu)
        self.dul._idle_timer.restart()

    def _answer_in_pieces(self, context_id: int, request: StoreRequest, reply: Reply) -> None:
        original = C_STORE()
        original.MessageID = request.message_id
        original.AffectedSOPClassUID, original.AffectedSOPInstanceUID = request.sop_class_uid, request.sop_instance_uid
        self.respond(original, context_id, reply)

    def _run_reactor(self) -> None:
        self._is_paused = True  # another thread may send whenever no message is being served
        while not self._kill and not self._sent_abort and self.dul.is_alive():
            self.dul.turn(max(0.0, self.dul._idle_timer.remaining))
            self._attend()
        self.kill()

    def _attend(self) -> None:
        if self.dul.messages.pending:
            self._serve_next()
        if self.is_established:
            self.errands.run()
        if self.dul.to_user_queue.queue:
            self._hear_acse()
        elif self.dul.idle_timer_expired():
            self.abort()

    def _serve_next(self) -> None:
        if self._reactor_checkpoint.is_set():  # else another thread waits for this message: the response to its request
            context_id, message = self.dimse.get_msg()
            if message:
                self._serve_request(message, context_id or 0)
            self._is_paused = True
        self.dul.messages.pending = self._reactor_checkpoint.is_set() and not self.dimse.msg_queue.empty()

    def _hear_acse(self) -> None:
        if self.is_established and self.acse.is_release_requested():
            self.acse.send_release(is_response=True)
            self.is_released, self.is_established = True, False
            self.kill()
        elif self.acse.is_aborted() or not self.dul.is_alive():
            self.is_aborted, self.is_established = True, False
            self.kill()

    def _abort_blocking(self, block: bool = True) -> None:  # noqa: ARG002 - pynetdicom's signature
        """Queue an A-ABORT; this thread sends it in its next turn and ends."""
        if self._sent_abort or self.is_released:
            return
        self._sent_abort = True
        self._reactor_checkpoint.set()
        self.acse.send_abort(0x00)

    def ask(self, errand: Callable[[], None]) -> Future[None]:
        """See ``Acceptor``."""
        future = self.errands.put(errand)
        self.dul.wake()
        return future

    def discard_unfinished(self) -> None:
        """See ``Acceptor``."""
        self.dul.messages.discard()

    def run_reactor(self) -> None:
        """The thread."""
        try:
            super().run_reactor()
        finally:
            self.dul.close()
