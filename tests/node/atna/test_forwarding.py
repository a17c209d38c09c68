"""The log on its way to a repository: every row at least once and in order, whatever breaks; nobody else waits."""

import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from db.store import Store
from domain.audit import Event
from domain.errors import OutOfSpaceError, TransientError
from domain.repositories import Repository
from node.atna import forwarding
from node.atna.forwarding import Forwarding
from node.config import Settings
from tests.db.conftest import clock, store
from tests.db.nouns import Clock, instance
from tests.node.atna.reading import checked, kept
from tests.node.configuration import settings
from tests.node.stage import AtOnce

__all__ = ["clock", "store"]  # fixtures

THERE = Repository("tls", "repository.example", 6514)


@dataclass
class Peer:
    """A repository, and every connection to it: what was sent on each, and how they fare."""

    sent: list[list[int]] = field(default_factory=list)
    packets: list[bytes] = field(default_factory=list)
    broken: bool = False
    refuses: bool = False
    reads_all: bool = True
    closed: int = 0

    def __call__(self, repository: Repository) -> "Wire":
        if self.refuses:
            raise TransientError(f"{repository.name} cannot be reached: connection refused")
        self.broken = False
        self.sent.append([])
        return Wire(repository, self)

    @property
    def got(self) -> list[int]:
        """The numbers of all rows that were sent, repetitions too."""
        return [seq for each in self.sent for seq in each]


@dataclass
class Wire:
    repository: Repository
    peer: Peer

    def send(self, packets: list[bytes]) -> None:
        self.check()
        self.peer.packets += packets
        self.peer.sent[-1] += [int(kept(checked(one.partition(b"\xef\xbb\xbf")[2]))["seq"]) for one in packets]

    def check(self) -> None:
        if self.peer.broken:
            raise TransientError("tls://repository.example:6514 cannot be reached: it closed the connection")

    def close(self) -> bool:
        self.peer.closed += 1
        return self.peer.reads_all and not self.peer.broken

    def cut(self) -> None:
        pass


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def node(store: Store, clock: Clock, peer: Peer, tmp_path: Path) -> Forwarding:
    return started(store, clock, peer, tmp_path)


def configured(folder: Path, repository: Repository | None = THERE) -> Settings:
    return replace(settings(folder), audit=repository)


def started(store: Store, clock: Clock, peer: Peer, folder: Path) -> Forwarding:
    return Forwarding(store, configured(folder), clock, lambda: None, peer, AtOnce())


def turns(node: Forwarding, most: int = 100) -> None:
    """As the loop does, a second later: until there is nothing more to do."""
    node._clock.forward(1)  # type: ignore[attr-defined]
    for _ in range(most):
        if not node.turn():
            return
    raise AssertionError("the loop never rests")


def note(store: Store, several: int = 1) -> None:
    for _ in range(several):
        store.note(Event.NODE_RELOADED, "node", {})


def test_rows_go_out_in_order_and_count_as_sent_when_the_connection_has_lived_on(
    node: Forwarding, store: Store, clock: Clock, peer: Peer
) -> None:
    note(store, 3)
    turns(node)
    assert peer.got == [1, 2, 3] and (store.forwarded().seq, store.forwarded().behind) == (0, 3)
    note(store)
    turns(node)
    clock.forward(5)
    turns(node)
    assert peer.got == [1, 2, 3, 4] and (store.forwarded().seq, store.forwarded().behind) == (4, 0)
    assert len(peer.sent) == 1, "one connection"


def test_a_message_has_the_time_and_the_severity_of_its_row(node: Forwarding, store: Store, peer: Peer) -> None:
    store.note(Event.NODE_STARTED, "node", {})
    store.note(Event.FAILED, "node", {"reason": "no"})
    turns(node)
    heads = [one.partition(b"\xef\xbb\xbf")[0].decode() for one in peer.packets]
    assert re.fullmatch(r"<85>1 2026-03-01T12:00:00\.000000Z \S+ ancilla \d+ DICOM\+RFC3881 - ", heads[0])
    assert heads[1].startswith("<83>1 ")


