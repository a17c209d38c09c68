"""Rows that follow their images: nobody who asks the store can tell, whatever goes wrong nothing is lost and the order stays."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from db import database, receiving
from db.audit import verify
from db.audit_rows import Transaction
from db.database import Database
from db.store import Store
from domain.errors import PermanentError, TransientError
from domain.instances import Instance, Receipt
from tests.db.nouns import CALLER, Clock, events, instance, new_store


@pytest.fixture(autouse=True)
def nobody_else_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The indexing thread waits so long that these tests, not it, decide when rows are written."""
    monkeypatch.setattr(database, "GATHER_SECONDS", 3600.0)


def raw(folder: Path) -> int:
    """Rows another process sees."""
    with sqlite3.connect(folder / "ancilla.db") as connection:
        return int(connection.execute("SELECT count(*) FROM instances").fetchone()[0])


def test_rows_wait_until_somebody_asks_and_are_then_all_there(tmp_path: Path, clock: Clock) -> None:
    store = new_store(tmp_path, clock)
    for number in range(30):
        store.received_later(instance(number), 30, 600)
    assert raw(tmp_path) == 0
    assert [each.header for each in store.instances("1.2.3")] == [instance(number).header for number in range(30)]
    assert raw(tmp_path) == 30
    store.close()


def test_who_looks_around_or_asks_for_what_no_image_changes_leaves_them_waiting(tmp_path: Path, clock: Clock) -> None:
    store = new_store(tmp_path, clock)
    store.received_later(instance(1), 0, 600)
    assert store.jobs() == [] and store.admissions() == [] and store.acceptances("pacs") == [] and store.expire() == []
    assert store.due(latest=False) == [] and store.studies(latest=False) == [] and store.next_due() is None
    assert store.study("1.2.3", latest=False) is None and store.instances("1.2.3", latest=False) == []
    assert store.is_behind() and raw(tmp_path) == 0
    assert [study.study_uid for study in store.due()] == ["1.2.3"]
    assert not store.is_behind() and raw(tmp_path) == 1
    store.close()


def test_a_study_that_looks_due_is_not_settled_when_an_image_of_it_waits(store: Store, clock: Clock) -> None:
    store.received(instance(1), 30, 600)
    clock.forward(31)
    store.received_later(instance(2), 30, 600)
    [study] = store.due(latest=False)
    assert not store.settle(study.study_uid, study.revision, [])
    assert store.due() == []


def test_together_they_leave_the_same_rows_as_one_by_one(tmp_path: Path, clock: Clock) -> None:
    several = [
        instance(1),
        instance(2, study="9.9"),
        instance(1),
        instance(1, content="x"),
        instance(3, association="a2"),
        instance(4),
    ]
    one, other = new_store(tmp_path / "one", clock), new_store(tmp_path / "other", clock)
    for each in several:
        one.received(each, 30, 600)
        other.received_later(each, 30, 600)
    assert one.studies() == other.studies()
    assert one.instances("1.2.3") == other.instances("1.2.3")
    assert one.conflicts("1.2.3") == other.conflicts("1.2.3")
    assert one.evidence("1.2.3") == other.evidence("1.2.3")
    assert one.indexed() == other.indexed()
    assert [(row.event, row.details, row.hash) for row in one.audit()] == [
        (row.event, row.details, row.hash) for row in other.audit()
    ]
    assert verify(other).broken_seq is None
    one.close()
    other.close()


def test_the_last_caller_decides_the_quiet_point_also_within_one_transaction(store: Store, clock: Clock) -> None:
    for number, (association, quiet) in enumerate([("a1", 30), ("a2", 90), ("a1", 30)]):
        store.received_later(instance(number, association=association), quiet, 600)
    study = store.study("1.2.3")
    assert study is not None and (study.quiet_at - clock.at).total_seconds() == 30


def test_a_late_image_opens_a_closed_study_once(store: Store, clock: Clock) -> None:
    store.received(instance(1), 0, 600)
    clock.forward(1)
    assert store.settle("1.2.3", 1, [])
    for number in (1, 2, 3):
        store.received_later(instance(number), 30, 600)
    study = store.study("1.2.3")
    assert study is not None and study.revision == 2
    assert events(store).count("reopened") == 1


def test_every_write_comes_after_what_was_received_before_it(store: Store) -> None:
    store.opened("a1", CALLER)
    store.received_later(instance(1), 30, 600)
    store.received_later(instance(1), 30, 600)
    store.closed("a1", "released", 30)
    assert events(store) == ["association-opened", "stored", "duplicate", "association-closed"]


def test_the_thread_writes_them_when_nobody_asks(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "GATHER_SECONDS", 0.0)
    written = threading.Event()
    whole = Database.catch_up

    def catch_up(self: Database) -> None:
        whole(self)
        written.set()

    monkeypatch.setattr(Database, "catch_up", catch_up)
    store = new_store(tmp_path, clock)
    store.received_later(instance(1), 30, 600)
    assert written.wait(20)
    assert raw(tmp_path) == 1
    store.close()


