"""Whatever a sender sends, cut as it likes, the fast path stores, answers and reports what the stock path does."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scp.receiver import Receiver
from scp.settings import Peer, ReceiverSettings
from tests.scp.objects import dataset, encoded
from tests.scp.recording_intake import RecordingIntake
from tests.scp.wire import ABORT, CT, EXPLICIT, IMPLICIT, RELEASE_RQ, VERIFICATION, EndedError, Sender, command, pdata, pdv

BIG, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
HOW = {EXPLICIT: {}, IMPLICIT: {"implicit": True}, BIG: {"big": True}, DEFLATED: {"deflated": True}}
CONTEXTS = [(VERIFICATION, (IMPLICIT,)), *((CT, (syntax,)) for syntax in HOW)]
FLAWS: list[dict[str, object]] = [
    {},
    {},
    {},
    {"StudyInstanceUID": None},
    {"SeriesInstanceUID": ""},
    {"SOPInstanceUID": "9.9"},
    {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"},
]


@dataclass
class Both:
    """Two receivers that differ in the path only."""

    intakes: tuple[RecordingIntake, RecordingIntake]
    ports: tuple[int, int]


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    intakes = RecordingIntake(), RecordingIntake()
    receivers = [
        Receiver(ReceiverSettings("ANCILLA", peers=(Peer("CT01"),), fast_path=fast, max_pdu=60_000), intake)
        for fast, intake in zip((False, True), intakes, strict=True)
    ]
    yield Both(intakes, tuple(receiver.start() for receiver in receivers))  # type: ignore[arg-type]
    for receiver in receivers:
        receiver.stop()


@st.composite
def messages(draw: st.DrawFn) -> list[bytes]:
    """The items (PDVs) of one message, each at most as long as drawn."""
    number = draw(st.integers(1, 50))
    if draw(st.integers(0, 9)) == 0:
        return cut(draw, 1, 3, command(0x30, number, VERIFICATION, has_data=False))
    syntax = draw(st.sampled_from(list(HOW)))
    context = 3 + 2 * list(HOW).index(syntax)
    flaws = draw(st.sampled_from(FLAWS))
    data = encoded(dataset(number, pixels=draw(st.integers(0, 40_000)), **flaws), **HOW[syntax])
    if draw(st.integers(0, 7)) == 0:
        data = data[: draw(st.integers(0, len(data)))]
    return [
        *cut(draw, context, 3, command(1, number, CT, f"1.2.3.4.{number}")),
        *cut(draw, context, 2, data),
    ]


def cut(draw: st.DrawFn, context: int, last: int, data: bytes) -> list[bytes]:
    """Items of drawn sizes; now and then an empty one, at the end too."""
    sizes = draw(st.lists(st.integers(0, 20_000) | st.integers(0, 40), min_size=1, max_size=6))
    items, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)] or (1 if not any(sizes) else 0)
        items.append(pdv(context, last - 2, data[at : at + size]))
        at, turn = at + size, turn + 1
        if turn > 200:
            sizes = [50_000]
    if draw(st.booleans()) or not items:
        return [*items, pdv(context, last, b"")]
    ending = bytearray(items.pop())
    ending[5] |= 2
    return [*items, bytes(ending)]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[bytes], int, list[int], str]:
    """PDUs, the number of messages in them, the sizes of the pieces they are sent in, and how the association ends."""
    items = draw(st.lists(messages(), min_size=1, max_size=4))
    pdus: list[bytes] = []
    for message in items:
        pdus.append(pdata(message[0]))
        for item in message[1:]:  # a PDU holds items of one message only (PS3.8 E.1); pynetdicom forgets what follows its end
            join = draw(st.booleans()) and len(pdus[-1]) + len(item) < 60_000
            pdus.append(pdata((pdus.pop()[6:] if join else b"") + item))
    pieces = draw(st.lists(st.integers(1, 5000) | st.integers(1, 30), max_size=5))
    return pdus, len(items), pieces, draw(st.sampled_from(["release", "abort", "close", "cut off"]))


def talk(port: int, intake: RecordingIntake, conversation: tuple[list[bytes], int, list[int], str]) -> list[object]:
    """What the sender saw, and what the intake was told."""
    pdus, count, pieces, end = conversation
    before, kept = len(intake.calls), len(intake.stored)
    seen: list[object] = []
    with Sender(port).associate(CONTEXTS) as sender:
        stream = b"".join(pdus)
        if end == "cut off":
            stream = stream[: len(stream) - len(pdus[-1])]
        send_in_pieces(sender, stream, pieces)
        try:
            for _ in range(count - (end == "cut off")):
                answer = sender.response()
                seen.append(
                    (answer.command.CommandField, answer.command.MessageIDBeingRespondedTo, answer.status, answer.comment)
                )
            if end == "release":
                sender.send(RELEASE_RQ)
                sender.expect(6)
        except EndedError as ended:
            seen.append(ended.pdu[:1])
        if end in ("abort", "cut off"):
            sender.send(ABORT)
    intake.wait_for("closed", sum(call[0] == "closed" for call in intake.calls[:before]) + 1)
    calls = [tuple(detail for detail in call if not str(detail).startswith("association-")) for call in intake.calls[before:]]
    return [*seen, *without_discarded(calls), *((one.meta, one.data_set) for one in intake.stored[kept:])]


def without_discarded(calls: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """The stock path never begins what it would have to discard."""
    kept: list[tuple[object, ...]] = []
    for call in calls:
        if call[0] == "discard":
            assert kept.pop()[0] == "writer"
        else:
            kept.append(call)
    return kept


def send_in_pieces(sender: Sender, stream: bytes, pieces: list[int]) -> None:
    at = 0
    for size in pieces:
        sender.send(stream[at : at + size])
        at += size
    sender.send(stream[at:])


@given(conversation=conversations())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_both_paths_store_answer_and_report_the_same(both: Both, conversation: tuple[list[bytes], int, list[int], str]) -> None:
    stock, fast = (talk(port, intake, conversation) for port, intake in zip(both.ports, both.intakes, strict=True))
    assert fast == stock