def test_what_a_broken_connection_may_have_swallowed_is_sent_again(
    node: Forwarding, store: Store, clock: Clock, peer: Peer
) -> None:
    note(store, 2)
    turns(node)
    clock.forward(5)
    turns(node)  # 1 and 2 have settled
    note(store, 2)
    turns(node)
    peer.broken = True
    note(store)
    turns(node)
    assert store.forwarded().words.endswith("it closed the connection")
    clock.forward(2)
    turns(node)
    assert peer.sent == [[1, 2, 3, 4], [3, 4, 5]]
    clock.forward(5)
    turns(node)
    found = store.forwarded()
    assert (found.seq, found.behind, found.words, found.since) == (5, 0, "", None)


def test_a_connection_that_breaks_in_silence_is_noticed_before_its_rows_count(
    node: Forwarding, store: Store, clock: Clock, peer: Peer
) -> None:
    note(store, 2)
    turns(node)
    peer.broken = True
    clock.forward(5)
    turns(node)
    assert store.forwarded().seq == 0
    clock.forward(2)
    turns(node)
    assert peer.sent == [[1, 2], [1, 2]]


def test_while_the_repository_is_away_nothing_is_lost_and_it_is_asked_less_and_less_often(
    node: Forwarding, store: Store, clock: Clock, peer: Peer
) -> None:
    peer.refuses = True
    note(store)
    tries, began = 0, clock.at + timedelta(seconds=1)
    for _ in range(200):
        before = node._attempts
        turns(node)
        tries += node._attempts - before
        note(store)
        clock.forward(1)
    assert 6 <= tries <= 14, "pauses that double, a minute at most"
    found = store.forwarded()
    assert (found.behind, found.since) == (201, began) and "connection refused" in found.words
    peer.refuses = False
    clock.forward(75)
    turns(node)
    assert peer.got == list(range(1, 202))


def test_a_restarted_node_goes_on_where_it_was_certain(store: Store, clock: Clock, peer: Peer, tmp_path: Path) -> None:
    first = started(store, clock, peer, tmp_path)
    note(store, 2)
    turns(first)
    clock.forward(5)
    turns(first)
    note(store, 2)
    turns(first)  # sent, then the process is killed
    turns(started(store, clock, peer, tmp_path))
    assert peer.sent == [[1, 2, 3, 4], [3, 4]]


def test_a_node_that_stops_sends_its_last_row_and_repeats_nothing(store: Store, clock: Clock, peer: Peer, tmp_path: Path) -> None:
    first = started(store, clock, peer, tmp_path)
    note(store, 2)
    turns(first)
    store.note(Event.NODE_STOPPED, "node", {})
    first.finish()
    assert store.forwarded().seq == 3 and peer.closed == 1
    note(store)
    turns(started(store, clock, peer, tmp_path))
    assert peer.sent == [[1, 2, 3], [4]]


def test_a_farewell_that_is_not_answered_proves_nothing(store: Store, clock: Clock, peer: Peer, tmp_path: Path) -> None:
    peer.reads_all = False
    first = started(store, clock, peer, tmp_path)
    note(store, 2)
    turns(first)
    first.finish()
    assert store.forwarded().seq == 0


def test_an_operator_has_rows_sent_again_while_the_node_runs(node: Forwarding, store: Store, clock: Clock, peer: Peer) -> None:
    note(store, 4)
    turns(node)
    clock.forward(5)
    turns(node)
    store.forward_again(2, "operator:eve")
    turns(node)
    assert peer.got == [1, 2, 3, 4, 3, 4, 5]
    assert [(row.event, row.details) for row in store.audit(after=4)] == [("audit-resent", '{"after":2,"instead_of":4}')]
    clock.forward(5)
    turns(node)
    assert store.forwarded().seq == 5


def test_what_an_operator_decides_while_rows_settle_is_not_undone(store: Store) -> None:
    note(store, 4)
    assert store.forwarded_to(3, before=0)
    store.forward_again(1, "operator:eve")
    assert not store.forwarded_to(4, before=3)
    assert store.forwarded().seq == 1


