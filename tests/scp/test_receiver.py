"""What a sender sees of the receiver, and what the intake behind it is told, by both ways of reading."""

import contextlib
import socket
import struct
import threading

import pydicom
import pytest
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AllStoragePresentationContexts

from domain.errors import ConfigurationError, NotKeptError, OutOfSpaceError
from domain.instances import Caller
from scp.header import DEFLATED
from scp.receiver import Receiver
from scp.settings import Peer, ReceiverSettings
from tests.scp.conftest import Running, Start
from tests.scp.leaks import counted, wait_until_given_back
from tests.scp.objects import dataset, encoded, image
from tests.scp.recording_intake import RecordingIntake
from tests.scp.wire import (
    ABORT,
    CT,
    EXPLICIT,
    IMPLICIT,
    RELEASE_RQ,
    VERIFICATION,
    EndedError,
    command,
    fragments,
    pdata,
    pdv,
    rejection,
    request,
)


def test_an_echo_is_answered(start: Start) -> None:
    with start().sender().associate([(VERIFICATION, (IMPLICIT,))]) as sender:
        assert sender.echo() == 0
        sender.release()


def test_an_object_is_stored_as_it_came_and_only_then_answered(start: Start) -> None:
    running = start()
    data = image(pixels=60_000)
    with running.sender().associate() as sender:
        response = sender.store(data, "1.2.3.4.1")
        assert (response.status, response.comment) == (0, "")
        assert response.command.AffectedSOPInstanceUID == "1.2.3.4.1" and response.command.AffectedSOPClassUID == CT
        assert running.intake.names() == ["opened", "writer", "commit"]
        sender.release()
    running.intake.wait_for("closed")
    stored = running.intake.stored[0]
    assert stored.data_set == data and stored.caller == Caller("CT01", "ANCILLA", "127.0.0.1")
    assert pydicom.dcmread(pydicom.filebase.DicomBytesIO(stored.meta + stored.data_set)).StudyInstanceUID == "1.2.3.1"
    assert running.intake.calls[-1] == ("closed", "association-1", "released")


def test_success_waits_for_the_commit(start: Start) -> None:
    running = start()
    gate = running.intake.gates["commit"] = threading.Event()
    reached = running.intake.reached["commit"] = threading.Event()
    with running.sender().associate() as sender:
        sender.send(pdata(pdv(1, 3, command(1, 1, CT, "1.2.3.4.1"))) + pdata(pdv(1, 2, image())))
        assert reached.wait(10)
        sender.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            sender.socket.recv(1)
        gate.set()
        sender.socket.settimeout(10)
        assert sender.response().status == 0
        sender.release()


def test_many_objects_come_over_one_association(start: Start) -> None:
    running = start()
    with running.sender().associate() as sender:
        for number in range(1, 30):
            assert sender.store(image(number, pixels=number * 997), f"1.2.3.4.{number}", size=5000).status == 0
        sender.release()
    assert [one.data_set for one in running.intake.stored] == [image(n, pixels=n * 997) for n in range(1, 30)]


@pytest.mark.parametrize("syntax", AllTransferSyntaxes)
def test_every_transfer_syntax_is_taken(start: Start, syntax: pydicom.uid.UID) -> None:
    running = start()
    data = encoded(dataset(), syntax.is_implicit_VR, not syntax.is_little_endian, syntax in DEFLATED)
    with running.sender().associate([(CT, (syntax,))]) as sender:
        assert sender.store(data, "1.2.3.4.1").status == 0
        sender.release()
    assert running.intake.stored[0].data_set == data
    assert running.intake.stored[0].header.transfer_syntax_uid == syntax


def test_every_storage_class_is_taken_known_private_or_newer_than_we_are(start: Start) -> None:
    known = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    assert len(known) == 170
    classes = [
        *known,
        "1.2.826.0.1.3680043.2.1",
        "1.2.840.10008.5.1.4.1.1.999",
        "1.2.840.10008.5.1.4.1.1.6",
        "1.2.840.10008.5.1.1.29",
    ]
    running = start()
    for part in (classes[:100], classes[100:]):
        with running.sender().associate([(uid, (EXPLICIT,)) for uid in part]) as sender:
            for index, uid in enumerate(part):
                data = encoded(dataset(SOPClassUID=uid))
                assert sender.store(data, "1.2.3.4.1", uid, context=2 * index + 1).status == 0, uid
            sender.release()
    assert [one.header.sop_class_uid for one in running.intake.stored] == classes


