"""What runs in shadow is answered, kept and audited, and nothing follows from it for anybody else."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from db.store import Store
from domain.errors import PermanentError
from domain.jobs import JobKind, NewJob, Outcome
from domain.moves import JobState
from tests.db.nouns import CALLER, Clock, answer, claimed, events, instance, model, settled
from tests.db.test_growth import plans, statements, walks

STUDY = "1.2.3"
WHO = "operator:somebody"
NEW = "e" * 64


def shadow(name: str = "lung", study: str = STUDY) -> NewJob:
    return replace(model(name, study=study), package_digest=NEW, shadow=True)


def both(store: Store, clock: Clock, study: str = STUDY) -> None:
    """One study answered by a model and by its next version in shadow; the live answer is not delivered yet."""
    settled(store, clock, model(study=study), shadow(study=study), study=study)
    store.finish(claimed(store), answer(Outcome.NEGATIVE))
    store.finish(claimed(store), answer(Outcome.POSITIVE))


def test_an_answer_in_shadow_is_kept_and_goes_nowhere(store: Store, clock: Clock) -> None:
    settled(store, clock, shadow())
    job = claimed(store)
    assert job.shadow and job.destinations == ("pacs",)
    store.finish(job, answer())
    assert store.jobs(kind=JobKind.DELIVER) == [] and len(store.artifacts(job.job_id)) == 1
    (row,) = store.audit(event="withheld")
    assert json.loads(row.details) == {"destinations": ["pacs"], "model": "lung", "outcome": "positive"}
    assert json.loads(next(iter(store.audit(event="queued"))).details)["shadow"] is True


@pytest.mark.parametrize("outcome", [Outcome.NOT_ANALYSED, Outcome.FAILED])
def test_neither_does_one_that_declines_or_fails(store: Store, clock: Clock, outcome: Outcome) -> None:
    settled(store, clock, shadow())
    store.finish(claimed(store), answer(outcome))
    assert store.jobs(kind=JobKind.DELIVER) == [] and "withheld" in events(store)


def test_it_does_not_keep_a_study_from_being_purged_and_the_live_answer_does(store: Store, clock: Clock) -> None:
    both(store, clock)
    delivery = claimed(store, JobKind.DELIVER)
    store.fail(delivery, "nobody answers")
    (keep,) = store.sight(STUDY).keeps
    assert keep.words == f"the answer of lung was not delivered to pacs (job {delivery.job_id} failed: nobody answers)"
    settled(store, clock, shadow(study="4.5.6"), study="4.5.6", number=2)
    assert [keep.ground.value for keep in store.sight("4.5.6").keeps] == ["working"]
    store.finish(claimed(store), answer())
    assert store.sight("4.5.6").keeps == ()


def test_reports_name_live_ones_as_predecessors_and_compare_with_live_ones(store: Store, clock: Clock) -> None:
    both(store, clock)
    store.recognise(STUDY, "mark", "20260101")
    settled(store, clock, study="4.5.6", number=2)
    store.recognise("4.5.6", "mark", "20260202")
    live = store.jobs(kind=JobKind.INFER, study_uid=STUDY)[-1]
    assert store.earlier("4.5.6", "lung") == (STUDY, store.artifacts(live.job_id))
    for job in store.jobs(kind=JobKind.INFER):
        assert store.predecessors(replace(job, revision=2)) == store.artifacts(live.job_id)


@pytest.mark.parametrize(("live", "queued"), [(True, 1), (False, 0)])
def test_what_was_only_kept_is_no_answer_of_a_live_model(store: Store, clock: Clock, live: bool, queued: int) -> None:
    settled(store, clock, shadow())
    store.finish(claimed(store), answer())
    store.opened("late", CALLER)
    store.received(instance(2, series="2", association="late"), 30, 600)
    store.closed("late", "released", 30)
    clock.forward(31)
    assert store.settle(STUDY, 2, [replace(shadow(), shadow=not live)])  # its series is the same as before
    assert len(store.jobs(state=JobState.QUEUED)) == queued
    assert events(store).count("unchanged") == 1 - queued


def test_a_rerun_lets_go_what_was_kept_and_says_so(store: Store, clock: Clock) -> None:
    settled(store, clock, shadow())
    job = claimed(store)
    store.finish(job, answer())
    assert store.rerun(STUDY, 1, 1, [], {job.job_id: replace(shadow(), shadow=False)}, WHO) == {"lung": job.job_id}
    store.finish(claimed(store), answer())
    assert [delivery.destination for delivery in store.jobs(kind=JobKind.DELIVER)] == ["pacs"]
    (row,) = store.audit(event="revived")
    assert json.loads(row.details)["shadow"] == "off"


def test_judging_again_in_shadow_cancels_nothing_live(store: Store, clock: Clock) -> None:
    settled(store, clock, model(), shadow())
    assert store.rerun(STUDY, 1, 1, [shadow()], {}, WHO).keys() == {"lung (shadow)"}
    found = [(job.shadow, job.state) for job in store.jobs(kind=JobKind.INFER)]
    assert found == [(True, JobState.QUEUED), (True, JobState.CANCELLED), (False, JobState.QUEUED)]


def test_a_delivery_of_a_model_that_runs_in_shadow_now_is_withheld(store: Store, clock: Clock) -> None:
    settled(store, clock, model())
    store.finish(claimed(store), answer())
    delivery = claimed(store, JobKind.DELIVER)
    store.withhold(delivery)
    found = store.job(delivery.job_id)
    assert found is not None and (found.state, found.reason) == (JobState.CANCELLED, "its model runs in shadow now")
    assert [row.job_id for row in store.audit(event="withheld")] == [delivery.job_id]
    assert store.sight(STUDY).keeps == ()
    with pytest.raises(PermanentError, match="is not a delivery"):
        store.withhold(store.jobs(kind=JobKind.INFER)[0])


def test_answers_beside_each_other_are_found_by_an_index(store: Store, clock: Clock, tmp_path: Path) -> None:
    both(store, clock)
    settled(store, clock, model(study="7.8.9"), study="7.8.9", number=2)
    with statements(store) as said:
        assert store.shadow_count() == 1
        assert store.shadowed([STUDY, "7.8.9"]) == {STUDY: ["lung"]}
        assert [job.shadow for job in store.answers_with_shadow()] == [False, True]
    assert store.answers_with_shadow(clock() + timedelta(seconds=1)) == []
    assert [line for line, _ in walks(tmp_path / "ancilla.db", said) if "jobs_shadow" not in line] == []
    assert "jobs_state" not in str(plans(tmp_path / "ancilla.db", [said[0]]))
