"""However large the archive is, what is asked again and again reads a few rows: no statement walks through a whole table."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Connection, event

from bench.archives import CALLER, fill, study_uid
from db.engine import open_engine, open_store
from db.sql import Hot
from db.store import Store
from domain.audit import Event
from domain.destinations import Sent
from domain.evidence import Evidence, Member, Source
from domain.jobs import JobKind, NewJob
from domain.moves import JobState, StudyState
from domain.retention import WAIVABLE
from tests.db.nouns import Clock, answer, claimed, instance, model, new_store, settled

SMALL: Final = frozenset(
    {"audit_head", "alembic_version", "habits", "strangers", "admissions", "acceptances", "reports", "leftovers"}
)
GIVEN: Final = frozenset({"CONSTANT", "newest"})  # rows that were chosen already
STUDY: Final = study_uid(11)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive") / "data"
    fill(folder, 12, 4, datetime(2026, 3, 1, tzinfo=UTC))
    return folder


@pytest.fixture
def grown(archive: Path, clock: Clock) -> Iterator[Store]:
    store = open_store(archive / "ancilla.db", clock)
    yield store
    store.close()


@contextmanager
def each_connection(store: Store, begin: Callable[[Any], None], end: Callable[[Any], None]) -> Iterator[None]:
    """``begin`` for the driver's connections, those that are opened meanwhile too; ``end`` for all of them afterwards."""
    database = store._database
    raw: list[Any] = [connection.connection.driver_connection for connection in (database._durable, database._receiving)]

    def checked_out(connection: Any, *_: object) -> None:
        raw.append(connection)
        begin(connection)

    event.listen(database._engine, "checkout", checked_out)
    for connection in raw:
        begin(connection)
    yield
    event.remove(database._engine, "checkout", checked_out)
    for connection in raw:
        end(connection)


class Heard:
    """A cursor of the driver that keeps what it is asked (``db.sql`` works on it directly)."""

    def __init__(self, cursor: Any, said: list[str]) -> None:
        self._cursor, self._said = cursor, said

    def execute(self, words: str, values: object) -> Any:
        self._said.append(words)
        return self._cursor.execute(words, values)

    def executemany(self, words: str, values: object) -> Any:
        self._said.append(words)
        return self._cursor.executemany(words, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """Everything SQLite is asked meanwhile, with a question mark for each value: with values its plan could be a better one."""
    said: list[str] = []

    def heard(connection: object, cursor: object, words: str, *_: object) -> None:
        said.append(words)

    def begin(hot: Hot, connection: Connection) -> None:
        hot.dialect, hot.cursor = connection.dialect, Heard(connection.connection.cursor(), said)

    event.listen(store._database._engine, "before_cursor_execute", heard)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hot, "__init__", begin)
        yield said
    event.remove(store._database._engine, "before_cursor_execute", heard)


def steps(store: Store, look: Callable[[Store], object]) -> int:
    """Instructions of SQLite's machine that a look takes: the same number each time, unlike seconds."""
    taken = [0]

    def one() -> None:
        taken[0] += 1

    def count(raw: Any) -> None:
        raw.set_progress_handler(one, 1)

    with each_connection(store, count, lambda raw: raw.set_progress_handler(None, 0)):
        look(store)
    return taken[0]


def plans(file: Path, said: list[str]) -> list[tuple[str, str]]:
    """Each statement with each line of its plan."""
    connection = sqlite3.connect(file)
    asked = dict.fromkeys(words for words in said if words.split(None, 1)[0] in ("SELECT", "UPDATE", "DELETE", "INSERT"))
    found = [
        (words, line[3])
        for words in asked
        for line in connection.execute(f"EXPLAIN QUERY PLAN {words}", [None] * words.count("?"))
    ]
    connection.close()
    return found


def walks(file: Path, said: list[str]) -> list[tuple[str, str]]:
    """Statements that read a whole table or index of those that grow."""
    scanned = re.compile(r"SCAN (\w+)")
    return [
        (line, words) for words, line in plans(file, said) if (hit := scanned.match(line)) and hit.group(1) not in SMALL | GIVEN
    ]


def member(study: str, number: int) -> Member:
    return Member("1.2.840.10008.5.1.4.1.1.2", f"{study}.{number % 2 + 1}.{number}", f"{study}.{number % 2 + 1}")


