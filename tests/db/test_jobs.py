"""Jobs: claimed once, finished by their holder only, and everything that follows in one transaction."""

from datetime import timedelta

import pytest

from db.store import Store
from domain.destinations import Sent
from domain.errors import LostLeaseError, PermanentError
from domain.jobs import Answer, JobKind, Outcome
from domain.moves import JobState
from tests.db.nouns import CALLER, Clock, answer, claimed, events, instance, model, settled


def state_of(store: Store, job_id: int) -> JobState:
    job = store.job(job_id)
    assert job is not None
    return job.state


def delivery(store: Store, clock: Clock) -> int:
    """The id of a queued delivery."""
    settled(store, clock, model())
    store.finish(claimed(store), answer())
    return store.jobs(kind=JobKind.DELIVER)[0].job_id


def test_a_claimed_job_has_a_lease_a_token_and_a_start(store: Store, clock: Clock) -> None:
    settled(store, clock, model())
    job = claimed(store)
    assert (job.state, job.attempts, job.token) == (JobState.RUNNING, 1, 1)
    assert job.lease_until == clock.at + timedelta(seconds=60)
    assert job.started_at == clock.at
    assert store.claim(JobKind.INFER, "worker-2", 60) is None


def test_the_job_that_waited_longest_is_claimed_first(store: Store, clock: Clock) -> None:
    settled(store, clock, model("first"), model("second"))
    assert [claimed(store).model_id, claimed(store).model_id] == ["first", "second"]


def test_a_retried_job_waits_for_its_time_and_keeps_its_first_start(store: Store, clock: Clock) -> None:
    settled(store, clock, model())
    began = clock.at
    store.retry(claimed(store), "out of memory", clock.at + timedelta(seconds=10))
    assert store.claim(JobKind.INFER, "w", 60) is None
    clock.forward(10)
    again = claimed(store)
    assert (again.attempts, again.token, again.started_at, again.reason) == (2, 2, began, "out of memory")


def test_deliveries_can_be_claimed_by_destination(store: Store, clock: Clock) -> None:
    settled(store, clock, model(destinations=("pacs", "archive")))
    store.finish(claimed(store), answer())
    job = store.claim(JobKind.DELIVER, "w", 60, destination="archive")
    assert job is not None
    assert job.destination == "archive"
    assert store.claim(JobKind.DELIVER, "w", 60, destination="archive") is None


@pytest.mark.parametrize(
    ("outcome", "state", "event"),
    [
        (Outcome.POSITIVE, JobState.DONE, "finished"),
        (Outcome.NEGATIVE, JobState.DONE, "finished"),
        (Outcome.NOT_ANALYSED, JobState.DECLINED, "declined"),
        (Outcome.FAILED, JobState.FAILED, "failed"),
    ],
)
def test_every_answer_ends_the_job_and_goes_to_every_destination(
    store: Store, clock: Clock, outcome: Outcome, state: JobState, event: str
) -> None:
    settled(store, clock, model(destinations=("pacs", "archive")))
    job = claimed(store)
    store.finish(job, answer(outcome))
    ended = store.job(job.job_id)
    assert ended is not None
    assert (ended.state, ended.outcome, ended.summary, ended.timings) == (state, outcome, "Two findings.", {"load": 0.25})
    assert ended.finished_at == clock.at
    assert ended.lease_until is None
    assert store.artifacts(job.job_id) == list(answer(outcome).artifacts)
    deliveries = store.jobs(kind=JobKind.DELIVER, parent_id=job.job_id)
    assert {each.destination for each in deliveries} == {"pacs", "archive"}
    assert events(store)[-3:] == [event, "queued", "queued"]


def test_a_model_without_destinations_delivers_nothing(store: Store, clock: Clock) -> None:
    settled(store, clock, model(destinations=()))
    store.finish(claimed(store), answer())
    assert store.jobs(kind=JobKind.DELIVER) == []


def test_a_zombie_with_an_old_token_changes_nothing(store: Store, clock: Clock) -> None:
    settled(store, clock, model())
    zombie = claimed(store)
    clock.forward(61)
    [expired] = store.expire()
    assert (expired.state, expired.job_id) == (JobState.QUEUED, zombie.job_id)
    holder = claimed(store)
    before = list(store.audit())
    for act in (
        lambda: store.finish(zombie, answer()),
        lambda: store.renew(zombie, 60),
        lambda: store.fail(zombie, "x"),
        lambda: store.retry(zombie, "x", clock.at),
    ):
        with pytest.raises(LostLeaseError):
            act()
    assert list(store.audit()) == before
    assert store.job(holder.job_id) == holder
    assert store.artifacts(zombie.job_id) == []
    store.finish(holder, answer())


def test_a_renewed_lease_does_not_expire(store: Store, clock: Clock) -> None:
    settled(store, clock, model())
    job = claimed(store)
    clock.forward(50)
    store.renew(job, 60)
    clock.forward(50)
    assert store.expire() == []
    clock.forward(11)
    assert [each.job_id for each in store.expire()] == [job.job_id]
    assert events(store)[-1] == "expired"


def test_a_cancelled_running_job_cannot_be_finished_any_more(store: Store, clock: Clock) -> None:
    settled(store, clock, model())
    job = claimed(store)
    store.cancel(job.job_id, "operator:root")
    with pytest.raises(LostLeaseError):
        store.finish(job, answer())
    assert state_of(store, job.job_id) is JobState.CANCELLED
    assert next(store.audit(event="cancelled")).actor == "operator:root"


