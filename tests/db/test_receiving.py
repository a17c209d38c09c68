"""What the store makes of arriving instances, associations and callers."""

from datetime import timedelta

import pytest

from db import receiving
from db.store import Store
from domain.errors import PermanentError
from domain.instances import Caller, Receipt
from domain.moves import StudyState
from tests.db.nouns import CALLER, Clock, events, instance, model, settled


def test_a_new_image_opens_its_study_with_a_quiet_point_and_a_deadline(store: Store, clock: Clock) -> None:
    assert store.received(instance(), 30, 600) is Receipt.STORED
    study = store.study("1.2.3")
    assert study is not None
    assert (study.state, study.revision, study.series, study.instances) == (StudyState.RECEIVING, 1, 1, 1)
    assert study.quiet_at == clock.at + timedelta(seconds=30)
    assert study.deadline == clock.at + timedelta(seconds=600)
    assert study.first_at == study.last_at == clock.at
    assert events(store) == ["stored"]


def test_the_next_image_moves_the_quiet_point_and_not_the_deadline(store: Store, clock: Clock) -> None:
    store.received(instance(1), 30, 600)
    began = clock.at
    clock.forward(20)
    store.received(instance(2, series="2"), 30, 600)
    study = store.study("1.2.3")
    assert study is not None
    assert study.quiet_at == began + timedelta(seconds=50)
    assert study.deadline == began + timedelta(seconds=600)
    assert (study.series, study.instances) == (2, 2)


def test_an_equal_copy_leaves_no_row_but_an_audit_row(store: Store) -> None:
    store.received(instance(), 30, 600)
    assert store.received(instance(association="a2"), 30, 600) is Receipt.DUPLICATE
    assert len(store.instances("1.2.3")) == 1
    assert not store.conflicts("1.2.3")
    assert events(store) == ["stored", "duplicate"]


def test_another_copy_is_kept_and_the_first_one_counts(store: Store) -> None:
    store.received(instance(), 30, 600)
    other = instance(content="other")
    assert store.received(other, 30, 600) is Receipt.CONFLICT
    assert [each.digest for each in store.instances("1.2.3")] == [instance().digest]
    assert store.conflicts("1.2.3") == [other]
    assert store.received(other, 30, 600) is Receipt.DUPLICATE


def test_the_same_uid_in_another_study_is_a_conflict_there(store: Store) -> None:
    store.received(instance(1, "1.2.3"), 30, 600)
    assert store.received(instance(1, "9.9.9"), 30, 600) is Receipt.CONFLICT
    assert not store.instances("9.9.9")
    assert len(store.conflicts("9.9.9")) == 1
    assert len(store.instances("1.2.3")) == 1


def test_an_instance_comes_back_as_it_was_given(store: Store) -> None:
    store.received(instance(), 30, 600)
    assert store.instances("1.2.3") == [instance()]


def test_a_late_image_opens_the_next_revision(store: Store, clock: Clock) -> None:
    settled(store, clock, model())
    store.received(instance(2), 30, 600)
    study = store.study("1.2.3")
    assert study is not None
    assert (study.state, study.revision) == (StudyState.RECEIVING, 2)
    assert study.deadline == clock.at + timedelta(seconds=600)
    assert "reopened" in events(store)
    assert len(store.instances("1.2.3", revision=1)) == 1
    assert len(store.instances("1.2.3", revision=2)) == 2


@pytest.mark.parametrize("content", ["", "other"])
def test_copies_do_not_open_a_closed_study_again(store: Store, clock: Clock, content: str) -> None:
    settled(store, clock, model())
    store.received(instance(content=content), 30, 600)
    study = store.study("1.2.3")
    assert study is not None
    assert (study.state, study.revision) == (StudyState.COMPLETE, 1)


def test_indexed_tells_how_far_each_pack_was_read_duplicates_included(store: Store) -> None:
    store.received(instance(1), 30, 600)
    store.received(instance(2), 30, 600)
    store.received(instance(2, association="a2"), 30, 600)
    assert store.indexed() == {"00/1.2.3/a1.pack": 300, "00/1.2.3/a2.pack": 300}


def test_an_association_leaves_its_opening_and_its_end_in_the_log_once(store: Store) -> None:
    store.opened("a1", CALLER)
    store.closed("a1", "aborted", 30)
    store.closed("a1", "released", 30)
    rows = list(store.audit())
    assert [row.event for row in rows] == ["association-opened", "association-closed"]
    assert rows[1].actor == "CT01@192.0.2.7"
    assert '"how":"aborted"' in rows[1].details


def test_an_association_cannot_be_opened_twice(store: Store) -> None:
    store.opened("a1", CALLER)
    with pytest.raises(PermanentError):
        store.opened("a1", CALLER)
    assert events(store) == ["association-opened"]


def test_a_refused_object_is_in_the_log_with_its_status(store: Store) -> None:
    store.refused(CALLER, "a1", 0xA700, "out of space")
    [row] = store.audit()
    assert row.event == "refused"
    assert '"status":"0xA700"' in row.details


def test_strangers_are_counted_and_listed_the_last_seen_first(store: Store, clock: Clock) -> None:
    began = clock.at
    other = Caller("MR02", "ANCILLA", "192.0.2.8")
    for caller in (CALLER, other, CALLER):
        store.rejected(caller, "unknown")
        clock.forward(1)
    first, second = store.strangers()
    assert (first.caller, first.count, second.caller, second.count) == (CALLER, 2, other, 1)
    assert (first.first_at, first.last_at) == (began, began + timedelta(seconds=2))


def test_the_list_of_strangers_is_bounded(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "_STRANGERS", 5)
    for number in range(9):
        store.rejected(Caller(f"X{number}", "ANCILLA", "192.0.2.9"), "unknown")
        clock.forward(1)
    assert [each.caller.calling_ae for each in store.strangers()] == ["X8", "X7", "X6", "X5", "X4"]