LOOKS: Final[dict[str, Callable[[Store], object]]] = {
    "due": lambda store: store.due(),
    "next due": lambda store: store.next_due(),
    "leases that ran out": lambda store: store.expire(),
    "a job": lambda store: [store.claim(kind, "w", 60) for kind in JobKind],
    "a job of a destination": lambda store: store.claim(JobKind.DELIVER, "w", 60, "pacs"),
    "destinations that wait": lambda store: store.waiting_destinations(),
    "studies that arrive": lambda store: store.studies(50, StudyState.RECEIVING, latest=False),
    "start": lambda store: store.recover(30),
    "one study": lambda store: [store.study(STUDY), store.instances(STUDY), store.conflicts(STUDY), store.evidence(STUDY)],
    "how it stands": lambda store: [store.standing(STUDY), store.is_listed_complete(STUDY), store.last_caller(STUDY)],
    "its jobs": lambda store: [store.jobs(study_uid=STUDY), store.artifacts(1), store.statuses(2), store.job(1)],
    "its audit rows": lambda store: [list(store.audit(study_uid=STUDY)), store.newest(100, "sent", STUDY)],
    "its record": lambda store: list(store.audit(job_id=1)),
    "earlier answers": lambda store: [
        store.earlier(STUDY, "chest-ct-opacity"),
        store.predecessors(store.jobs(study_uid=STUDY)[0]),
    ],
    "what a destination took": lambda store: [store.delivered(STUDY, "pacs"), store.accepted(["1.2"])],
    "what is here": lambda store: store.present(["1.2", "1.3"]),
    "what a job reads": lambda store: store.input_digest(STUDY, 1, [f"{STUDY}.1"]),
    "rare events": lambda store: [store.newest(100, "failed"), store.latest((Event.NODE_STARTED, Event.NODE_RELOADED))],
    "what is owed": lambda store: store.owed_reports(),
    "what may be deleted": lambda store: [store.sight(STUDY, ["pacs"]), store.last_purge(STUDY), store.leftovers()],
    "whose UID it is": lambda store: store.find_study("1.2"),
    "how old the queue is": lambda store: store.waiting(),
    "what happened since": lambda store: store.since(store.mark()),
    "a page further down": lambda store: [
        store.studies(2, before=(datetime(2030, 1, 1, tzinfo=UTC), "")),
        store.jobs(limit=2, state=JobState.DONE, before=5),
        store.newest(2, "sent", before=50),
    ],
    "what nobody touched": lambda store: store.untouched(
        datetime(2030, 1, 1, tzinfo=UTC), (datetime(2020, 1, 1, tzinfo=UTC), ""), 2
    ),
}


@pytest.mark.parametrize("name", LOOKS)
def test_no_look_walks_through_a_table_that_grows(grown: Store, archive: Path, name: str) -> None:
    with statements(grown) as said:
        LOOKS[name](grown)
    assert any(words.startswith(("SELECT", "DELETE")) for words in said)
    assert walks(archive / "ancilla.db", said) == []


def test_nothing_that_happens_to_a_study_walks_through_a_table_that_grows(store: Store, clock: Clock, tmp_path: Path) -> None:
    members = tuple(Member("c", instance(number).header.sop_instance_uid) for number in range(2))
    with statements(store) as said:
        store.step_created(CALLER, Evidence(Source.MPPS, "9.1", "1.2.3", False))
        store.opened("a1", CALLER)
        for number in range(2):
            store.received(instance(number), 30, 600)
            store.received(instance(number), 30, 600)
        store.step_set(CALLER, Evidence(Source.MPPS, "9.1", "1.2.3", True, members))
        store.testify(CALLER, Evidence(Source.AVAILABILITY, "9.2", "1.2.3", True, members))
        store.commit(CALLER, Evidence(Source.COMMITMENT, "9.3", "", True, members))
        store.closed("a1", "released", 30)
        clock.forward(31)
        store.recognise("1.2.3", "f" * 64, "20260301")
        assert store.settle("1.2.3", 1, [model()])
        store.finish(claimed(store), answer())
        store.sent(claimed(store, JobKind.DELIVER), [Sent("2.25.2", 0)], commit=True)
        store.asked(claimed(store, JobKind.COMMIT), "9.4")
        store.rerun("1.2.3", 1, 2, [NewJob("lung", "e" * 64, ("1.2.3.1",), ("pacs",))], {}, "operator")
        store.revive(1, "operator")
        store.received(instance(5), 30, 600)
        store.closed("a1", "released", 30)
        clock.forward(31)
        assert store.settle("1.2.3", 3, [])
        for job in [*store.jobs(state=JobState.QUEUED), *store.jobs(state=JobState.RUNNING)]:
            store.cancel(job.job_id, "operator")
        store.reported(CALLER, "9.3")
        store.purge("1.2.3", "operator", waived=WAIVABLE)
        store.removed(store.leftovers())
    assert len(said) > 100
    assert walks(tmp_path / "ancilla.db", said) == []