def test_another_repository_gets_what_follows_and_the_old_one_is_left_properly(
    node: Forwarding, store: Store, clock: Clock, peer: Peer, tmp_path: Path
) -> None:
    note(store, 2)
    turns(node)
    node.settings = configured(tmp_path, replace(THERE, host="new.example"))
    note(store)
    turns(node)
    assert peer.sent == [[1, 2], [3]] and peer.closed == 1
    node.settings = configured(tmp_path, None)
    note(store)
    turns(node)
    assert peer.sent == [[1, 2], [3]] and peer.closed == 2 and store.forwarded().seq == 3


def test_without_a_repository_nothing_is_read_and_nothing_is_kept(
    store: Store, clock: Clock, peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Forwarding(store, configured(tmp_path, None), clock, lambda: None, peer, AtOnce())
    monkeypatch.setattr(Store, "forwarded", None)
    note(store)
    assert not node.turn()
    node.finish()
    assert peer.sent == []


def test_a_long_log_goes_out_in_batches_between_which_the_loop_looks_around(
    node: Forwarding, store: Store, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "BATCH", 3)
    monkeypatch.setattr(forwarding, "BATCHES", 2)
    note(store, 20)
    assert node.turn() and peer.got == list(range(1, 7))
    for _ in range(4):
        turns(node)
    assert peer.got == list(range(1, 21))


def test_while_images_come_in_one_batch_a_second_goes_out(
    node: Forwarding, store: Store, clock: Clock, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "BATCH", 3)
    monkeypatch.setattr(Store, "is_behind", lambda _: True)
    note(store, 9)
    turns(node)
    assert peer.got == [1, 2, 3]
    assert not node.turn()
    turns(node)
    assert peer.got == [1, 2, 3, 4, 5, 6]


def test_a_short_transfer_of_images_is_over_before_its_rows_go_out(node: Forwarding, store: Store, peer: Peer) -> None:
    note(store)
    turns(node)
    note(store, 100)
    turns(node)
    assert peer.got == [1], "many rows at once: images have begun to come in"
    turns(node)
    assert peer.got == list(range(1, 102))


def test_images_that_come_for_hours_cannot_stop_the_forwarding(
    node: Forwarding, store: Store, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "BATCH", 10)
    turns(node)
    for _ in range(5):
        note(store, 30)
        turns(node)
    assert peer.got == list(range(1, 41)), "a second of rest, then one batch a second"


def test_an_image_whose_row_still_waits_is_not_disturbed(node: Forwarding, store: Store, peer: Peer) -> None:
    """The forwarding reads what is written, and never makes the receiver's rows be written for its sake."""
    note(store)

    def not_yet() -> None:
        raise TransientError("its bytes are not there yet")

    store._database.defer(lambda _: None, not_yet, 1)
    turns(node)
    assert peer.got == [1], "whoever asks for the latest rows would have met that error"
    store._database._deferred.clear()


def test_rows_about_images_go_out_as_transfers(node: Forwarding, store: Store, peer: Peer) -> None:
    store.received(instance(), 30, 600)
    turns(node)
    message = checked(peer.packets[0].partition(b"\xef\xbb\xbf")[2])
    assert kept(message)["event"] == "stored" and message.find("EventIdentification/EventID").get("csd-code") == "110104"


def test_a_clock_that_is_put_back_does_not_stop_anything(node: Forwarding, store: Store, clock: Clock, peer: Peer) -> None:
    note(store)
    turns(node)
    clock.forward(-3600)
    turns(node)
    assert store.forwarded().seq == 1
    peer.broken = True
    note(store)
    turns(node)
    clock.forward(-3600)
    turns(node)
    assert peer.sent == [[1], [2]]


def test_a_full_disk_of_the_database_only_delays(
    node: Forwarding, store: Store, clock: Clock, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OutOfSpaceError("the disk of the database is full")

    note(store)
    with monkeypatch.context() as broken:
        broken.setattr(Store, "offer", full)
        turns(node)
    assert peer.got == [] and store.forwarded().words == "the disk of the database is full"
    clock.forward(2)
    turns(node)
    assert peer.got == [1]
