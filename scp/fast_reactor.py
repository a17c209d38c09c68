"""Reads an association without a thread, queues or sleeps of its own: the association's thread asks for one turn after the other.

Bytes are received into one buffer that is used again and again. In state Sta6 the items of P-DATA-TF PDUs are parsed where
they lie, and data of a C-STORE goes on as views of that buffer, in whatever pieces it arrives: nothing is assembled, nothing
waits for a whole PDU, an image that fits is written with one call, and what is not read yet stays with the sender (TCP holds it
back). Every other PDU is collected and
handed to pynetdicom, whose state machine (PS3.8 9.2) stays in charge of everything but data.
"""

import mmap
import select
import socket
import ssl
import struct
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from pynetdicom.transport import AssociationSocket

from scp.messages import BreachError, Messages
from scp.progress import Progress
from scp.reactor import LINGER_SECONDS, MALFORMED, NEGOTIATION_LIMIT, GuardedReactor, acknowledge
from scp.tls import say_goodbye

if TYPE_CHECKING:
    from scp.fast_association import FastAcceptor

BUFFER_SIZE: Final = 1 << 20
READS: Final = 64  # in one turn
LEAST_ROOM: Final = 1 << 16  # with less the buffer is begun again
BLOCKED: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
P_DATA_TF: Final = 4
DATA_TRANSFER, OVER = "Sta6", "Sta13"


class Buffers:
    """Receive buffers that ended associations left: a new one costs page faults."""

    def __init__(self, most: int = 8) -> None:
        self._free: deque[memoryview] = deque(maxlen=most)

    def take(self) -> memoryview:
        """A buffer of ``BUFFER_SIZE``, with anything in it."""
        try:
            return self._free.pop()
        except IndexError:
            return memoryview(mmap.mmap(-1, BUFFER_SIZE))  # takes memory only as far as it is used

    def give_back(self, buffer: memoryview) -> None:
        """It is not used any more."""
        self._free.append(buffer)


BUFFERS: Final = Buffers()