def test_closing_writes_what_waits(tmp_path: Path, clock: Clock) -> None:
    store = new_store(tmp_path, clock)
    store.received_later(instance(1), 30, 600)
    store.close()
    assert raw(tmp_path) == 1


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, number: int | None = None) -> Iterator[None]:
    """``index`` fails for one instance, or for all."""
    whole = receiving.index

    def index(tx: Transaction, given: Instance, quiet: float, longest: float) -> Receipt:
        receipt = whole(tx, given, quiet, longest)
        if number is None or given == instance(number):
            raise error
        return receipt

    with monkeypatch.context() as patch:
        patch.setattr(receiving, "index", index)
        yield


def test_a_database_that_cannot_be_written_keeps_them_waiting_and_readers_are_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.received_later(instance(1), 30, 600)
    with failing(monkeypatch, sqlite3.OperationalError("database or disk is full")), pytest.raises(TransientError):
        store.studies()
    assert len(store.instances("1.2.3")) == 1
    assert events(store) == ["stored"]


def test_one_row_that_the_database_refuses_does_not_keep_back_the_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        store.received_later(instance(number), 30, 600)
    with failing(monkeypatch, PermanentError("no"), number=2):
        found = [each.header for each in store.instances("1.2.3")]
    assert found == [instance(number).header for number in (0, 1, 3, 4)]
    assert verify(store).broken_seq is None


def test_no_more_than_a_bounded_number_waits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MOST_DEFERRED", 3)
    with failing(monkeypatch, sqlite3.OperationalError("locked")):
        for number in range(3):
            store.received_later(instance(number), 30, 600)
        with pytest.raises(TransientError):
            store.received_later(instance(3), 30, 600)
    store.received_later(instance(4), 30, 600)
    assert [each.header for each in store.instances("1.2.3")] == [instance(number).header for number in (0, 1, 2, 4)]


def test_many_threads_that_defer_read_and_write_lose_nothing(store: Store) -> None:
    def sender(association: int) -> None:
        for number in range(40):
            store.received_later(instance(100 * association + number, association=f"a{association}"), 30, 600)
            if number % 7 == association:
                store.refused(CALLER, f"a{association}", 0xA700, "words")

    threads = [threading.Thread(target=sender, args=(association,)) for association in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        store.studies()
    assert len(store.instances("1.2.3")) == 160
    assert verify(store).broken_seq is None


def test_a_digest_is_worked_out_once_before_anybody_reads(store: Store) -> None:
    asked: list[int] = []

    def digest() -> str:
        asked.append(1)
        return "d" * 64

    store.received_later(replace(instance(1), digest=""), 30, 600, digest)
    store.received_later(instance(2), 30, 600)
    assert not asked
    assert [each.digest for each in store.instances("1.2.3")] == ["d" * 64, instance(2).digest]
    assert len(asked) == 1
    assert verify(store).broken_seq is None


def test_bytes_that_cannot_be_read_now_keep_their_row_and_later_ones_waiting(store: Store) -> None:
    failures: list[Exception] = [TransientError("busy")]

    def digest() -> str:
        if failures:
            raise failures.pop()
        return "d" * 64

    store.received_later(replace(instance(1), digest=""), 30, 600, digest)
    store.received_later(instance(2), 30, 600)
    with pytest.raises(TransientError):
        store.studies()
    assert len(store.instances("1.2.3")) == 2


def test_bytes_that_are_gone_keep_back_their_own_row_only(store: Store) -> None:
    def digest() -> str:
        raise PermanentError("gone")

    store.received_later(replace(instance(1), digest=""), 30, 600, digest)
    store.received_later(instance(2), 30, 600)
    assert [each.header for each in store.instances("1.2.3")] == [instance(2).header]


def test_who_receives_faster_than_digests_are_worked_out_helps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MOST_WEIGHT", 250)
    asked: list[int] = []

    def digest(number: int) -> Callable[[], str]:
        return lambda: asked.append(number) or f"{number}" * 64  # type: ignore[func-returns-value]

    for number in range(6):  # each of 100 bytes
        store.received_later(replace(instance(number), digest=""), 30, 600, digest(number))
    assert asked == [0, 1, 2, 3]
    assert [each.digest[0] for each in store.instances("1.2.3")] == list("012345")


def test_an_association_is_opened_without_waiting_for_the_digests_of_others(store: Store) -> None:
    asked: list[int] = []

    def digest() -> str:
        asked.append(1)
        return "d" * 64

    store.received_later(replace(instance(1), digest=""), 30, 600, digest)
    store.opened("a2", CALLER)
    store.refused(CALLER, "a2", 0xA700, "words")
    store.rejected(CALLER, "words")
    assert not asked
    assert [each.digest for each in store.instances("1.2.3")] == ["d" * 64]
    assert verify(store).broken_seq is None