def test_what_is_no_storage_or_cannot_be_decoded_by_anybody_is_not_negotiated(start: Start) -> None:
    refused = ["1.2.840.10008.3.1.2.3.3", "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.1.20.1", "1.2.840.10008.1.3.10"]
    proposed = [(uid, (IMPLICIT,)) for uid in refused] + [(CT, ("1.2.840.113619.5.2",)), (CT, ("1.2.840.113619.5.2", EXPLICIT))]
    with start().sender().associate(proposed) as sender:
        assert [sender.results[number][0] for number in range(1, 12, 2)] == [3, 3, 3, 3, 4, 0]
        assert sender.results[11] == (0, EXPLICIT)
        sender.release()


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"calling": "STRANGER"}, (1, 1, 3)),
        ({"calling": "CT01", "called": "OTHER"}, (1, 1, 7)),
        ({"calling": "STRANGER", "called": "OTHER"}, (1, 1, 7)),
    ],
)
def test_whoever_has_no_rule_is_rejected_and_reported(start: Start, given: dict[str, str], reason: tuple[int, int, int]) -> None:
    running = start()
    with running.sender() as sender, pytest.raises(EndedError) as ended:
        sender.associate(**given)
    assert rejection(ended.value.pdu) == reason
    ((_, caller, words),) = running.intake.wait_for("rejected")
    assert caller == Caller(given["calling"], given.get("called", "ANCILLA"), "127.0.0.1") and words
    assert running.intake.named("opened") == []


def test_a_known_caller_from_another_address_is_rejected(start: Start) -> None:
    running = start(peers=(Peer("CT01", "192.0.2.0/24"),))
    with running.sender() as sender, pytest.raises(EndedError) as ended:
        sender.associate()
    assert rejection(ended.value.pdu) == (1, 1, 3)
    assert running.intake.wait_for("rejected")


def test_everybody_may_send_where_unknown_callers_are_admitted(start: Start) -> None:
    with start(peers=(), admit_unknown=True).sender().associate(calling="STRANGER") as sender:
        assert sender.store(image(), "1.2.3.4.1").status == 0
        sender.release()


def test_one_association_too_many_is_rejected_for_now(start: Start) -> None:
    running = start(max_associations=2)
    with running.sender().associate() as first, running.sender().associate():
        with running.sender() as third, pytest.raises(EndedError) as ended:
            third.associate()
        assert rejection(ended.value.pdu) == (2, 3, 2)
        first.release()
        running.intake.wait_for("closed")
        with running.sender().associate() as fourth:
            assert fourth.store(image(), "1.2.3.4.1").status == 0


def test_one_byte_probes_take_nobodys_place(start: Start) -> None:
    running = start(max_associations=1)
    probes = [running.sender() for _ in range(150)]
    for probe in probes:
        probe.send(b"\x01")
    with running.sender().associate() as sender:
        assert sender.store(image(), "1.2.3.4.1").status == 0
        sender.release()
    for probe in probes:
        probe.socket.close()


def test_whoever_connects_and_says_nothing_is_closed(start: Start) -> None:
    running = start(request_seconds=0.2)
    for beginning in (b"", b"\x01", b"\x01\x00\x00\x00\x10\x00abc"):
        with running.sender() as sender:
            sender.send(beginning)
            sender.socket.settimeout(10)
            with contextlib.suppress(ConnectionResetError):
                while sender.socket.recv(100):
                    pass
    assert running.intake.calls == []


def test_an_idle_association_is_aborted(start: Start) -> None:
    running = start(idle_seconds=0.3)
    with running.sender().associate() as sender:
        assert sender.read()[:1] in (b"\x07", b"")
    assert running.intake.wait_for("closed")[0][2] == "aborted"


def test_an_association_that_stops_in_the_middle_of_a_pdu_is_ended(start: Start) -> None:
    running = start(idle_seconds=0.3)
    with running.sender().associate() as sender:
        sender.send(pdata(pdv(1, 3, command(1, 1, CT, "1.2.3.4.1"))) + pdata(pdv(1, 2, image()))[:50])
        assert sender.read()[:1] in (b"\x07", b"")
    running.intake.wait_for("closed")
    assert running.intake.stored == []


