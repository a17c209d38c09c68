"""pynetdicom's reading thread made safe against senders that stop, lie about lengths or send what cannot be decoded."""

import socket
import struct
import time
from typing import TYPE_CHECKING, Any, Final, cast

from pydicom.errors import BytesLengthException, InvalidDicomError
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import InvalidEventError, StateMachine
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.transport import AssociationSocket

from scp.outcomes import Outcome
from scp.progress import Progress
from scp.requests import Requests

if TYPE_CHECKING:
    from scp.association import Acceptor

MALFORMED: Final = (  # what pynetdicom and pydicom raise for bytes that are not what they should be
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    RecursionError,
    EOFError,
    struct.error,
    NotImplementedError,
    InvalidEventError,
    BytesLengthException,
    InvalidDicomError,
)
NEGOTIATION_LIMIT: Final = 1 << 20  # bytes of any PDU but P-DATA-TF; 128 contexts with 60 transfer syntaxes need half of it
LINGER_SECONDS: Final = 1.0
ASSOCIATE_RQ: Final = 1  # a PDU type (PS3.8 9.3.1)
_REQUESTS: Final = Requests()
QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)


class GuardedReactor(DULServiceProvider):
    """The stock reactor with checks around it."""

    assoc: "Acceptor"

    def __init__(self, assoc: "Acceptor") -> None:
        super().__init__(assoc)
        self.state_machine = Machine(self)
        self.daemon = True

    def _decode_pdu(self, bytestream: bytearray) -> tuple[Any, str]:
        """What decodes must also convert: the state machine would end its thread, and answer nothing, when it does not."""
        decode = super()._decode_pdu
        if bytestream[0] != ASSOCIATE_RQ:
            return decode(bytestream)
        return _REQUESTS.decoded(bytes(bytestream), lambda: cast(A_ASSOCIATE_RQ, decode(bytestream)[0])), "Evt6"

    def _send(self, pdu: Any) -> None:
        """See ``DULServiceProvider``; an acceptance is remembered."""
        if isinstance(pdu, A_ASSOCIATE_AC) and self.socket is not None:
            answer, assoc = bytes(pdu.encode()), self.assoc
            request = cast(A_ASSOCIATE, assoc.requestor.primitive)
            accepted, rejected = tuple(assoc.accepted_contexts), tuple(assoc.rejected_contexts)
            assoc.house.outcomes.keep(Outcome(request, accepted, rejected, answer))
        super()._send(pdu)


class Machine(StateMachine):
    """Notes how the association ended and wakes whoever waits for a request that will not come."""

    dul: GuardedReactor

    def do_action(self, event: str) -> None:
        """See ``StateMachine.do_action``; an event that cannot happen ends the association, not the thread."""
        if (event, self.current_state) == ("Evt7", "Sta3") and self.dul.assoc.answer_known and self.dul.socket:
            self.dul.to_provider_queue.get(False)
            self.dul.socket.send(self.dul.assoc.answer_known)  # AE-7, with the PDU encoded already
            self.current_state = "Sta6"
            return
        if event == "Evt17" and self.current_state not in ("Sta2", "Sta13"):
            self.dul.assoc.lost = True
        try:
            super().do_action(event)
        except MALFORMED:
            self.dul.kill_dul()
        if self.dul._kill_thread:
            self.dul.to_user_queue.put(None)  # receive_pdu gives it on as "nothing came"


class BoundedSocket(AssociationSocket):
    """A socket that waits and allocates only within limits. An excess reads as a broken connection."""

    def __init__(self, assoc: "Acceptor", client_socket: socket.socket) -> None:
        super().__init__(assoc, client_socket=client_socket)
        settings = assoc.house.settings
        client_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._limit = max(settings.max_pdu, NEGOTIATION_LIMIT)
        self._idle_seconds, self._request_seconds = settings.idle_seconds, settings.request_seconds
        self._progress = Progress(settings.min_bytes_per_second, settings.idle_seconds)

    def recv(self, nr_bytes: int) -> bytearray:
        """Exactly so many bytes, fewer at the end of the connection. Raises OSError for too many or too late ones."""
        if nr_bytes > self._limit:
            raise OSError(f"a PDU of {nr_bytes} bytes")
        return self._read(bytearray(nr_bytes), time.monotonic() + self._patience())

    def send(self, bytestream: bytes) -> None:
        """See ``AssociationSocket``."""
        self._progress.answered()
        super().send(bytestream)

    def _patience(self) -> float:
        """Seconds to wait for what was begun."""
        state = self.assoc.dul.state_machine.current_state
        if state == "Sta13":  # the association is over, the peer should only close
            return LINGER_SECONDS
        return self._idle_seconds if state == "Sta6" else self._request_seconds

    def _read(self, data: bytearray, deadline: float) -> bytearray:
        assert self.socket is not None
        with memoryview(data) as view:
            done = 0
            while done < len(data):
                self.socket.settimeout(max(0.001, deadline - time.monotonic()))
                count = self.socket.recv_into(view[done:])
                if not count:
                    break
                if not self._progress.received(count):
                    raise OSError("a sender that hardly sends")
                acknowledge(self.socket)
                done += count
        del data[done:]
        return data


def acknowledge(sock: socket.socket) -> None:
    """Acknowledge at once: a sender with Nagle's algorithm on would wait 40 ms for it. To be repeated after each read."""
    if QUICKACK is not None:
        sock.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)
