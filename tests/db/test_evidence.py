"""What others say belongs to a study decides when it is complete; each rule with a clock that stands still."""

import json

import pytest

from db.store import Store
from domain.completeness import Hold, HoldKind
from domain.evidence import Evidence, Member, Source
from domain.instances import Caller
from domain.moves import StudyState
from tests.db.nouns import CALLER, CT, Clock, events, instance, model

STUDY = "1.2.3"
OTHER = Caller("MR02", "ANCILLA", "192.0.2.8")


def uid(number: int) -> str:
    return instance(number).header.sop_instance_uid


def said(source: Source, *numbers: int, subject: str = "9.1", final: bool = True, study: str = STUDY, count: int = 0) -> Evidence:
    listed = tuple(Member(CT, uid(number)) for number in numbers or range(1, count + 1))
    return Evidence(source, subject, study, final, listed)


def receive(store: Store, *numbers: int, study: str = STUDY, association: str = "a1") -> None:
    for number in numbers:
        store.received(instance(number, study, association=association), 30, 600)


def due(store: Store) -> list[str]:
    return [study.study_uid for study in store.due()]


def settled_by(store: Store) -> str:
    return str(json.loads(list(store.audit(event="settled"))[-1].details)["by"])


def settle(store: Store, *missing: str) -> str:
    [study] = store.due()
    assert store.settle(study.study_uid, study.revision, [model()], study.instances, missing)
    return settled_by(store)


def finish_step(store: Store, *numbers: int, subject: str = "9.1") -> None:
    assert store.step_created(CALLER, said(Source.MPPS, subject=subject, final=False))
    ended = Evidence(Source.MPPS, subject, "", True, said(Source.MPPS, *numbers).members)
    assert store.step_set(CALLER, ended) == ""


def test_a_study_is_complete_with_the_last_image_an_ended_step_lists(store: Store) -> None:
    store.opened("a1", CALLER)  # still open: what the modality says is stronger
    finish_step(store, 1, 2, 3)
    receive(store, 1, 2)
    assert due(store) == []
    receive(store, 3)
    assert due(store) == [STUDY]
    assert settle(store) == "mpps"


def test_a_step_that_ends_after_the_last_image_completes_the_study_at_once(store: Store) -> None:
    receive(store, 1, 2)
    assert due(store) == []
    finish_step(store, 1, 2)
    assert due(store) == [STUDY]


def test_a_missing_image_is_waited_for_until_the_deadline_and_then_said_to_be_missing(store: Store, clock: Clock) -> None:
    finish_step(store, 1, 2, 3)
    receive(store, 1, 3)
    clock.forward(599)
    assert due(store) == []
    [step] = store.standing(STUDY).statements
    assert (step.listed, step.missing, step.first_missing, step.actor) == (3, 1, (uid(2),), "CT01@192.0.2.7")
    clock.forward(1)
    assert settle(store, "1 of 3 images is missing") == "deadline"
    assert '"missing":["1 of 3 images is missing"]' in next(store.audit(event="settled")).details


def test_the_missing_image_opens_the_next_revision_which_is_complete_with_it(store: Store, clock: Clock) -> None:
    finish_step(store, 1, 2)
    receive(store, 1)
    clock.forward(600)
    settle(store)
    receive(store, 2)
    assert [(study.study_uid, study.revision) for study in store.due()] == [(STUDY, 2)]
    assert settle(store) == "mpps"


def test_a_step_in_progress_is_waited_for_however_quiet_it_is(store: Store, clock: Clock) -> None:
    assert store.step_created(CALLER, said(Source.MPPS, final=False))
    receive(store, 1)
    clock.forward(500)
    assert due(store) == []
    assert store.standing(STUDY).in_progress
    clock.forward(100)
    assert due(store) == [STUDY]


def test_a_discontinued_step_counts_with_the_list_it_gives_and_one_without_list_leaves_it_to_the_quiet_time(
    store: Store, clock: Clock
) -> None:
    finish_step(store)
    receive(store, 1)
    assert due(store) == []
    clock.forward(30)
    assert settle(store) == "quiet"