def test_lists_take_the_newest_rows_from_an_index_and_sort_nothing(grown: Store, archive: Path) -> None:
    with statements(grown) as said:
        assert [job.job_id for job in grown.jobs(limit=2)] == [35, 34]
        assert len(grown.jobs(state=JobState.DONE, limit=3)) == 3
        assert [row.seq for row in grown.newest(2)] == [grown.head()[0] - 1, grown.head()[0]]
    lines = [line for _, line in plans(archive / "ancilla.db", said)]
    assert not [line for line in lines if line == "USE TEMP B-TREE FOR ORDER BY"]
    assert [line for line in lines if line.startswith("SEARCH jobs")] == ["SEARCH jobs USING INDEX jobs_state (state=?)"]


def test_the_oldest_studies_are_the_first_of_an_index(grown: Store, archive: Path) -> None:
    with statements(grown) as said:
        assert len(LOOKS["what nobody touched"](grown)) == 2  # type: ignore[arg-type]
    lines = [line for _, line in plans(archive / "ancilla.db", said)]
    assert any("USING INDEX studies_last_at (last_at>? AND last_at<?)" in line for line in lines)
    assert not any("TEMP B-TREE" in line for line in lines)


def test_the_newest_studies_are_the_last_of_an_index(grown: Store, archive: Path) -> None:
    with statements(grown) as said:
        assert [study.study_uid for study in grown.studies(2)] == [study_uid(11), study_uid(10)]
    lines = [line for _, line in plans(archive / "ancilla.db", said)]
    assert lines[:3] == ["CO-ROUTINE newest", "SCAN studies USING INDEX studies_last_at", "SCAN newest"]


def test_status_counts_what_an_index_says_without_reading_rows(grown: Store, archive: Path) -> None:
    with statements(grown) as said:
        assert grown.study_counts() == {StudyState.COMPLETE: 12}
        counts = grown.job_counts()
    refused = 1  # the sixth
    assert counts == {
        (JobKind.INFER, JobState.DONE): 12,
        (JobKind.DELIVER, JobState.DONE): 12 - refused,
        (JobKind.DELIVER, JobState.FAILED): refused,
        (JobKind.COMMIT, JobState.DONE): 12 - refused,
    }
    lines = [line for _, line in plans(archive / "ancilla.db", said)]
    assert len(lines) == 2
    assert all("USING COVERING INDEX" in line for line in lines)


def test_start_up_asks_how_far_packs_are_indexed_and_not_every_image(grown: Store, archive: Path) -> None:
    with statements(grown) as said:
        ends = grown.indexed()
    assert len(ends) == 12
    assert all((archive / "spool" / pack).stat().st_size == end for pack, end in ends.items())
    assert "instances" not in " ".join(said)


def test_the_end_of_a_pack_is_the_furthest_that_was_indexed(store: Store) -> None:
    for number in (3, 1, 3):
        store.received(instance(number), 30, 600)
    store.received_later(instance(2), 30, 600)
    assert store.indexed() == {"00/1.2.3/a1.pack": 400}


def test_a_database_of_before_learns_the_ends_of_its_packs(tmp_path: Path, clock: Clock) -> None:
    open_engine(tmp_path / "ancilla.db", "0010").dispose()
    raw = sqlite3.connect(tmp_path / "ancilla.db")
    with raw:
        raw.execute("INSERT INTO studies VALUES ('1.2', 'complete', 1, 0, 0, 0, 0)")
        rows = [("p", 0, 10), ("p", 10, 30), ("q", 0, 5)]
        for number, place in enumerate(rows):
            values = ("1.2", 1, "s", f"i{number}", "c", "t", "CT", 1, "d", *place, "CT", "ANCILLA", "192.0.2.1", "a", 7)
            raw.execute(f"INSERT INTO instances VALUES (NULL, {','.join('?' * len(values))})", values)
        raw.executemany("INSERT INTO pack_ends VALUES (?, ?)", [("p", 60), ("q", 3), ("r", 8)])  # r: nothing but duplicates
    raw.close()
    store = new_store(tmp_path, clock)
    assert store.indexed() == {"p": 60, "q": 5, "r": 8}
    store.close()