def even_context_id() -> bytes:
    pdu = bytearray(request([(CT, (EXPLICIT,))]))
    at = pdu.index(b"\x20\x00", 74)  # the first presentation context item (PS3.8 9.3.2.2)
    assert pdu[at + 4] == 1
    pdu[at + 4] = 2
    return bytes(pdu)


NASTY = [
    pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="http"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), id="tls"),
    pytest.param(b"\x01\x00\xff\xff\xff\xff" + bytes(100), id="4 GB request"),
    pytest.param(struct.pack(">BBL", 1, 0, 68) + bytes(68), id="protocol version 0"),
    pytest.param(RELEASE_RQ, id="release first"),
    pytest.param(pdata(pdv(1, 3, command(1, 1, CT, "1.2.3.4.1"))), id="data first"),
    pytest.param(ABORT, id="abort first"),
    pytest.param(even_context_id(), id="even context id"),
    pytest.param(request([(CT, (EXPLICIT,))])[:-20] + b"\xff" * 20, id="damaged items"),
    pytest.param(request([(CT, (EXPLICIT,))]).replace(b"CT01            ", b"\x80\x81\x82\x83            "), id="title no text"),
]


@pytest.mark.parametrize("nasty", NASTY)
def test_nonsense_is_answered_by_the_end_of_the_connection_and_others_go_on(start: Start, nasty: bytes) -> None:
    running = start(request_seconds=5.0)
    with running.sender() as sender, contextlib.suppress(ConnectionError):
        sender.send(nasty)
        sender.socket.settimeout(15)
        while sender.socket.recv(4096):
            pass
    with running.sender().associate() as sender:
        assert sender.store(image(), "1.2.3.4.1").status == 0
        sender.release()
    assert len(running.intake.wait_for("closed")) == 1


GARBLED = [
    pytest.param(b"\x04\x00\xff\xff\xff\xff", id="4 GB of data"),
    pytest.param(struct.pack(">BBL", 4, 0, 3) + b"abc", id="item too short"),
    pytest.param(pdata(struct.pack(">LBB", 0, 1, 3)), id="item of no length"),
    pytest.param(pdata(struct.pack(">LBB", 100, 1, 3) + b"abc"), id="item longer than its PDU"),
    pytest.param(pdata(pdv(1, 3, b"garbage")), id="command that is none"),
    pytest.param(pdata(pdv(1, 3, command(1, 1, CT, "1.2.3.4.1")[:30])), id="command cut off"),
    pytest.param(pdata(pdv(1, 3, b"")), id="empty command"),
    pytest.param(pdata(pdv(1, 2, image())), id="data set without command"),
    pytest.param(pdata(pdv(99, 3, command(1, 1, CT, "1.2.3.4.1"))) + pdata(pdv(99, 2, image())), id="context not negotiated"),
    pytest.param(b"\x09\x00\x00\x00\x00\x00", id="unknown PDU"),
    pytest.param(request([(CT, (EXPLICIT,))]), id="second request"),
    pytest.param(pdata(pdv(1, 3, command(0x0020, 1, CT, has_data=False))), id="a query"),
]


@pytest.mark.parametrize("garbled", GARBLED)
def test_garbled_data_ends_the_association_and_keeps_what_was_acknowledged(start: Start, garbled: bytes) -> None:
    running = start()
    with running.sender().associate() as sender:
        assert sender.store(image(), "1.2.3.4.1").status == 0
        with contextlib.suppress(ConnectionError):
            sender.send(garbled)
        sender.socket.settimeout(15)
        assert sender.read()[:1] in (b"\x07", b"")
    assert running.intake.wait_for("closed")[0][2] in ("aborted", "lost")
    assert len(running.intake.stored) == 1
    with running.sender().associate() as sender:
        assert sender.store(image(2), "1.2.3.4.2").status == 0
        sender.release()


