"""The earlier result of a patient: the newest before this study, of the same model, and of nobody else."""

import pytest

from db.store import Store
from domain.jobs import Outcome
from tests.db.nouns import Clock, answer, claimed, model, settled


def examined(store: Store, clock: Clock, study: str, mark: str, date: str, outcome: Outcome = Outcome.POSITIVE) -> None:
    settled(store, clock, model(study=study), study=study)
    store.recognise(study, mark, date)
    store.finish(claimed(store), answer(outcome, name=f"sr-{study}"))


@pytest.fixture
def history(store: Store, clock: Clock) -> Store:
    examined(store, clock, "1.2.1", "alice", "20240101")
    examined(store, clock, "1.2.2", "alice", "20250101")
    examined(store, clock, "1.2.3", "bob", "20250601")
    examined(store, clock, "1.2.4", "alice", "20250701", Outcome.NOT_ANALYSED)
    store.recognise("1.2.9", "alice", "20260101")
    return store


def test_the_newest_answered_study_of_the_same_patient_before_this_one_is_found(history: Store) -> None:
    study, artifacts = history.earlier("1.2.9", "lung")
    assert study == "1.2.2" and [a.path for a in artifacts] == ["results/sr-1.2.2.dcm"]


@pytest.mark.parametrize(
    ("mark", "date", "model_id"),
    [("carol", "20260101", "lung"), ("alice", "20231231", "lung"), ("alice", "", "lung"), ("alice", "20260101", "liver")],
    ids=["another patient", "earlier than all", "without a date", "another model"],
)
def test_nothing_is_found(history: Store, mark: str, date: str, model_id: str) -> None:
    history.recognise("1.2.9", mark, date)
    assert history.earlier("1.2.9", model_id) == ("", [])


def test_a_study_of_the_same_day_is_not_earlier(history: Store) -> None:
    history.recognise("1.2.9", "alice", "20250101")
    assert history.earlier("1.2.9", "lung")[0] == "1.2.1"