def test_a_failed_job_that_is_revived_starts_with_all_attempts_and_its_first_start(store: Store, clock: Clock) -> None:
    settled(store, clock, model())
    job = claimed(store)
    store.fail(job, "the model is broken")
    assert state_of(store, job.job_id) is JobState.FAILED
    clock.forward(100)
    store.revive(job.job_id, "operator:root")
    again = claimed(store)
    assert (again.attempts, again.token, again.started_at, again.finished_at) == (1, 2, job.started_at, None)


def test_what_is_not_in_the_table_of_moves_cannot_be_done(store: Store, clock: Clock) -> None:
    settled(store, clock, model())
    [queued] = store.jobs()
    for act in (
        lambda: store.revive(queued.job_id, "operator:root"),
        lambda: store.finish(queued, answer()),
        lambda: store.fail(queued, "x"),
        lambda: store.cancel(999, "operator:root"),
    ):
        with pytest.raises(PermanentError) as error:
            act()
        assert not isinstance(error.value, LostLeaseError)
    assert store.job(queued.job_id) == queued


def test_running_again_replaces_artifacts_and_waiting_deliveries(store: Store, clock: Clock) -> None:
    settled(store, clock, model())
    job = claimed(store)
    store.finish(job, answer(name="sr"))
    store.revive(job.job_id, "operator:root")
    store.finish(claimed(store), answer(name="seg"))
    assert [each.role for each in store.artifacts(job.job_id)] == ["seg"]
    states = [each.state for each in store.jobs(kind=JobKind.DELIVER)]
    assert states == [JobState.QUEUED, JobState.CANCELLED]


def test_a_delivery_whose_instances_were_all_accepted_is_done(store: Store, clock: Clock) -> None:
    delivery(store, clock)
    job = claimed(store, JobKind.DELIVER)
    results = [Sent("2.25.2", 0x0000), Sent("2.25.3", 0xB000, "coerced")]
    store.sent(job, results)
    assert state_of(store, job.job_id) is JobState.DONE
    assert store.statuses(job.job_id) == results
    assert events(store)[-1] == "sent"


def test_a_refused_instance_fails_the_delivery_and_says_which_kind_and_why(store: Store, clock: Clock) -> None:
    delivery(store, clock)
    job = claimed(store, JobKind.DELIVER)
    store.sent(job, [Sent("2.25.2", 0xA900, "Doe^Jane does not match")])
    failed = store.job(job.job_id)
    assert failed is not None
    assert failed.state is JobState.FAILED
    assert failed.reason == "pacs refused 1.2.840.10008.5.1.4.1.1.88.33 with 0xA900"
    assert not any("Doe" in row.details for row in store.audit())
    store.revive(job.job_id, "operator:root")
    store.sent(claimed(store, JobKind.DELIVER), [Sent("2.25.2", 0)])
    assert state_of(store, job.job_id) is JobState.DONE
    assert [each.status for each in store.statuses(job.job_id)] == [0xA900, 0]


def test_infer_and_deliver_jobs_end_in_their_own_way_only(store: Store, clock: Clock) -> None:
    settled(store, clock, model())
    infer = claimed(store)
    with pytest.raises(PermanentError):
        store.sent(infer, [])
    store.finish(infer, answer())
    with pytest.raises(PermanentError):
        store.finish(claimed(store, JobKind.DELIVER), answer())


def test_predecessors_are_the_newest_answer_before_whatever_it_said(store: Store, clock: Clock) -> None:
    for number, outcome in ((1, Outcome.POSITIVE), (2, Outcome.NEGATIVE), (3, Outcome.FAILED)):
        settled(store, clock, model(), number=number)
        store.finish(claimed(store), answer(outcome, name=f"sr{number}"))
    settled(store, clock, model(), number=4)
    job = claimed(store)
    assert job.revision == 4
    assert [each.role for each in store.predecessors(job)] == ["sr3"]
    first = next(each for each in store.jobs(kind=JobKind.INFER) if each.revision == 1)
    assert store.predecessors(first) == []


def test_a_done_job_without_results_is_no_predecessor(store: Store, clock: Clock) -> None:
    settled(store, clock, model())
    store.finish(claimed(store), answer())
    settled(store, clock, model(), number=2)
    store.finish(claimed(store), Answer(Outcome.NEGATIVE, "Nothing.", ()))
    settled(store, clock, model(), number=3)
    assert [each.role for each in store.predecessors(claimed(store))] == ["sr"]


def test_start_up_closes_what_the_last_run_left_open(store: Store, clock: Clock) -> None:
    settled(store, clock, model())
    job = claimed(store)
    store.opened("late", CALLER)
    store.received(instance(5, "9.9.9", association="late"), 30, 600)
    clock.forward(100)
    recovery = store.recover(quiet_seconds=20)
    assert (recovery.associations, recovery.jobs) == (1, 1)
    assert state_of(store, job.job_id) is JobState.QUEUED
    assert store.due() == []
    clock.forward(20)
    assert [study.study_uid for study in store.due()] == ["9.9.9"]
    assert '"how":"lost"' in next(store.audit(event="association-closed", actor="node")).details
    assert store.recover().jobs == 0
