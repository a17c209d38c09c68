"""When a study is complete, and what closing it does."""

import hashlib

from db.store import Store
from domain.jobs import JobKind, Outcome
from domain.moves import JobState, StudyState
from tests.db.nouns import CALLER, Clock, answer, claimed, events, instance, model, settled


def due(store: Store) -> list[str]:
    return [study.study_uid for study in store.due()]


def test_a_study_is_due_when_it_is_quiet(store: Store, clock: Clock) -> None:
    store.received(instance(), 30, 600)
    clock.forward(29.9)
    assert due(store) == []
    clock.forward(0.1)
    assert due(store) == ["1.2.3"]


def test_a_quiet_study_waits_for_the_association_that_sent_to_it(store: Store, clock: Clock) -> None:
    store.opened("a1", CALLER)
    store.received(instance(), 30, 600)
    clock.forward(100)
    assert due(store) == []
    store.closed("a1", "released", 30)
    assert due(store) == []
    clock.forward(30)
    assert due(store) == ["1.2.3"]


def test_an_association_that_sent_only_copies_is_waited_for_too(store: Store, clock: Clock) -> None:
    store.received(instance(association="a0"), 30, 600)
    store.opened("a1", CALLER)
    store.received(instance(association="a1"), 30, 600)
    clock.forward(100)
    assert due(store) == []


def test_an_open_association_that_sent_to_other_studies_is_not_waited_for(store: Store, clock: Clock) -> None:
    store.opened("a1", CALLER)
    store.received(instance(1, "9.9.9", association="a1"), 30, 600)
    store.received(instance(2, "1.2.3", association="a2"), 30, 600)
    clock.forward(31)
    assert due(store) == ["1.2.3"]


def test_the_deadline_counts_even_while_images_come(store: Store, clock: Clock) -> None:
    store.opened("a1", CALLER)
    for number in range(21):
        store.received(instance(number), 30, 600)
        clock.forward(30)
    assert due(store) == ["1.2.3"]
    assert store.settle("1.2.3", 1, [model()])
    assert '"by":"deadline"' in next(row.details for row in store.audit(event="settled"))


def test_settling_closes_the_study_and_queues_its_jobs(store: Store, clock: Clock) -> None:
    settled(store, clock, model("lung"), model("nodule"))
    study = store.study("1.2.3")
    assert study is not None
    assert study.state is StudyState.COMPLETE
    queued = store.jobs(state=JobState.QUEUED)
    assert [job.model_id for job in queued] == ["nodule", "lung"]
    assert queued[0].series_uids == ("1.2.3.1",)
    assert queued[0].destinations == ("pacs",)
    assert queued[0].input_digest == hashlib.sha256(instance().digest.encode()).hexdigest()
    assert events(store)[-3:] == ["settled", "queued", "queued"]


def test_a_study_that_no_rule_wanted_is_closed_and_that_is_in_the_log(store: Store, clock: Clock) -> None:
    settled(store, clock)
    assert store.jobs() == []
    assert events(store)[-2:] == ["settled", "unmatched"]


def test_what_arrived_since_keeps_the_study_open(store: Store, clock: Clock) -> None:
    store.received(instance(1), 30, 600)
    clock.forward(31)
    [study] = store.due()
    store.received(instance(2), 30, 600)
    assert not store.settle(study.study_uid, study.revision, [model()])
    assert store.jobs() == []


def test_what_arrived_since_behind_the_deadline_is_noticed_by_the_count(store: Store, clock: Clock) -> None:
    store.received(instance(1), 30, 600)
    clock.forward(601)
    [study] = store.due()
    store.received(instance(2), 30, 600)
    assert not store.settle(study.study_uid, study.revision, [model()], seen=study.instances)
    assert store.settle(study.study_uid, study.revision, [model()], seen=2)


def test_a_study_settles_once_and_only_in_its_own_revision(store: Store, clock: Clock) -> None:
    settled(store, clock, model())
    assert not store.settle("1.2.3", 1, [model()])
    store.received(instance(2), 30, 600)
    clock.forward(31)
    assert not store.settle("1.2.3", 1, [model()])
    assert not store.settle("8.8.8", 1, [model()])
    assert len(store.jobs()) == 1


def test_a_queued_job_of_an_older_revision_is_superseded_and_a_running_one_is_not(store: Store, clock: Clock) -> None:
    settled(store, clock, model("lung"), model("nodule"))
    running = claimed(store)
    settled(store, clock, model("lung"), model("nodule"), number=2)
    states = {(job.model_id, job.revision): (job.state, job.reason) for job in store.jobs()}
    assert states["lung", 1] == (JobState.RUNNING, "")
    assert states["nodule", 1] == (JobState.CANCELLED, "superseded by revision 2")
    assert states["lung", 2][0] is states["nodule", 2][0] is JobState.QUEUED
    store.finish(running, answer())


def test_a_revision_that_brings_nothing_new_for_a_model_makes_no_job(store: Store, clock: Clock) -> None:
    settled(store, clock, model("lung", series="1"))
    store.finish(claimed(store), answer())
    store.received(instance(2, series="2"), 30, 600)
    clock.forward(31)
    assert store.settle("1.2.3", 2, [model("lung", series="1"), model("other", series="2")])
    assert [(job.model_id, job.revision) for job in store.jobs(kind=JobKind.INFER)] == [("other", 2), ("lung", 1)]
    assert "unchanged" in events(store)


def test_equal_input_is_tried_again_after_a_failure(store: Store, clock: Clock) -> None:
    settled(store, clock, model("lung", series="1"))
    store.finish(claimed(store), answer(Outcome.FAILED))
    store.received(instance(2, series="2"), 30, 600)
    clock.forward(31)
    assert store.settle("1.2.3", 2, [model("lung", series="1")])
    assert [job.revision for job in store.jobs(kind=JobKind.INFER)] == [2, 1]


def test_studies_are_listed_the_newest_first(store: Store, clock: Clock) -> None:
    for number in range(4):
        store.received(instance(number, f"1.2.{number}"), 30, 600)
        clock.forward(1)
    assert [study.study_uid for study in store.studies(limit=3)] == ["1.2.3", "1.2.2", "1.2.1"]
    assert store.studies(state=StudyState.COMPLETE) == []
    assert store.study("7.7") is None


def test_instances_can_be_asked_for_by_series(store: Store) -> None:
    for number in (1, 2, 3):
        store.received(instance(number, series=str(number)), 30, 600)
    wanted = store.instances("1.2.3", series_uids=["1.2.3.1", "1.2.3.3"])
    assert [each.header.series_uid for each in wanted] == ["1.2.3.1", "1.2.3.3"]
    assert store.instances("1.2.3", series_uids=[]) == []


def test_the_evidence_tells_who_sent_and_how_it_ended(store: Store, clock: Clock) -> None:
    store.opened("a1", CALLER)
    store.received(instance(), 30, 600)
    [row] = store.evidence("1.2.3")
    assert (row.kind, row.subject, row.details, row.revision) == ("association", "a1", '{"how":"open"}', 1)
    clock.forward(5)
    store.closed("a1", "aborted", 30)
    [row] = store.evidence("1.2.3")
    assert (row.details, row.at) == ('{"how":"aborted"}', clock.at)