def test_all_steps_of_a_study_have_to_end(store: Store) -> None:
    finish_step(store, 1, subject="9.1")
    assert store.step_created(CALLER, said(Source.MPPS, subject="9.2", final=False))
    receive(store, 1, 2)
    assert due(store) == []
    ended = Evidence(Source.MPPS, "9.2", "", True, said(Source.MPPS, 2).members)
    assert store.step_set(CALLER, ended) == ""
    assert due(store) == [STUDY]


def test_an_image_nobody_listed_means_that_more_may_come(store: Store, clock: Clock) -> None:
    finish_step(store, 1, 2)
    receive(store, 1, 2, 3)
    assert due(store) == []
    assert store.standing(STUDY).unlisted == 1
    clock.forward(30)
    assert settle(store) == "quiet"


def test_a_step_is_created_once_and_never_changed_after_its_end(store: Store) -> None:
    assert store.step_set(CALLER, said(Source.MPPS)) == "unknown"
    finish_step(store, 1)
    assert not store.step_created(CALLER, said(Source.MPPS, final=False))
    assert store.step_set(CALLER, said(Source.MPPS, 1, 2)) == "final"
    assert events(store) == ["testified", "testified"]


def test_a_step_that_ends_without_a_list_keeps_the_one_it_gave_before(store: Store) -> None:
    assert store.step_created(CALLER, said(Source.MPPS, final=False))
    running = Evidence(Source.MPPS, "9.1", "", False, said(Source.MPPS, 1, 2).members)
    assert store.step_set(CALLER, running) == ""
    assert store.step_set(CALLER, Evidence(Source.MPPS, "9.1", "", True)) == ""
    [step] = store.standing(STUDY).statements
    assert (step.final, step.listed) == (True, 2)


def test_a_later_notification_replaces_the_one_before(store: Store) -> None:
    receive(store, 1)
    store.testify(CALLER, said(Source.AVAILABILITY, 1, 2))
    assert due(store) == []
    store.testify(CALLER, said(Source.AVAILABILITY, 1))
    assert settle(store) == "instance-availability"


def test_a_commitment_is_answered_for_what_is_here_and_for_nothing_else(store: Store) -> None:
    receive(store, 1, 3)
    answered = store.commit(CALLER, said(Source.COMMITMENT, 1, 2, 3, study=""))
    assert [member.sop_instance_uid for member in answered.durable] == [uid(1), uid(3)]
    assert [member.sop_instance_uid for member in answered.missing] == [uid(2)]
    assert due(store) == []
    receive(store, 2)
    assert settle(store) == "storage-commitment"
    assert '"durable":2,"missing":1' in next(store.audit(event="commitment")).details


def test_a_commitment_over_two_studies_speaks_for_both(store: Store) -> None:
    receive(store, 1)
    receive(store, 2, study="4.5.6")
    store.commit(CALLER, said(Source.COMMITMENT, 1, 2, 3, study=""))
    assert sorted(due(store)) == [STUDY, "4.5.6"]
    assert [row.study_uid for row in store.audit(event="commitment")] == [STUDY, "4.5.6"]


def test_a_commitment_for_nothing_we_have_is_answered_and_holds_up_nobody(store: Store) -> None:
    answered = store.commit(CALLER, said(Source.COMMITMENT, 1, study=""))
    assert (answered.durable, len(answered.missing)) == ((), 1)
    receive(store, 2)
    assert due(store) == []
    assert store.standing(STUDY).statements == ()


def test_a_copy_that_does_not_count_is_not_what_was_listed(store: Store) -> None:
    receive(store, 1)
    store.received(instance(1, content="other bytes"), 30, 600)
    finish_step(store, 1, 2)
    assert due(store) == []