class FastReactor(GuardedReactor):
    """Stands in for pynetdicom's reactor thread; never started as a thread."""

    def __init__(self, assoc: "FastAcceptor") -> None:
        super().__init__(assoc)
        self.messages = Messages(assoc)
        self._items = Items(self.messages, assoc.house.settings.max_pdu)
        self._buffer = BUFFERS.take()
        self._start = self._end = 0  # of what is in the buffer and not parsed
        self._collected = bytearray()  # of a PDU that is not data
        self._linger_until = 0.0
        self._waited = False  # in this turn
        settings = assoc.house.settings
        self.progress = Progress(settings.min_bytes_per_second, settings.idle_seconds)
        self._poll: select.poll | None = None
        self._wake_up, self._woken = socket.socketpair()
        self._wake_up.setblocking(False)

    # What pynetdicom's association asks of the thread it believes to have.

    def start(self) -> None:
        """Nothing is started: the first turn comes with the wait for the request."""
        self._idle_timer.start()
        self.assoc._dul_ready.set()

    def is_alive(self) -> bool:
        """Whether the connection is not over."""
        return not self._kill_thread

    def stop_dul(self) -> bool:
        """See the connection to its end: send what is to be sent, wait a moment for the peer to close."""
        deadline = time.monotonic() + LINGER_SECONDS
        while self.is_alive() and (left := deadline - time.monotonic()) > 0:
            self.turn(left)
        self._kill_thread = True
        return True

    def close(self) -> None:
        """Give up the descriptors that only this class has."""
        self._wake_up.close()
        self._woken.close()
        BUFFERS.give_back(self._buffer)

    def receive_pdu(self, wait: bool = False, timeout: float | None = None) -> Any:
        """The next primitive for the user, or None."""
        deadline = time.monotonic() + (timeout or 0.0)
        while wait and self.to_user_queue.empty() and self.is_alive() and (left := deadline - time.monotonic()) > 0:
            self.turn(left)
        return super().receive_pdu(wait=False)

    def send_pdu(self, primitive: Any) -> None:
        """Queue a primitive; a storage commitment report or an abort may come from another thread."""
        super().send_pdu(primitive)
        if threading.current_thread() is not self.assoc:
            self.wake()

    def wake(self) -> None:
        """End the wait of the association's thread (from another one)."""
        try:
            self._wake_up.send(b"!")
        except OSError:  # the association just ended, or has been woken often enough
            return

    # One turn.

    def turn(self, seconds: float) -> None:
        """Send what waits, else make something of what was received, else wait for news up to ``seconds``."""
        events = self.event_queue.queue  # to look at without its lock: only this thread puts and takes
        if self.artim_timer.expired:
            self.event_queue.put("Evt18")
        if not events and not (self.to_provider_queue.queue and self._send_next()):
            if self.state_machine.current_state == OVER:
                self._drain(seconds)
            elif not self._parse():
                self._read(seconds)
        while events and self.is_alive():
            self.state_machine.do_action(self.event_queue.get())

    def _read(self, seconds: float) -> None:
        """Receive and parse what is there, else wait for news up to ``seconds``; timers and others get their turn soon."""
        events, to_send = self.event_queue.queue, self.to_provider_queue.queue
        self._waited = False
        for _ in range(READS):
            if not self._fill(seconds) or not self._parse() or self._waited or events or to_send or self.messages.pending:
                return

    def _send_next(self) -> bool:
        if self.state_machine.current_state != OVER:
            return self._process_recv_primitive()
        self.to_provider_queue.queue.clear()  # an answer to somebody who is gone
        return False

    def _parse(self) -> bool:
        """Parse as far as the bytes reach or until there is something to be done first; whether anything was parsed."""
        before, events = self._start, self.event_queue.queue
        try:
            while self._start < self._end and not events and not self.messages.pending:
                used = self._step(self._buffer[self._start : self._end])
                if not used:
                    break
                self._start += used
        except BreachError:
            self.event_queue.put("Evt19")
        return self._start != before or bool(events)

    def _step(self, view: memoryview) -> int:
        """Bytes used of ``view``; 0 when it takes more of them."""
        if self._items.left:
            used = self._items.take(view)
            if not self._items.left:
                self._idle_timer.restart()
            return used
        if self._collected or view[0] != P_DATA_TF or self.state_machine.current_state != DATA_TRANSFER:
            return self._collect(view)
        if len(view) < 6:
            return 0
        self._items.begin(struct.unpack_from(">L", view, 2)[0])
        return 6

    def _collect(self, view: memoryview) -> int:
        """Take bytes of a PDU that goes to pynetdicom as a whole."""
        size = 6
        if len(self._collected) >= 6:
            size += struct.unpack_from(">L", self._collected, 2)[0]
        if size > NEGOTIATION_LIMIT or (self._collected and not 1 <= self._collected[0] <= 7):
            raise BreachError("not a PDU")
        used = min(len(view), size - len(self._collected))
        self._collected += view[:used]
        if len(self._collected) >= 6 and len(self._collected) == 6 + struct.unpack_from(">L", self._collected, 2)[0]:
            pdu, self._collected = self._collected, bytearray()
            self._hand_over(pdu)
        return used

    def _hand_over(self, data: bytearray) -> None:
        self.messages.discard()  # release and abort come between fragments too
        self._idle_timer.restart()
        try:
            pdu, event = self._decode_pdu(data)
        except MALFORMED:
            raise BreachError("a PDU that cannot be decoded") from None
        self._recv_pdu.put(pdu)
        self.event_queue.put(event)

    def _fill(self, seconds: float) -> int:
        """Receive; how many bytes. The end of the connection becomes event 17."""
        wrapped = self.socket
        if wrapped is None or wrapped.socket is None:
            return 0
        self._make_room()
        try:
            count = self._receive(wrapped.socket, seconds)
        except BLOCKED:
            return 0
        except OSError:
            count = 0
        if not count:
            self.messages.discard()
            self.event_queue.put("Evt17")
            return 0
        self._end += count
        if not self.progress.received(count):
            self.messages.discard()
            self.event_queue.put("Evt19")  # an A-ABORT
        return count

    def _make_room(self) -> None:
        """What is left unparsed here is less than a header, else it would have been parsed."""
        rest = self._end - self._start
        if self.messages.holds and BUFFER_SIZE - self._end >= LEAST_ROOM:
            return
        self.messages.settle()
        if rest:
            self._buffer[:rest] = bytes(self._buffer[self._start : self._end])
        self._start, self._end = 0, rest

    def _receive(self, sock: socket.socket, seconds: float) -> int:
        free = self._buffer[self._end :]
        try:
            return sock.recv_into(free)
        except BLOCKED:
            acknowledge(sock)
            self._waited = True
            self._wait(sock, seconds)
            return sock.recv_into(free)

    def _wait(self, sock: socket.socket, seconds: float) -> None:
        """Until there is something to receive, another thread has something to send, or the time is over."""
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(sock, select.POLLIN)
            self._poll.register(self._woken, select.POLLIN)
        ready = self._poll.poll(max(1.0, seconds * 1000))
        if any(descriptor == self._woken.fileno() for descriptor, _ in ready):
            self._woken.recv(4096)

    def _drain(self, seconds: float) -> None:
        """The association is over: what still comes is thrown away until the peer closes, but not for long.

        Closing at once would reset the connection over unread bytes, and the peer might never read our last PDU.
        """
        wrapped = self.socket
        sock = wrapped.socket if wrapped else None
        if wrapped is None or sock is None:
            self.event_queue.put("Evt17")
            return
        if not self._linger_until:
            self._linger_until = time.monotonic() + LINGER_SECONDS
            _end_output(sock)
        left = min(seconds, self._linger_until - time.monotonic())
        self._start = self._end = 0
        try:
            if left > 0 and self._receive(sock, left):
                return
        except BLOCKED:
            return
        except OSError:
            pass
        wrapped.close()  # becomes event 17


