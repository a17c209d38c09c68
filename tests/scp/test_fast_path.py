"""What only the fast path promises: little memory, the sender held back, any damage survived; and its command sets."""

import contextlib
import os
import random
import socket
import threading
import time
import tracemalloc
from collections.abc import Sequence
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode

from domain.instances import Caller, Header, Receipt
from scp.command_set import StoreRequest, store_request, store_response
from scp.receiver import Receiver
from scp.settings import Peer, ReceiverSettings
from scp.statuses import Reply
from tests.peers import wait_for
from tests.scp.conftest import Running
from tests.scp.leaks import counted, wait_until_given_back
from tests.scp.objects import image
from tests.scp.recording_intake import RecordingIntake
from tests.scp.wire import (
    ABORT,
    CT,
    EXPLICIT,
    IMPLICIT,
    RELEASE_RQ,
    VERIFICATION,
    Sender,
    command,
    fragments,
    pdata,
    pdv,
    request,
)

PIECE = bytes(200_000)


class CountingIntake(RecordingIntake):
    """Keeps no data, only how much there was."""

    written = 0

    def writer(self, association_id: str, caller: Caller, header: Header, meta: bytes) -> "CountingWriter":  # type: ignore[override]
        return CountingWriter(self)


class CountingWriter:
    """Forgets what it is given."""

    def __init__(self, intake: CountingIntake) -> None:
        self.intake = intake

    def write(self, fragment: bytes | memoryview) -> None:
        if gate := self.intake.gates.get("write"):
            gate.wait(30)
        self.intake.written += len(fragment)

    def commit(self, last: Sequence[bytes | memoryview] = ()) -> Receipt:
        for fragment in last:
            self.write(fragment)
        return Receipt.STORED

    def discard(self) -> None:
        self.intake.note("discard")


@contextlib.contextmanager
def receiver(intake: RecordingIntake, **settings: object):  # type: ignore[no-untyped-def]
    started = Receiver(ReceiverSettings("ANCILLA", peers=(Peer("CT01"),), stop_seconds=5, **settings), intake)  # type: ignore[arg-type]
    try:
        yield Running(started, intake, started.start())
    finally:
        started.stop()


def test_a_long_object_takes_no_memory() -> None:
    intake = CountingIntake()
    head, count = image(pixels=0), 1500
    with receiver(intake) as running, running.sender().associate() as sender:
        sender.send(pdata(pdv(1, 3, command(1, 1, CT, "1.2.3.4.1"))) + pdata(pdv(1, 0, head)))
        item = pdata(pdv(1, 0, PIECE))
        sender.send(item)
        tracemalloc.start()
        try:
            for _ in range(count):
                sender.send(item)
            sender.send(pdata(pdv(1, 2, b"")))
            assert sender.response().status == 0
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        sender.release()
    assert intake.written == len(head) + (count + 1) * len(PIECE)
    assert peak < 4_000_000


def test_a_slow_disk_holds_the_sender_back() -> None:
    intake = CountingIntake()
    gate = intake.gates["write"] = threading.Event()
    with receiver(intake) as running, running.sender().associate() as sender:
        sender.send(pdata(pdv(1, 3, command(1, 1, CT, "1.2.3.4.1"))) + pdata(pdv(1, 0, image(pixels=0))))
        sender.socket.settimeout(0.3)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 100_000_000:
                sent += sender.socket.send(pdata(pdv(1, 0, PIECE)))
        assert sent < 20_000_000  # what two kernels keep
        gate.set()


def test_items_of_two_contexts_mixed_end_the_association() -> None:
    intake = RecordingIntake()
    with receiver(intake) as running, running.sender().associate([(CT, (EXPLICIT,)), (CT, (IMPLICIT,))]) as sender:
        sender.send(pdata(pdv(1, 3, command(1, 1, CT, "1.2.3.4.1"))) + pdata(pdv(1, 0, image()[:300])))
        sender.send(pdata(pdv(3, 2, image()[300:])))
        assert sender.read()[:1] == b"\x07"
        assert intake.wait_for("closed")[0][2] == "aborted"
    assert intake.stored == [] and intake.open_writers == 0


def test_a_command_inside_a_data_set_ends_the_association() -> None:
    intake = RecordingIntake()
    with receiver(intake) as running, running.sender().associate() as sender:
        sender.send(pdata(pdv(1, 3, command(1, 1, CT, "1.2.3.4.1"))) + pdata(pdv(1, 0, image())))
        sender.send(pdata(pdv(1, 3, command(1, 2, CT, "1.2.3.4.2"))))
        assert sender.read()[:1] == b"\x07"
    assert intake.wait_for("closed") and intake.stored == []


def test_a_pdu_longer_than_announced_ends_the_association() -> None:
    with receiver(RecordingIntake(), max_pdu=20_000) as running, running.sender().associate() as sender:
        assert sender.peer_maximum == 20_000
        sender.send(pdata(pdv(1, 3, command(1, 1, CT, "1.2.3.4.1"))) + pdata(pdv(1, 2, bytes(30_000)))[:100])
        assert sender.read()[:1] == b"\x07"