def test_a_device_that_asks_for_every_image_ends_no_study_any_more(store: Store, clock: Clock) -> None:
    receive(store, 1)
    store.commit(CALLER, said(Source.COMMITMENT, 1, study="", subject="9.1"))
    assert settle(store) == "storage-commitment"
    receive(store, 2)
    store.commit(CALLER, said(Source.COMMITMENT, 2, study="", subject="9.2"))
    assert due(store) == []
    assert store.habits()["CT01"].hasty == 1
    clock.forward(30)
    assert settle(store) == "quiet"


def test_what_another_device_says_stays_trusted(store: Store) -> None:
    receive(store, 1)
    store.commit(CALLER, said(Source.COMMITMENT, 1, study=""))
    settle(store)
    receive(store, 2)
    store.commit(OTHER, said(Source.COMMITMENT, 1, 2, study="", subject="9.7"))
    assert due(store) == [STUDY]


def test_thousands_of_members_are_compared(store: Store, clock: Clock) -> None:
    receive(store, *range(1, 40))
    store.testify(CALLER, said(Source.AVAILABILITY, count=5000))
    clock.forward(31)
    assert due(store) == []
    [statement] = store.standing(STUDY).statements
    assert (statement.listed, statement.missing, len(statement.first_missing)) == (5000, 4961, 10)
    assert store.present([uid(1), uid(5000)]) == {uid(1)}
    assert len(store.present([uid(number) for number in range(5000)])) == 39


def test_statements_about_studies_that_never_came_are_forgotten(store: Store, clock: Clock) -> None:
    finish_step(store, 1)
    clock.forward(8 * 86_400)
    store.testify(CALLER, said(Source.AVAILABILITY, 2, study="7.7"))
    assert store.standing(STUDY).statements == ()
    assert len(store.standing("7.7").statements) == 1


class TestHolds:
    """What the node itself finds missing."""

    lacks = Hold(HoldKind.GEOMETRY, "1.2.3.1", "1 of 4 slices is missing")

    @pytest.fixture(autouse=True)
    def quiet(self, store: Store, clock: Clock) -> None:
        receive(store, 1)
        clock.forward(30)

    def test_a_held_study_is_looked_at_again_later(self, store: Store, clock: Clock) -> None:
        assert store.hold(STUDY, 1, [self.lacks], 20)
        assert due(store) == []
        assert store.standing(STUDY).holds == (self.lacks,)
        clock.forward(20)
        assert due(store) == [STUDY]

    def test_equal_reasons_are_logged_once(self, store: Store, clock: Clock) -> None:
        for _ in range(3):
            assert store.hold(STUDY, 1, [self.lacks], 20)
            clock.forward(20)
        assert [row.event for row in store.audit(event="held")] == ["held"]

    def test_a_hold_never_outlasts_the_deadline(self, store: Store, clock: Clock) -> None:
        assert store.hold(STUDY, 1, [self.lacks], 10_000)
        clock.forward(570)
        assert settle(store, self.lacks.words) == "deadline"
        assert store.standing(STUDY).holds == (self.lacks,)

    def test_what_arrived_meanwhile_is_not_held(self, store: Store) -> None:
        receive(store, 2)
        assert not store.hold(STUDY, 1, [self.lacks], 20)
        assert store.standing(STUDY).holds == ()

    def test_reasons_that_are_gone_are_taken_away_when_the_study_is_complete(self, store: Store, clock: Clock) -> None:
        store.hold(STUDY, 1, [self.lacks], 20)
        clock.forward(20)
        settle(store)
        assert store.standing(STUDY).holds == ()
        assert store.study(STUDY).state is StudyState.COMPLETE  # type: ignore[union-attr]


def test_what_is_missing_stands_in_the_job(store: Store, clock: Clock) -> None:
    receive(store, 1)
    clock.forward(600)
    wanted = model()
    job = type(wanted)(wanted.model_id, wanted.package_digest, wanted.series_uids, wanted.destinations, ("1 of 2 is missing",))
    assert store.settle(STUDY, 1, [job])
    assert store.jobs()[0].missing == ("1 of 2 is missing",)
