"""Limits: a hostile client is cut, one that behaves is served meanwhile, and nothing is left behind."""

import contextlib
import socket
import threading
import time

import pytest

from inference.source import open_source
from scp.associations import Associations
from scp.flood import Flood, Flow
from scp.progress import Progress
from scp.settings import Peer
from tests.peers import wait_for
from tests.scp.conftest import Running, Start
from tests.scp.leaks import counted, wait_until_given_back
from tests.scp.objects import dataset, deepened, encoded, image
from tests.scp.wire import CT, EXPLICIT, IMPLICIT, RELEASE_RQ, EndedError, Sender, command, pdata, pdv, rejection, request

PEERS = (Peer("CT01"), Peer("CT02"))


def well_behaved(running: Running, uid: str = "1.2.3.4.7") -> None:
    with running.sender().associate(calling="CT02") as sender:
        assert sender.store(image(7, SOPInstanceUID=uid), uid).status == 0
        sender.release()


def refusal(running: Running, calling: str = "CT01") -> tuple[int, int, int]:
    with running.sender() as sender, pytest.raises(EndedError) as ended:
        sender.associate(calling=calling)
    return rejection(ended.value.pdu)


def test_one_caller_cannot_take_all_places(start: Start) -> None:
    running = start(peers=PEERS, max_per_peer=2, max_associations=4)
    with running.sender().associate() as first, running.sender().associate():
        assert refusal(running) == (2, 3, 2)
        assert running.intake.wait_for("rejected")[0][2] == "too many associations of this caller at the same time"
        well_behaved(running)
        first.release()
        running.intake.wait_for("closed", 2)
        with running.sender().associate() as again:
            again.release()


def test_places_are_counted_by_title_and_address() -> None:
    class Running:
        def join(self, timeout: float | None = None) -> None: ...
        def is_alive(self) -> bool:
            return True

        def drop(self) -> None: ...
        def end(self) -> None: ...

    places = Associations(limit=3, per_peer=1)
    ours = [Running() for _ in range(5)]
    assert places.accept(ours[0], ("CT", "10.0.0.1")) == ""
    assert "this caller" in places.accept(ours[1], ("CT", "10.0.0.1"))
    assert places.accept(ours[2], ("CT", "10.0.0.2")) == "" == places.accept(ours[3], ("MR", "10.0.0.1"))
    assert places.accept(ours[4], ("US", "10.0.0.1")) == "too many associations at the same time"
    places.gone(ours[0])
    assert places.accept(ours[1], ("CT", "10.0.0.1")) == ""


def test_an_association_that_lasts_too_long_is_aborted_however_busy_it_is(start: Start) -> None:
    running = start(peers=PEERS, association_seconds=1.0)
    with running.sender().associate() as sender:
        begun = time.monotonic()
        with contextlib.suppress(EndedError, OSError):
            for number in range(1, 1_000_000):
                assert sender.store(image(number), f"1.2.3.4.{number}").status == 0
        assert 0.9 < time.monotonic() - begun < 10
    well_behaved(running)
    assert running.intake.wait_for("closed")[0][2] == "aborted"
    assert running.intake.stored[0].data_set == image(1), "what was acknowledged stays"


def test_an_association_aborted_for_its_length_that_keeps_its_connection_is_closed(start: Start) -> None:
    running = start(peers=PEERS, association_seconds=0.5)
    with running.sender().associate() as sender:
        assert sender.read()[:1] in (b"\x07", b"")
        running.intake.wait_for("closed")
        wait_for(lambda: not any(thread.name == "association" for thread in threading.enumerate()), "its thread")


def test_a_flood_of_requests_is_rejected_for_now_and_reported_once(start: Start) -> None:
    running = start(peers=PEERS, requests_per_second=5.0)
    answers = []
    for _ in range(40):
        with running.sender() as sender:
            try:
                sender.associate()
                answers.append("in")
                sender.release()
            except EndedError as ended:
                answers.append(str(rejection(ended.pdu)))
    assert answers[:5] == ["in"] * 5 and answers.count("(2, 3, 1)") > 15
    reported = [words for _, _, words in running.intake.named("rejected")]
    assert reported == ["too many association requests per second"]

    def served() -> bool:
        with contextlib.suppress(EndedError):
            well_behaved(running)
            return True
        return False

    wait_for(served, "a place after the flood")


def test_a_bucket_refills_with_time_and_is_each_addresss_own() -> None:
    now = [100.0]
    flood = Flood(2.0, lambda: now[0])
    assert [flood.judge("a") for _ in range(4)] == [Flow.FREE, Flow.FREE, Flow.FIRST, Flow.MORE]
    assert flood.judge("b") is Flow.FREE
    now[0] += 0.5
    assert [flood.judge("a") for _ in range(2)] == [Flow.FREE, Flow.MORE], "one more, and the flood is not news"
    now[0] += 10
    assert [flood.judge("a") for _ in range(3)] == [Flow.FREE, Flow.FREE, Flow.FIRST]
    assert all(Flood(0.0).judge("a") is Flow.FREE for _ in range(1000))


def test_the_addresses_a_flood_remembers_are_bounded() -> None:
    flood = Flood(1.0, lambda: 0.0)
    for number in range(10_000):
        flood.judge(str(number))
    assert len(flood._buckets) <= 4096


