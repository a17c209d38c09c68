"""Figures that cost the same however large the archive is, and counters that count every row once."""

from pathlib import Path

import pytest

from db.store import Store
from domain.audit import Event
from domain.destinations import Sent
from domain.figures import Mark
from domain.jobs import Job, JobKind, Outcome
from domain.moves import JobState, StudyState
from tests.db.nouns import Clock, answer, claimed, instance, model, new_store, settled


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Store:
    return new_store(tmp_path, clock)


def answered(store: Store, clock: Clock, study: str, number: int, outcome: Outcome = Outcome.POSITIVE) -> Job:
    """A study with its answer; the delivery is claimed."""
    settled(store, clock, model(study=study), study=study, number=number)
    clock.forward(4)
    store.finish(claimed(store), answer(outcome))
    return claimed(store, JobKind.DELIVER)


def deliver(store: Store, job: Job, status: int = 0) -> None:
    store.sent(job, [Sent("2.25.2", status)])


def test_a_study_is_found_by_its_uid_that_of_an_image_and_of_a_result(store: Store, clock: Clock) -> None:
    deliver(store, answered(store, clock, "1.2.3", 1))
    for uid in ("1.2.3", "1.2.826.0.1.1", "2.25.2"):
        assert store.find_study(uid) == "1.2.3"
    assert store.find_study("1.2") == ""


def test_contacts_tell_of_success_failure_and_what_waits(store: Store, clock: Clock) -> None:
    assert store.contacts() == {}
    deliver(store, answered(store, clock, "1.2.3", 1))
    good = clock()
    deliver(store, answered(store, clock, "1.2.4", 2), 0xC000)
    bad = clock()
    job = answered(store, clock, "1.2.5", 3)
    store.retry(job, "connection refused", clock())
    found = store.contacts()["pacs"]
    assert (found.sent_at, found.failed_at) == (good, bad)
    assert (found.waiting, found.retrying, found.why, found.waiting_since) == (1, 1, "connection refused", job.created_at)
    store.cancel(job.job_id, "operator")
    assert store.contacts()["pacs"].waiting == 0
    assert "0xC000" in store.contacts()["pacs"].why


def test_the_oldest_that_waits_is_known_by_kind(store: Store, clock: Clock) -> None:
    assert (store.waiting().jobs, store.waiting().studies) == ({}, None)
    settled(store, clock, model())
    queued = clock()
    clock.forward(100)
    settled(store, clock, model(study="1.2.4"), study="1.2.4", number=2)
    store.received(instance(3, "1.2.9"), 30, 600)
    assert store.waiting().jobs == {JobKind.INFER: queued}
    assert store.waiting().studies == clock()


def test_outcomes_are_counted_by_model(store: Store, clock: Clock) -> None:
    for number, outcome in enumerate((Outcome.POSITIVE, Outcome.NEGATIVE, Outcome.POSITIVE, Outcome.NOT_ANALYSED)):
        answered(store, clock, f"1.2.{number}", number, outcome)
    found = store.recent_outcomes()
    assert found == {("lung", Outcome.POSITIVE): 2, ("lung", Outcome.NEGATIVE): 1, ("lung", Outcome.NOT_ANALYSED): 1}


def test_an_increment_has_what_came_behind_the_mark_and_nothing_twice(store: Store, clock: Clock) -> None:
    deliver(store, answered(store, clock, "1.2.3", 1))
    mark = store.mark()
    assert store.since(mark).events == {}
    deliver(store, answered(store, clock, "1.2.4", 2, Outcome.NEGATIVE))
    deliver(store, answered(store, clock, "1.2.5", 3), 0xC000)
    store.note(Event.REFUSED, "CT01", {})
    found = store.since(mark)
    assert found.images == {"CT01": (2, 200)}
    assert found.answers == {("lung", Outcome.NEGATIVE): 1, ("lung", Outcome.POSITIVE): 1}
    assert found.deliveries == {(JobKind.DELIVER, "pacs", "sent"): 1, (JobKind.DELIVER, "pacs", "failed"): 1}
    assert (found.events["refused"], found.events["settled"], "stored" in found.events) == (1, 2, False)
    again = store.since(found.mark)
    assert (again.images, again.events, again.answers, again.deliveries, again.delays) == ({}, {}, {}, {}, ())
    assert store.since(Mark(0, 0)).images == {"CT01": (3, 300)}


def test_the_delay_is_from_the_last_image_of_that_revision_to_the_answer(store: Store, clock: Clock) -> None:
    mark = store.mark()
    job = answered(store, clock, "1.2.3", 1)
    last = max(one.received_at for one in store.instances("1.2.3"))
    deliver(store, job)
    assert store.since(mark).delays == (("pacs", (clock() - last).total_seconds()),)


def test_what_an_operator_started_again_says_nothing_about_speed(store: Store, clock: Clock) -> None:
    job = answered(store, clock, "1.2.3", 1)
    deliver(store, job)
    mark = store.mark()
    clock.forward(86_400)
    store.revive(job.job_id, "operator")
    deliver(store, claimed(store, JobKind.DELIVER))
    found = store.since(mark)
    assert found.deliveries == {(JobKind.DELIVER, "pacs", "sent"): 1}
    assert found.delays == ()


def test_lists_go_on_behind_a_key(store: Store, clock: Clock) -> None:
    for number in range(5):
        store.received(instance(number, f"1.2.{number}"), 30, 600)
        clock.forward(number % 2)  # some at the same moment
    seen = [store.studies(1)[0]]
    while more := store.studies(2, before=(seen[-1].last_at, seen[-1].study_uid)):
        seen += more
    assert seen == store.studies() and len(seen) == 5
    assert [one.study_uid for one in store.studies(2, StudyState.RECEIVING, before=(seen[1].last_at, seen[1].study_uid))] == [
        one.study_uid for one in seen[2:4]
    ]
    rows = store.newest(10)
    assert [row.seq for row in store.newest(2, before=4)] == [2, 3] and rows[-1].seq == 5
    settled(store, clock, model(), model("other"), study="7.7", number=9)
    assert [job.job_id for job in store.jobs(state=JobState.QUEUED, before=2)] == [1]
