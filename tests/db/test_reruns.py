"""Judging a closed study again: a revision of its own for what is new, the same job for what stands, all or nothing."""

import json

import pytest

from db.audit import verify
from db.store import Store
from domain.errors import PermanentError, TransientError
from domain.jobs import JobKind, Outcome
from domain.moves import JobState, StudyState
from tests.db.nouns import CALLER, Clock, answer, claimed, events, instance, model, settled

STUDY = "1.2.3"
WHO = "operator:somebody"


def answered(store: Store, clock: Clock, *names: str) -> None:
    settled(store, clock, *(model(name) for name in names))
    for _ in names:
        store.finish(claimed(store), answer())


def test_new_jobs_are_a_new_revision_whose_results_have_predecessors(store: Store, clock: Clock) -> None:
    answered(store, clock, "lung")
    (before,) = store.jobs(kind=JobKind.INFER)
    queued = store.rerun(STUDY, 1, 1, [model("lung")], {}, WHO)
    job = store.jobs(kind=JobKind.INFER)[0]
    assert queued == {"lung": job.job_id} and (job.revision, job.state) == (2, JobState.QUEUED)
    assert job.input_digest == before.input_digest
    assert [artifact.role for artifact in store.predecessors(job)] == ["sr"]
    study = store.study(STUDY)
    assert study is not None and (study.state, study.revision) == (StudyState.COMPLETE, 2)
    (row,) = store.audit(event="rerun")
    assert (row.actor, row.study_uid) == (WHO, STUDY)
    assert json.loads(row.details) == {"again": [], "anew": ["lung"], "revision": 2}
    assert verify(store).broken_seq is None


def test_what_stands_keeps_its_job_and_revision_and_goes_where_results_go_now(store: Store, clock: Clock) -> None:
    answered(store, clock, "lung", "nodule")
    jobs = {job.model_id: job for job in store.jobs(kind=JobKind.INFER)}
    again = {jobs["lung"].job_id: model("lung", destinations=("pacs", "cloud"))}
    assert store.rerun(STUDY, 1, 1, [], again, WHO) == {"lung": jobs["lung"].job_id}
    lung = store.job(jobs["lung"].job_id)
    assert lung is not None and (lung.state, lung.revision, lung.attempts) == (JobState.QUEUED, 1, 0)
    assert lung.destinations == ("pacs", "cloud")
    assert [row.actor for row in store.audit(event="revived")] == [WHO]
    store.finish(claimed(store), answer())
    waiting = store.jobs(kind=JobKind.DELIVER, state=JobState.QUEUED, parent_id=lung.job_id)
    assert {job.destination for job in waiting} == {"pacs", "cloud"}


def test_older_work_of_the_same_model_is_cancelled_and_that_of_others_goes_on(store: Store, clock: Clock) -> None:
    settled(store, clock, model("lung"), model("nodule"))
    running = claimed(store)
    other = next(job for job in store.jobs(state=JobState.QUEUED))
    store.rerun(STUDY, 1, 1, [model(running.model_id)], {}, WHO)
    states = {job.job_id: job.state for job in store.jobs(kind=JobKind.INFER)}
    assert states[running.job_id] is JobState.CANCELLED and states[other.job_id] is JobState.QUEUED
    with pytest.raises(PermanentError):
        store.finish(running, answer())


def test_late_images_after_a_rerun_open_the_revision_behind_it(store: Store, clock: Clock) -> None:
    answered(store, clock, "lung")
    store.rerun(STUDY, 1, 1, [model("lung")], {}, WHO)
    store.finish(claimed(store), answer(Outcome.NEGATIVE))
    settled(store, clock, model("lung"), number=2)
    job = store.jobs(kind=JobKind.INFER)[0]
    assert job.revision == 3 and store.predecessors(job) == store.artifacts(store.jobs(kind=JobKind.INFER)[1].job_id)


def test_a_study_that_changed_meanwhile_is_not_touched(store: Store, clock: Clock) -> None:
    answered(store, clock, "lung")
    before = events(store)
    for revision, seen in ((2, 1), (1, 2)):
        with pytest.raises(TransientError, match="have arrived just now"):
            store.rerun(STUDY, revision, seen, [model("lung")], {}, WHO)
    assert events(store) == before


def test_a_study_that_is_still_received_is_refused(store: Store) -> None:
    store.opened("a1", CALLER)
    store.received(instance(), 30, 600)
    with pytest.raises(PermanentError, match="is receiving cannot rerun"):
        store.rerun(STUDY, 1, 1, [model("lung")], {}, WHO)


def test_a_job_that_went_on_meanwhile_undoes_all_of_it(store: Store, clock: Clock) -> None:
    settled(store, clock, model("lung"), model("nodule"))
    running = claimed(store)
    before = events(store)
    with pytest.raises(PermanentError, match="cannot revive"):
        store.rerun(STUDY, 1, 1, [model("other")], {running.job_id: model("lung")}, WHO)
    study = store.study(STUDY)
    assert study is not None and study.revision == 1 and events(store) == before