def test_a_trickle_that_keeps_an_object_open_is_cut(start: Start) -> None:
    """Every PDU is complete, so the idle timer never runs out."""
    running = start(peers=PEERS, idle_seconds=1.0, min_bytes_per_second=5000.0)
    with running.sender().associate() as sender:
        sender.send(pdata(pdv(1, 3, command(1, 1, CT, "1.2.3.4.1"))))
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            sender.socket.settimeout(0.05)
            while time.monotonic() - begun < 20:
                sender.send(pdata(pdv(1, 0, b"\x08\x00\x05\x00CS\x00\x00")))
                with contextlib.suppress(TimeoutError):
                    if sender.socket.recv(100)[:1] in (b"\x07", b""):
                        break
        assert time.monotonic() - begun < 10
        well_behaved(running)
    assert "1.2.3.4.1" not in [one.header.sop_instance_uid for one in running.intake.stored]
    assert {call[2] for call in running.intake.wait_for("closed", 2)} & {"aborted", "lost"}


def test_progress_counts_from_the_first_byte_after_an_answer() -> None:
    now = [0.0]
    progress = Progress(1000.0, 60.0, lambda: now[0])
    assert progress.received(100)
    now[0] = 60.0
    assert progress.received(1), "within the time of grace"
    now[0] = 61.0
    assert not progress.received(1)
    assert progress.received(61_000), "on the whole it is fast enough"
    progress.answered()
    now[0] = 10_000.0
    assert progress.received(1), "a pause between objects costs nothing"
    now[0] += 59
    assert progress.received(1)
    assert all(Progress(0.0, 0.0, lambda: now[0]).received(0) for _ in range(3))


def test_a_pdu_longer_than_announced_is_cut(start: Start) -> None:
    running = start(peers=PEERS, max_pdu=16384)
    with running.sender().associate() as sender:
        assert sender.peer_maximum == 16384
        with contextlib.suppress(OSError):
            sender.send(pdata(pdv(1, 3, command(1, 1, CT, "1.2.3.4.1"))) + b"\x04\x00\x7f\xff\xff\xff")
            sender.send(bytes(2_000_000))
        sender.socket.settimeout(15)
        assert sender.read()[:1] in (b"\x07", b"")
        well_behaved(running)


def test_an_object_longer_than_allowed_is_refused_while_others_are_stored(start: Start) -> None:
    running = start(peers=PEERS, max_object=30_000)
    with running.sender().associate() as sender:
        assert sender.store(image(pixels=4_000_000), "1.2.3.4.1").status == 0xA700
        well_behaved(running)
    assert len(running.intake.stored) == 1


def test_five_hundred_probes_that_only_connect_leave_nothing_behind(start: Start) -> None:
    running = start(peers=PEERS)
    well_behaved(running)
    running.intake.wait_for("closed")
    before = counted()
    for number in range(500):
        with socket.create_connection(("127.0.0.1", running.port), 10) as probe:
            if number % 2:
                probe.send(b"\x00")
    well_behaved(running, "1.2.3.4.8")
    wait_until_given_back(before)
    assert len(running.intake.named("opened")) == 2 and running.intake.named("rejected") == []


def test_a_request_that_comes_drop_by_drop_is_cut_and_keeps_nobody_waiting(start: Start) -> None:
    running = start(peers=PEERS, request_seconds=1.0)
    with running.sender() as slow:
        begun, wanted = time.monotonic(), request([(CT, (EXPLICIT,))])
        slow.socket.settimeout(0.05)
        with contextlib.suppress(ConnectionError):
            for byte in wanted * 5:
                slow.send(bytes([byte]))
                with contextlib.suppress(TimeoutError):
                    if slow.socket.recv(100)[:1] in (b"\x07", b""):
                        break
        assert time.monotonic() - begun < 8
        well_behaved(running)
    assert len(running.intake.named("opened")) == 1


@pytest.mark.parametrize("defined", [False, True])
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_a_sequence_twenty_thousand_deep_kills_nobody(start: Start, syntax: str, defined: bool) -> None:
    running, data = start(peers=PEERS), deepened(encoded(dataset(), syntax == IMPLICIT), 20_000, syntax == IMPLICIT, defined)
    with running.sender().associate([(CT, (syntax,))]) as sender:
        assert sender.store(data, "1.2.3.4.1").status == 0
        assert sender.store(encoded(dataset(SOPInstanceUID="1.2.3.4.2"), syntax == IMPLICIT), "1.2.3.4.2").status == 0
        sender.release()
    first, second = (open_source(stored.meta + stored.data_set) for stored in running.intake.stored)
    # With lengths the sequence is never entered, so the image is as good as any other.
    fault, uids = first.fault, (first.uid, second.uid)  # texts alone: a failing test would print the header, and that is deep
    assert fault == ("" if defined else "an image cannot be read (RecursionError)")
    assert uids == ("1.2.3.4.1" if defined else "", "1.2.3.4.2")
    well_behaved(running)


def test_other_peers_count_for_new_associations_and_running_ones_go_on(start: Start) -> None:
    running = start(peers=(Peer("CT01"),))
    with running.sender().associate() as sender:
        running.receiver.admit((Peer("CT02"),))
        assert refusal(running) == (1, 1, 3)
        well_behaved(running)
        assert sender.store(image(), "1.2.3.4.1").status == 0
        sender.send(RELEASE_RQ)
        assert sender.expect(6)


def test_the_administrator_hears_what_a_stranger_wanted_to_send(start: Start) -> None:
    running = start(peers=PEERS)
    mr = "1.2.840.10008.5.1.4.1.1.4"
    with Sender(running.port) as sender, pytest.raises(EndedError):
        sender.associate([(CT, (EXPLICIT,)), (mr, (IMPLICIT,)), (CT, (IMPLICIT,))], calling="STRANGER")
    running.intake.wait_for("rejected")
    assert running.intake.proposed == [(CT, mr)]