@pytest.mark.parametrize(("how", "word"), [("abort", "aborted"), ("close", "lost"), ("reset", "lost")])
def test_an_end_in_the_middle_keeps_what_was_acknowledged_and_nothing_else(start: Start, how: str, word: str) -> None:
    running = start()
    with running.sender().associate() as sender:
        assert sender.store(image(), "1.2.3.4.1").status == 0
        sender.send(pdata(pdv(1, 3, command(1, 2, CT, "1.2.3.4.2"))))
        for item in fragments(1, 2, image(2, pixels=50_000), 16000)[:-1]:
            sender.send(pdata(item))
        if how == "abort":
            sender.send(ABORT)
        elif how == "reset":
            sender.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sender.socket.close()
    assert running.intake.wait_for("closed") == [("closed", "association-1", word)]
    assert [one.header.sop_instance_uid for one in running.intake.stored] == ["1.2.3.4.1"]


def test_a_release_in_the_middle_of_an_object_keeps_nothing_of_it(start: Start) -> None:
    running = start()
    with running.sender().associate() as sender:
        sender.send(pdata(pdv(1, 3, command(1, 2, CT, "1.2.3.4.2"))) + pdata(pdv(1, 0, image(2))) + RELEASE_RQ)
        assert sender.read()[:1] in (b"\x06", b"\x07")
    running.intake.wait_for("closed")
    assert running.intake.stored == []


def test_a_release_is_answered_with_an_abort_when_acknowledged_objects_could_not_be_kept(start: Start) -> None:
    running = start()
    running.intake.failures["closed"] = [NotKeptError("the disk failed")]
    with running.sender().associate() as sender:
        assert sender.store(image(), "1.2.3.4.1").status == 0
        sender.send(RELEASE_RQ)
        assert sender.read()[:1] == b"\x07"
    assert [call[2] for call in running.intake.wait_for("closed")] == ["released"]


def test_a_release_is_answered_though_the_end_could_not_be_written_down(start: Start) -> None:
    running = start()
    running.intake.failures["closed"] = [OutOfSpaceError("full")]
    with running.sender().associate() as sender:
        assert sender.store(image(), "1.2.3.4.1").status == 0
        sender.release()


REFUSALS = [
    pytest.param({"StudyInstanceUID": None}, {}, 0xC000, "no Study Instance UID; objects are kept by study", id="no study"),
    pytest.param({"SeriesInstanceUID": ""}, {}, 0xC000, "no Series Instance UID; objects are kept by study", id="empty series"),
    pytest.param({"SOPInstanceUID": None}, {}, 0xC000, "no SOP Instance UID; objects are kept by study", id="no instance"),
    pytest.param({}, {"sop_instance": "1.2.3.4.99"}, 0xA900, "SOP Instance UID differs between command and data set", id="other"),
    pytest.param(
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, {}, 0xA900, "SOP Class UID differs between command and data set", id="class"
    ),
]


@pytest.mark.parametrize(("elements", "sent", "status", "words"), REFUSALS)
def test_a_refusal_has_a_status_a_reason_and_a_report(
    start: Start, elements: dict[str, str | None], sent: dict[str, str], status: int, words: str
) -> None:
    running = start()
    with running.sender().associate() as sender:
        response = sender.store(image(**elements), **({"sop_instance": "1.2.3.4.1"} | sent))
        assert (response.status, response.comment) == (status, words)
        assert sender.store(image(7), "1.2.3.4.7").status == 0
        sender.release()
    assert running.intake.named("refused") == [("refused", "association-1", status, words)]
    assert len(words) <= 64 and "Secret" not in words


def test_an_object_without_study_is_refused_with_a_readable_reason(start: Start) -> None:
    palette = "1.2.840.10008.5.1.4.39.1"
    data = encoded(dataset(SOPClassUID=palette, StudyInstanceUID=None, SeriesInstanceUID=None))
    with start().sender().associate([(palette, (EXPLICIT,))]) as sender:
        response = sender.store(data, "1.2.3.4.1", palette)
        assert (response.status, response.comment) == (0xC000, "no Study Instance UID; objects are kept by study")
        sender.release()