def test_requests_sent_without_waiting_are_answered_in_their_order() -> None:
    with (
        receiver(RecordingIntake()) as running,
        running.sender().associate([(CT, (EXPLICIT,)), (VERIFICATION, (IMPLICIT,))]) as sender,
    ):
        echo = pdata(pdv(3, 3, command(0x30, 7, VERIFICATION, has_data=False)))
        store = pdata(pdv(1, 3, command(1, 8, CT, "1.2.3.4.1")), *fragments(1, 2, image(), 100))
        sender.send(echo + store + echo + store + RELEASE_RQ)
        answers = [sender.response().command for _ in range(4)]
        assert [answer.CommandField for answer in answers] == [0x8030, 0x8001, 0x8030, 0x8001]
        assert sender.expect(6)


def test_a_peer_that_takes_only_tiny_pdus_gets_its_answer_in_pieces() -> None:
    with receiver(RecordingIntake()) as running, running.sender() as sender:
        sender.send(request([(CT, (EXPLICIT,))], max_pdu=40))
        sender.expect(2)
        sender.send(pdata(pdv(1, 3, command(1, 9, CT, "1.2.3.4.1"))) + pdata(pdv(1, 2, image())))
        body, last = b"", False
        while not last:
            pdu = sender.expect(4)
            assert len(pdu) <= 46
            body, last = body + pdu[12:], pdu[11] == 3
        answer = decode(BytesIO(body), True, True)
        assert (answer.Status, answer.MessageIDBeingRespondedTo) == (0, 9)


@given(cuts=st.lists(st.integers(1, 400), max_size=12))
def test_a_command_of_another_kind_or_cut_off_is_left_to_pynetdicom(cuts: list[int]) -> None:
    whole = command(1, 5, CT, "1.2.3.4.1")
    assert store_request(whole) == StoreRequest(5, CT, "1.2.3.4.1")
    assert store_request(command(0x30, 5, VERIFICATION, has_data=False)) is None
    for cut in cuts:
        part = store_request(whole[: cut % len(whole)])
        assert part is None


@given(noise=st.binary(max_size=200), at=st.integers(0, 120), byte=st.integers(0, 255))
def test_a_damaged_command_is_read_or_left(noise: bytes, at: int, byte: int) -> None:
    assert store_request(noise) is None
    damaged = bytearray(command(1, 5, CT, "1.2.3.4.1"))
    damaged[at % len(damaged)] = byte
    found = store_request(bytes(damaged))
    assert found is None or (0 <= found.message_id < 65536 and found.sop_class_uid and found.sop_instance_uid)


@given(
    st.integers(0, 65535), st.sampled_from([0, 0xA700, 0xC000]), st.text("abc ,;", max_size=64), st.sampled_from(["1.2", "1.2.3"])
)
def test_a_response_is_what_pynetdicom_reads(message: int, status: int, words: str, instance: str) -> None:
    pdu = store_response(7, StoreRequest(message, CT, instance), Reply(status, words))
    assert pdu[:2] == b"\x04\x00" and int.from_bytes(pdu[2:6]) == len(pdu) - 6 and pdu[10:12] == b"\x07\x03"
    ds: Dataset = decode(BytesIO(pdu[12:]), True, True)
    assert (ds.CommandField, ds.MessageIDBeingRespondedTo, ds.Status) == (0x8001, message, status)
    assert (ds.AffectedSOPClassUID, ds.AffectedSOPInstanceUID) == (CT, instance)
    assert str(ds.get("ErrorComment", "")).strip() == words.strip()
    assert ds.CommandDataSetType == 0x0101 and ds.CommandGroupLength == len(pdu) - 24


def damaged(random_: random.Random, stream: bytes) -> bytes:
    """The same bytes with some changed, left out or put in."""
    data = bytearray(stream)
    for _ in range(random_.randint(1, 6)):
        at = random_.randrange(len(data))
        kind = random_.randrange(4)
        if kind == 0:
            data[at] = random_.randrange(256)
        elif kind == 1:
            del data[at : at + random_.randint(1, 20)]
        elif kind == 2:
            data[at:at] = random_.randbytes(random_.randint(1, 20))
        else:
            data[at : at + 4] = random_.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"])
    return bytes(data)


@pytest.mark.filterwarnings("ignore")  # pydicom about the UIDs
def test_damaged_associations_leave_nothing_behind() -> None:
    count = int(os.environ.get("ANCILLA_FUZZ", "400"))
    random_ = random.Random(20260101)
    intake = RecordingIntake()
    body = pdata(pdv(1, 3, command(1, 1, CT, "1.2.3.4.1"))) + b"".join(pdata(item) for item in fragments(1, 2, image(), 120))
    with receiver(intake, idle_seconds=5.0, request_seconds=2.0) as running:
        assert Sender(running.port).associate().store(image(), "1.2.3.4.1").status == 0
        before = counted()
        for number in range(count):
            attack(random_, running.port, body, whole=bool(number % 4))
        with running.sender().associate() as sender:
            assert sender.store(image(5), "1.2.3.4.5").status == 0
            sender.release()
        wait_for(lambda: len(intake.named("opened")) == len(intake.named("closed")) or None, "the end of all associations")
        wait_until_given_back(before)
    assert intake.open_writers == 0


def attack(random_: random.Random, port: int, body: bytes, whole: bool) -> None:
    """One damaged conversation: after a good negotiation, or damaged from the start."""
    with Sender(port) as sender, contextlib.suppress(ConnectionError):
        if whole:
            sender.associate()
            sender.send(damaged(random_, body) + random_.choice([RELEASE_RQ, ABORT, b""]))
        else:
            sender.send(damaged(random_, request([(CT, (EXPLICIT,))]) + body))
        sender.socket.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and sender.socket.recv(4096):
            pass
