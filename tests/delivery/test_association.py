"""Peers that misbehave: whatever they do, the answer is a TransientError within the timeout, never a hang."""

import contextlib
import io
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import encode
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext

from delivery.association import Association, Kind
from domain.destinations import Destination
from domain.errors import TransientError

CT = Kind("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
Play = Callable[[socket.socket], None]


@contextlib.contextmanager
def acceptor(play: Play, maximum: int = 16384, accept: bool = True) -> Iterator[Destination]:
    """A peer that accepts one association by the book and then does what ``play`` says."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            if accept:
                connection.sendall(acceptance(pdu(connection), maximum))
            play(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Destination("pacs", "dicom", "127.0.0.1", server.getsockname()[1], "PEER", "ANCILLA", timeout_seconds=0.5)
    finally:
        server.close()
        thread.join(10)


def pdu(connection: socket.socket) -> bytes:
    """The next PDU, whole."""
    header = connection.recv(6, socket.MSG_WAITALL)
    return header + connection.recv(int.from_bytes(header[2:], "big"), socket.MSG_WAITALL)


def acceptance(request: bytes, maximum: int) -> bytes:
    asked = A_ASSOCIATE_RQ()
    asked.decode(request)
    primitive: A_ASSOCIATE = asked.to_primitive()
    results = []
    for context in primitive.presentation_context_definition_list:
        result = PresentationContext()
        result.context_id = context.context_id
        result.abstract_syntax = context.abstract_syntax
        result.transfer_syntax = [context.transfer_syntax[0]]
        result.result = 0
        results.append(result)
    primitive.presentation_context_definition_results_list = results
    primitive.maximum_length_received = maximum
    primitive.result, primitive.result_source = 0, 1
    return bytes(A_ASSOCIATE_AC(primitive).encode())


def message(connection: socket.socket) -> tuple[bytes, bytes, list[int]]:
    """One C-STORE request: command, data set, and the lengths of the PDUs they came in."""
    command, data_set, lengths = b"", b"", []
    while True:
        received = pdu(connection)
        lengths.append(len(received) - 6)
        control, piece = received[11], received[12:]
        if control & 1:
            command += piece
        else:
            data_set += piece
        if control == 2:
            return command, data_set, lengths


def response(message_id: int = 1, field: int = 0x8001, status: int = 0, comment: str = "") -> bytes:
    ds = Dataset()
    ds.AffectedSOPClassUID = UID(CT.sop_class_uid)
    ds.CommandField = field
    ds.MessageIDBeingRespondedTo = message_id
    ds.CommandDataSetType = 0x0101
    ds.Status = status
    if comment:
        ds.ErrorComment = comment
    body = encode(ds, True, True)
    assert body is not None
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def pdv(piece: bytes, control: int = 3) -> bytes:
    return struct.pack(">LBB", len(piece) + 2, 1, control) + piece


def data(*pdvs: bytes) -> bytes:
    return struct.pack(">BBL", 4, 0, sum(map(len, pdvs))) + b"".join(pdvs)


def store(destination: Destination, data_set: bytes = b"\x08\x00\x05\x00CS\x00\x00") -> tuple[int, str]:
    with Association(destination, [CT]) as association:
        answer = association.store(CT, "1.2.3", io.BytesIO(data_set), len(data_set))
    return answer.status, answer.comment


def test_a_response_in_many_pieces_is_put_together() -> None:
    def play(connection: socket.socket) -> None:
        message(connection)
        whole = response(status=0xB000, comment="coerced")
        connection.sendall(data(pdv(whole[:7], 1), pdv(whole[7:30], 1)) + data(pdv(whole[30:])))
        assert pdu(connection)[0] == 5
        connection.sendall(struct.pack(">BBLL", 6, 0, 4, 0))

    with acceptor(play) as peer:
        assert store(peer) == (0xB000, "coerced")


@pytest.mark.parametrize("maximum", [7, 64, 4096, 0])
def test_no_pdu_is_longer_than_the_peer_allows_and_nothing_is_lost(maximum: int) -> None:
    seen: list[tuple[bytes, bytes, list[int]]] = []

    def play(connection: socket.socket) -> None:
        seen.append(message(connection))
        connection.sendall(data(pdv(response())))

    content = bytes(range(256)) * 3
    with acceptor(play, maximum) as peer:
        assert store(peer, content)[0] == 0
    command, data_set, lengths = seen[0]
    assert data_set == content
    assert struct.unpack("<HHLL", command[:12])[3] == len(command) - 12
    assert max(lengths) <= (maximum or len(content) + 6)


def test_an_empty_data_set_is_still_a_message_with_an_end() -> None:
    def play(connection: socket.socket) -> None:
        assert message(connection)[1] == b""
        connection.sendall(data(pdv(response())))

    with acceptor(play) as peer:
        assert store(peer, b"")[0] == 0


def after_the_object(answer: bytes) -> Play:
    def play(connection: socket.socket) -> None:
        message(connection)
        connection.sendall(answer)
        connection.recv(1 << 16)  # until the other side ends it

    return play


@pytest.mark.filterwarnings("ignore:.*:UserWarning:pydicom")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "did not answer within 0.5 seconds"),
        (data(pdv(response(message_id=9))), "answered something that was not asked"),
        (data(pdv(response(field=0x8030))), "answered something that was not asked"),
        (data(pdv(b"\xff" * 40)), "cannot be read"),
        (data(pdv(b"")), "cannot be read"),
        (data(struct.pack(">LBB", 500, 1, 3)), "cannot be read"),
        (data(struct.pack(">LBB", 1, 1, 3)), "cannot be read"),
        (data(b"\x00"), "cannot be read"),
        (struct.pack(">BBL", 4, 0, 1 << 31), "announced an answer of 2147483648 bytes"),
        (struct.pack(">BBLL", 7, 0, 4, 0), "aborted the association"),
        (struct.pack(">BBLL", 5, 0, 4, 0), "wants to end the association"),
        (struct.pack(">BBLL", 99, 0, 4, 0), "unexpected PDU of type 0x63"),
    ],
)
def test_a_nonsense_answer_is_an_error_that_says_so(answer: bytes, words: str) -> None:
    with acceptor(after_the_object(answer)) as peer, pytest.raises(TransientError, match=words):
        store(peer)


def test_a_peer_that_never_comes_to_the_end_of_its_response_is_left() -> None:
    def play(connection: socket.socket) -> None:
        message(connection)
        while True:
            connection.sendall(data(pdv(b"endless", 0)))
            threading.Event().wait(0.01)

    started = time.monotonic()
    with acceptor(play) as peer, pytest.raises(TransientError, match="did not answer within"):
        store(peer)
    assert time.monotonic() - started < 5


def test_a_peer_that_closes_in_the_middle_is_an_error() -> None:
    with acceptor(lambda connection: None) as peer, pytest.raises(TransientError, match=r"closed|broke"):
        store(peer, b"\x00" * 10_000_000)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "closed the connection without an answer"),
        (struct.pack(">BBLBBBB", 3, 0, 4, 0, 1, 1, 3), "rejected the association: calling AE title not recognised"),
        (struct.pack(">BBLBBBB", 3, 0, 4, 0, 9, 9, 9), "rejected the association: source 9, reason 9"),
        (struct.pack(">BBL", 2, 0, 3) + b"abc", "cannot be read"),
    ],
)
def test_an_association_that_is_not_accepted_says_why(answer: bytes, words: str) -> None:
    def play(connection: socket.socket) -> None:
        pdu(connection)
        connection.sendall(answer)

    with acceptor(play, accept=False) as peer, pytest.raises(TransientError, match=words):
        store(peer)


def test_both_sides_releasing_at_once_end_well() -> None:
    def play(connection: socket.socket) -> None:
        message(connection)
        connection.sendall(data(pdv(response())) + struct.pack(">BBLL", 5, 0, 4, 0))
        assert pdu(connection)[0] == 5
        assert pdu(connection)[0] == 6
        connection.sendall(struct.pack(">BBLL", 6, 0, 4, 0))

    with acceptor(play) as peer:
        assert store(peer)[0] == 0


def test_a_peer_that_does_not_answer_the_release_changes_no_result() -> None:
    with acceptor(after_the_object(data(pdv(response(status=0xA700))))) as peer:
        assert store(peer)[0] == 0xA700
