"""Damaged conversations: no crash, no hang, no growth, no file where none belongs, and an honest sender is served in between."""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scp.receiver import Receiver
from scp.settings import Peer, ReceiverSettings
from tests import peers, serving
from tests.faults import kept
from tests.faults.feeding import Complaints, Feeder, Tally
from tests.faults.images import image
from tests.faults.rounds import report, rounds
from tests.faults.streams import conversation, mutated, split
from tests.faults.vitals import Vitals, vitals
from tests.scp.wire import CT, EXPLICIT, IMPLICIT, VERIFICATION, Sender

SEED = 20260103
WITHIN = 3.0  # seconds for a conversation whose sender has closed its direction; one of them is waited when it lingers
GROWTH = 24_000  # KiB
pytestmark = pytest.mark.filterwarnings("ignore")  # pydicom about UIDs


@pytest.fixture
def feeder() -> Iterator[Feeder]:
    found = Feeder()
    yield found
    found.close()


def test_valid_conversations_are_answered_to_their_end(feeder: Feeder) -> None:
    random_ = random.Random(SEED)
    for _ in range(200):
        pdus = conversation(random_)
        answers = split(feeder.feed(b"".join(pdus)))
        assert answers[0] == 2
        assert 7 not in answers
        assert (answers[-1] == 6) == (pdus[-1][0] == 5)
    assert feeder.intake.calls["stored"] > 100
    assert feeder.intake.writers == 0
    assert not [name for name in feeder.intake.calls if name.startswith("refused")]


def test_mutated_conversations_change_nothing_but_themselves(feeder: Feeder) -> None:
    random_, complaints, wanted = random.Random(SEED), Complaints(), rounds(4_000, 100_000)
    done = streams = 0
    slowest, start = 0.0, None
    while done < wanted:
        stream, count = mutated(random_, conversation(random_, "WHO" if random_.random() < 0.03 else "CT01"))
        begin = time.monotonic()
        split(feeder.feed(stream))
        slowest = max(slowest, time.monotonic() - begin)
        assert slowest < WITHIN, stream.hex()
        assert feeder.intake.writers == 0 and not feeder.intake.open, stream.hex()
        assert complaints.lines == [], stream.hex()
        done, streams = done + count, streams + 1
        if start is None and done > wanted / 5:
            start = vitals()
        if streams % 500 == 0:
            assert split(feeder.feed(b"".join(conversation(random_))))[0] == 2
    end = vitals()
    assert start is not None
    no_growth(start, end)
    assert not feeder.house.associations._waiting and not feeder.house.associations._accepted
    calls = feeder.intake.calls
    assert calls["stored"] and calls["aborted"] and calls["lost"] and calls["rejected"], calls
    report(mutated_pdus=done, conversations=streams, slowest_seconds=round(slowest, 2), memory_kib=(start.memory, end.memory))
    report(**{name.replace(" ", "_"): number for name, number in calls.items()})


def no_growth(start: Vitals, end: Vitals, most: int = GROWTH) -> None:
    assert end.memory - start.memory < most, (start, end)
    assert end.threads <= start.threads, (start, end)
    assert end.descriptors <= start.descriptors + 4, (start, end)


class Attacker(threading.Thread):
    """One damaged conversation after the other over TCP, each to its end, each by FIN, by reset or by waiting a moment."""

    def __init__(self, seed: int, port: int, streams: int, calling: str) -> None:
        super().__init__(name=f"attacker-{seed}", daemon=True)
        self.done, self.fault = 0, ""
        self._random, self._port, self._streams, self._calling = random.Random(seed), port, streams, calling

    def run(self) -> None:
        for _ in range(self._streams):
            stream, count = mutated(self._random, conversation(self._random, self._calling))
            try:
                self._attack(stream)
            except (TimeoutError, ConnectionRefusedError) as error:
                self.fault = f"{type(error).__name__} after {stream.hex()}"
                return
            self.done += count

    def _attack(self, stream: bytes) -> None:
        with Sender(self._port) as sender, contextlib.suppress(ConnectionResetError, BrokenPipeError):
            sender.send(stream)
            if self._random.random() < 0.3:
                sender.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                return
            sender.socket.shutdown(socket.SHUT_WR)
            while sender.socket.recv(1 << 16):
                pass


def attack(port: int, streams: int, calling: str) -> int:
    """Four attackers at once; returns how many damaged PDUs they sent."""
    attackers = [Attacker(SEED + number, port, streams // 4, calling) for number in range(4)]
    for one in attackers:
        one.start()
    while any(one.is_alive() for one in attackers):
        assert echo(port, calling) == 0
        threading.Event().wait(0.2)  # the attackers need the interpreter more than we do
    for one in attackers:
        assert one.fault == ""
    return sum(one.done for one in attackers)


def echo(port: int, calling: str) -> int:
    """An honest sender asks whether somebody is there."""
    with Sender(port).associate(((CT, (EXPLICIT,)), (VERIFICATION, (IMPLICIT,))), calling=calling) as sender:
        status = sender.echo(3)
        sender.release()
    return status


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "stock"])
def test_mutated_conversations_over_tcp_leave_nothing_behind(fast: bool) -> None:
    intake, complaints = Tally(), Complaints()
    settings = ReceiverSettings("ANCILLA", peers=(Peer("CT01"),), idle_seconds=5.0, request_seconds=2.0, fast_path=fast)
    receiver = Receiver(settings, intake)
    port, threads = receiver.start(), threading.active_count()
    try:
        done = attack(port, rounds(120, 1200) if not fast else rounds(200, 4000), "CT01")
        peers.wait_for(lambda: not intake.open and threading.active_count() <= threads, "the end of all associations")
    finally:
        receiver.stop()
    assert intake.writers == 0
    assert complaints.lines == []
    report(path="fast" if fast else "stock", mutated_pdus=done)


def test_a_whole_node_under_mutated_conversations_keeps_only_images(tmp_path: Path) -> None:
    node = serving.prepare(
        tmp_path, study={"quiet_seconds": 0.2}, scp={"request_seconds": 2.0, "idle_seconds": 5.0, "requests_per_second": 0.0}
    )
    with serving.serving(node):
        assert node.process is not None
        attack(node.port, rounds(100, 2000), serving.CALLER)
        peers.wait_for(lambda: idle(node), "the end of all associations", 30, node.alive)
        start = vitals(node.process.pid)
        done = attack(node.port, rounds(300, 8000), serving.CALLER)
        peers.wait_for(lambda: idle(node), "the end of all associations", 30, node.alive)
        end = vitals(node.process.pid)
        no_growth(start, end, rounds(48_000, GROWTH))  # in a short run the caches of the node are still filling
        one = image(8, 1, 1)
        with Sender(node.port).associate(calling=serving.CALLER) as sender:
            assert sender.store(one.data, one.uid).status == 0
            sender.release()
    assert kept.strays(node) == []
    assert kept.serious(node) == []
    found = kept.rows(node)
    kept.check_bytes(node, found)
    assert one.digest in {row.digest for row in found}
    assert node.ask("audit", "verify")["broken_seq"] is None
    report(mutated_pdus=done, stored=len(found), memory_kib=(start.memory, end.memory), threads=(start.threads, end.threads))


def idle(node: serving.Node) -> bool:
    """No association is open and everything received is settled."""
    events = kept.events(node)
    return events["association-opened"] == events["association-closed"] and vitals(node.process.pid).threads < 12  # type: ignore[union-attr]