class Items:
    """The items (PDVs) of the P-DATA-TF PDU that is being received."""

    def __init__(self, messages: Messages, limit: int) -> None:
        self.left = 0  # bytes of the PDU still to come
        self._messages, self._limit = messages, limit
        self._item_left = -1  # bytes of the item still to come; -1: between items
        self._context = self._control = 0

    def begin(self, length: int) -> None:
        """A PDU of so many bytes begins. Raises BreachError when that is more than we announced."""
        if length > self._limit:
            raise BreachError("a PDU longer than allowed")
        self.left = length

    def take(self, view: memoryview) -> int:
        """Parse; how many bytes were used. Raises BreachError."""
        at, end = 0, len(view)
        while self.left and not self._messages.pending:
            if self._item_left < 0:
                if self.left < 6:
                    raise BreachError("an item longer than its PDU")
                if end - at < 6:
                    break
                self._open(view, at)
                at += 6
            size = min(self._item_left, end - at)
            if not size and self._item_left:
                break
            self.left -= size
            self._item_left -= size
            complete = not self._item_left
            if complete:
                self._item_left = -1
            self._messages.fragment(self._context, self._control, view[at : at + size], complete)
            at += size
        return at

    def _open(self, view: memoryview, at: int) -> None:
        length, self._context, self._control = struct.unpack_from(">LBB", view, at)
        if not 2 <= length <= self.left - 4:
            raise BreachError("an item longer than its PDU")
        self.left -= 6
        self._item_left = length - 2


class FastSocket(AssociationSocket):
    """Not blocking; sending waits within limits."""

    def __init__(self, assoc: "FastAcceptor", client_socket: socket.socket) -> None:
        super().__init__(assoc, client_socket=client_socket)
        self._seconds = assoc.house.settings.idle_seconds
        self._progress = assoc.dul.progress
        client_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client_socket.setblocking(False)

    def send(self, bytestream: bytes) -> None:
        """Send all of it; a connection that does not take it becomes event 17."""
        self._progress.answered()
        deadline = time.monotonic() + self._seconds
        done = 0
        while self.socket is not None and done < len(bytestream):
            try:
                done += self.socket.send(bytestream[done:])
            except BLOCKED:
                if not _writable(self.socket, deadline - time.monotonic()):
                    self.event_queue.put("Evt17")
                    return
            except OSError:
                self.event_queue.put("Evt17")
                return


def _writable(sock: socket.socket, seconds: float) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return bool(poll.poll(max(0.0, seconds * 1000)))


def _end_output(sock: socket.socket) -> None:
    say_goodbye(sock)
    try:
        socket.socket.shutdown(sock, socket.SHUT_WR)
    except OSError:
        return