def test_an_old_statement_about_a_study_that_came_is_looked_at_once(store: Store, clock: Clock, tmp_path: Path) -> None:
    settled(store, clock, model())
    store.testify(CALLER, Evidence(Source.AVAILABILITY, "9.1", "1.2.3", True, (member("1.2.3", 1),)))
    store.testify(CALLER, Evidence(Source.AVAILABILITY, "9.2", "6.6.6", True, (member("6.6.6", 1),)))
    clock.forward(8 * 86_400)
    store.testify(CALLER, Evidence(Source.AVAILABILITY, "9.3", "1.2.3", True, (member("1.2.3", 2),)))
    raw = sqlite3.connect(tmp_path / "ancilla.db")
    assert raw.execute("SELECT subject, kept FROM statements ORDER BY subject").fetchall() == [("9.1", 1), ("9.3", 0)]
    assert raw.execute("SELECT count(*) FROM members").fetchone() == (2,)
    raw.close()


def test_the_next_job_is_found_in_as_many_steps_however_many_wait(store: Store, clock: Clock) -> None:
    def wait(first: int, last: int) -> None:
        for number in range(first, last):
            settled(store, clock, model(study=f"1.{number}"), study=f"1.{number}", number=number)

    wait(0, 3)
    few = steps(store, lambda store: store.waits(JobKind.INFER))
    wait(3, 40)
    many = steps(store, lambda store: store.waits(JobKind.INFER))
    assert 20 < many < few * 1.2


def test_jobs_that_wait_for_later_cost_no_step(store: Store, clock: Clock) -> None:
    def put_off(first: int, last: int) -> None:
        for number in range(first, last):
            settled(store, clock, model(study=f"1.{number}"), study=f"1.{number}", number=number)
            store.retry(claimed(store), "later", clock() + timedelta(days=1))

    put_off(0, 3)
    few = steps(store, lambda store: store.waits(JobKind.INFER))
    put_off(3, 30)
    assert steps(store, lambda store: store.waits(JobKind.INFER)) == few > 20


def test_images_are_counted_of_the_studies_that_are_asked_for_and_no_others(store: Store) -> None:
    def receive(first: int, last: int) -> None:
        for number in range(first, last):
            store.received(instance(number, f"1.{number}"), 30, 600)

    def look(store: Store) -> object:
        return store.studies(2, StudyState.RECEIVING)

    receive(0, 2)
    few = steps(store, look)
    receive(2, 40)
    each = (steps(store, look) - few) / 38
    one = steps(store, lambda store: store.study("1.1"))
    assert 0 < each < one / 3  # a study that is only sorted costs less than one whose images are counted


def test_a_receipt_takes_as_many_steps_in_a_larger_archive(store: Store) -> None:
    def receive(first: int, last: int) -> None:
        for number in range(first, last):
            store.received(instance(number, f"1.{number}", association=f"a{number}"), 30, 600)

    receive(0, 3)
    few = steps(store, lambda store: store.received(instance(1001, "7.1", association="b1"), 30, 600))
    receive(3, 60)
    many = steps(store, lambda store: store.received(instance(1002, "7.2", association="b2"), 30, 600))
    assert 100 < many < few * 1.1


def test_destinations_with_waiting_deliveries_are_named_once_however_many_wait(store: Store, clock: Clock) -> None:
    for number in range(3):
        settled(store, clock, model(study=f"1.{number}", destinations=("old", "pacs")), study=f"1.{number}", number=number)
        store.finish(claimed(store), answer())
    assert store.waiting_destinations() == ["old", "pacs"]


def test_the_newest_rows_of_a_kind_are_found_among_all_others(store: Store, clock: Clock) -> None:
    for number in range(3):
        settled(store, clock, model(study=f"1.{number}"), study=f"1.{number}", number=number)
    assert [row.study_uid for row in store.newest(2, "settled")] == ["1.1", "1.2"]
    assert [row.study_uid for row in store.newest(2, "stored")] == ["1.1", "1.2"]
    assert [row.event for row in store.newest(9, study_uid="1.0")] == ["stored", "settled", "queued"]
    assert [row.study_uid for row in store.newest(9, "settled", "1.0")] == ["1.0"]
    latest = store.latest((Event.SETTLED, Event.STORED, Event.PACKAGE_REFUSED))
    assert latest is not None
    assert (latest.event, latest.study_uid) == ("settled", "1.2")
    assert store.latest((Event.PACKAGE_REFUSED,)) is None
