"""Bytes into an association of the fast path and out again, in the calling thread: what a fuzzer needs.

The association is made as the listening socket makes it and reads a real TCP connection, of which the other end has been
written and closed before. So it never waits for anybody, and whatever it raises is raised here.
"""

import logging
import socket
import threading
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

from domain.evidence import Commitment, Evidence
from domain.instances import Caller, Header, Receipt
from scp.association import quiet_library
from scp.receiver import Receiver
from scp.server import Server, _Handler
from scp.settings import Peer, ReceiverSettings


class Tally:
    """An intake that keeps nothing and checks the contract: every association closed once, every writer ended once."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.open: set[str] = set()
        self.writers = 0

    def opened(self, caller: Caller) -> str:
        self.calls["opened"] += 1
        self.open.add(name := f"association-{self.calls['opened']}")
        return name

    def writer(self, association_id: str, caller: Caller, header: Header, meta: bytes) -> "TallyWriter":
        assert association_id in self.open
        assert all((header.sop_class_uid, header.sop_instance_uid, header.study_uid, header.series_uid))
        self.writers += 1
        return TallyWriter(self)

    def closed(self, association_id: str, how: str) -> None:
        self.calls[how] += 1
        self.open.remove(association_id)

    def refused(self, caller: Caller, association_id: str, status: int, words: str) -> None:
        self.calls[f"refused {status:04X}"] += 1
        assert words.isascii() and len(words) <= 64

    def rejected(self, caller: Caller, words: str, proposed: Sequence[str] = ()) -> None:
        self.calls["rejected"] += 1


class TallyWriter:
    """One object."""

    def __init__(self, tally: Tally) -> None:
        self._tally, self._ended = tally, False

    def write(self, fragment: bytes | memoryview) -> None:
        assert not self._ended

    def commit(self, last: Sequence[bytes | memoryview] = ()) -> Receipt:
        for fragment in last:
            self.write(fragment)
        self._end("stored")
        return Receipt.STORED

    def discard(self) -> None:
        self._end("discarded")

    def _end(self, how: str) -> None:
        assert not self._ended
        self._ended = True
        self._tally.writers -= 1
        self._tally.calls[how] += 1


class Hearing:
    """A witness that believes everything."""

    def step_created(self, caller: Caller, evidence: Evidence) -> bool:
        return True

    def step_set(self, caller: Caller, evidence: Evidence) -> str:
        return ""

    def testify(self, caller: Caller, evidence: Evidence) -> None:
        return

    def commit(self, caller: Caller, evidence: Evidence) -> Commitment:
        return Commitment(evidence.subject, evidence.members, ())

    def owed(self) -> Sequence[tuple[Caller, Commitment]]:
        return ()

    def reported(self, caller: Caller, transaction_uid: str) -> None:
        return


class Complaints(logging.Handler):
    """What the receiver logs as a fault of its own."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []
        logging.getLogger("scp").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Feeder:
    """Runs one association after the other. To be closed."""

    def __init__(self, **settings: object) -> None:
        quiet_library()
        self.intake = Tally()
        given = {"peers": (Peer("CT01"),), "idle_seconds": 5.0, "request_seconds": 2.0} | settings
        receiver = Receiver(ReceiverSettings("ANCILLA", **given), self.intake, Hearing())  # type: ignore[arg-type]
        receiver.start()
        self._receiver = receiver
        self.house = receiver._house
        (listening, thread) = receiver._listeners[0]
        self._entity = listening.ae
        receiver._end_listening()
        self._server = Server(self._entity, self.house, 0)
        assert not thread.is_alive()

    def close(self) -> None:
        self._server.server_close()
        assert self._receiver._house.services is not None
        self._receiver._house.services.reports.stop()

    def feed(self, stream: bytes) -> bytes:
        """The answer to ``stream`` after which the sender closes its direction. Raises whatever the receiver raises."""
        client = socket.create_connection(("127.0.0.1", self._server.server_address[1]), timeout=30)
        try:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            connection, address = self._server.get_request()
            writer = threading.Thread(target=_write, args=(client, stream)) if len(stream) > 100_000 else None
            writer.start() if writer else _write(client, stream)
            self._run(connection, address)
            connection.close()
            if writer:
                writer.join(30)
            return _read(client)
        finally:
            client.close()

    def _run(self, connection: socket.socket, address: tuple[str, int]) -> None:
        handler = object.__new__(_Handler)
        handler.request, handler.client_address = connection, address
        handler.server = cast(
            Server, SimpleNamespace(house=self.house, ae=self._entity, shutdown_request=_shut, **self._places())
        )
        association = handler._create_association()
        association.run_reactor()

    def _places(self) -> dict[str, object]:
        return {"server_address": self._server.server_address, "socket": self._server.socket}


def _shut(connection: socket.socket) -> None:
    connection.close()


def _write(client: socket.socket, stream: bytes) -> None:
    try:
        client.sendall(stream)
        client.shutdown(socket.SHUT_WR)
    except OSError:
        return


def _read(client: socket.socket) -> bytes:
    answer = bytearray()
    try:
        while piece := client.recv(1 << 16):
            answer += piece
    except ConnectionResetError:
        pass
    return bytes(answer)