@pytest.mark.parametrize(
    ("place", "error", "status"),
    [
        ("writer", OutOfSpaceError("full"), 0xA700),
        ("write", OutOfSpaceError("full"), 0xA700),
        ("commit", OutOfSpaceError("full"), 0xA700),
        ("writer", RuntimeError("Secret^Patient"), 0x0110),
        ("write", RuntimeError("Secret^Patient"), 0x0110),
        ("commit", RuntimeError("Secret^Patient"), 0x0110),
    ],
)
def test_a_fault_in_storage_is_a_status_and_the_association_goes_on(
    start: Start, place: str, error: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    running = start()
    running.intake.failures[place] = [error]
    with running.sender().associate() as sender:
        response = sender.store(image(pixels=50_000), "1.2.3.4.1")
        assert response.status == status and response.comment and "Secret" not in response.comment
        assert sender.store(image(2), "1.2.3.4.2").status == 0
        sender.release()
    assert [one.header.sop_instance_uid for one in running.intake.stored] == ["1.2.3.4.2"]
    assert "Secret" not in caplog.text and (status == 0xA700 or "RuntimeError at" in caplog.text)
    assert len(running.intake.named("refused")) == 1


def test_an_object_longer_than_allowed_is_refused(start: Start) -> None:
    running = start(max_object=30_000)
    with running.sender().associate() as sender:
        response = sender.store(image(pixels=40_000), "1.2.3.4.1")
        assert (response.status, response.comment) == (0xA700, "object is larger than this node takes")
        assert sender.store(image(2), "1.2.3.4.2").status == 0
        sender.release()


def test_an_association_is_turned_away_when_it_cannot_be_recorded(start: Start) -> None:
    running = start()
    running.intake.failures["opened"] = [RuntimeError("no database")]
    with running.sender() as sender, pytest.raises(EndedError) as ended:
        sender.associate()
    assert rejection(ended.value.pdu) == (2, 3, 1)
    running.intake.wait_for("rejected")
    running.intake.calls.remove(running.intake.named("opened")[0])
    with running.sender().associate() as sender:
        sender.release()


def test_a_store_on_the_verification_context_is_refused(start: Start) -> None:
    with start().sender().associate([(VERIFICATION, (EXPLICIT,))]) as sender:
        assert sender.store(image(), "1.2.3.4.1").status == 0x0122
        assert sender.echo() == 0
        sender.release()


def test_associations_at_the_same_time_do_not_mix(start: Start) -> None:
    running = start()

    def send(first: int) -> None:
        with running.sender().associate() as sender:
            for number in range(first, first + 20):
                assert sender.store(image(number, pixels=3000 + number), f"1.2.3.4.{number}", size=700).status == 0
            sender.release()

    threads = [threading.Thread(target=send, args=(100 * index,)) for index in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    running.intake.wait_for("closed", 4)
    assert {one.header.sop_instance_uid: one.data_set for one in running.intake.stored} == {
        f"1.2.3.4.{n}": image(n, pixels=3000 + n) for first in range(100, 500, 100) for n in range(first, first + 20)
    }


def test_stop_waits_for_an_object_on_its_way(start: Start) -> None:
    running = start(stop_seconds=20.0)
    with running.sender().associate() as sender:
        sender.send(pdata(pdv(1, 3, command(1, 1, CT, "1.2.3.4.1"))))
        stopper = threading.Thread(target=running.receiver.stop)
        stopper.start()
        sender.send(pdata(pdv(1, 2, image())))
        assert sender.response().status == 0
        sender.release()
        stopper.join(10)
        assert not stopper.is_alive()
    assert running.intake.calls[-1] == ("closed", "association-1", "released")
    with pytest.raises(ConnectionRefusedError):
        running.sender()


def test_stop_aborts_who_does_not_end(start: Start) -> None:
    running = start(stop_seconds=0.1)
    with running.sender().associate() as sender, running.sender():
        running.receiver.stop()
        assert sender.read()[:1] in (b"\x07", b"")
    assert running.intake.calls[-1] == ("closed", "association-1", "aborted")


def test_a_port_in_use_is_a_configuration_error(start: Start) -> None:
    running = start()
    with pytest.raises(ConfigurationError, match=r"scp\.port: cannot listen on 127\.0\.0\.1"):
        Receiver(ReceiverSettings("ANCILLA", port=running.port), RecordingIntake()).start()


def test_threads_and_descriptors_do_not_pile_up(start: Start) -> None:
    running = start()
    one_association(running)
    running.intake.wait_for("closed")
    before = counted()
    for _ in range(30):
        one_association(running)
    running.intake.wait_for("closed", 31)
    wait_until_given_back(before)


def one_association(running: Running) -> None:
    with running.sender().associate() as sender:
        assert sender.store(image(), "1.2.3.4.1").status == 0
        sender.release()
