"""How long a device pauses within a study is learned from the studies that are complete."""

from dataclasses import replace

import pytest

from db.store import Store
from domain.completeness import Habit
from domain.instances import Caller
from tests.db.nouns import CALLER, Clock, instance, model


def study(store: Store, clock: Clock, name: str, *pauses: float, caller: Caller = CALLER) -> None:
    """A study with these pauses between its images, settled."""
    for number, pause in enumerate((0.0, *pauses)):
        clock.forward(pause)
        arrived = instance(int(name) * 1000 + number, f"1.2.{name}")
        store.received(replace(arrived, caller=caller, received_at=clock.at), 30, 600)
    clock.forward(30)
    revision = store.study(f"1.2.{name}").revision  # type: ignore[union-attr]
    assert store.settle(f"1.2.{name}", revision, [])


def test_each_study_adds_its_longest_pause(store: Store, clock: Clock) -> None:
    study(store, clock, "1", 0.1, 8.0, 0.1)
    study(store, clock, "2", 0.1, 0.1)
    habit = store.habits()["CT01"]
    assert habit.studies == 2
    assert [bound for bound, _ in habit.pauses] == [0.25, 8.0]
    assert 8.0 <= habit.longest_pause() < 8.0 * 1.19


def test_devices_are_told_apart(store: Store, clock: Clock) -> None:
    study(store, clock, "1", 2.0)
    study(store, clock, "2", 16.0, caller=Caller("MR02", "ANCILLA", "192.0.2.8"))
    found = store.habits()
    assert (found["CT01"].longest_pause(), found["MR02"].longest_pause()) == (2.0, 16.0)


def test_the_pause_that_opened_a_study_again_counts(store: Store, clock: Clock) -> None:
    study(store, clock, "1", 1.0)
    clock.forward(34)
    store.received(replace(instance(5, "1.2.1"), received_at=clock.at), 30, 600)
    clock.forward(30)
    assert store.settle("1.2.1", 2, [model()])
    assert store.habits()["CT01"].longest_pause() == 64.0


def test_images_sent_again_on_another_day_are_no_pause(store: Store, clock: Clock) -> None:
    study(store, clock, "1", 1.0)
    clock.forward(200_000)
    store.received(replace(instance(5, "1.2.1"), received_at=clock.at), 30, 600)
    clock.forward(30)
    assert store.settle("1.2.1", 2, [])
    assert store.habits()["CT01"].longest_pause() == 1.0


def test_old_studies_fade(store: Store, clock: Clock) -> None:
    study(store, clock, "1", 20.0)
    for number in range(2, 200):
        study(store, clock, str(number), 1.0)
    assert store.habits()["CT01"].longest_pause() == 1.0


@pytest.mark.parametrize(("share", "pause"), [(0.5, 1.0), (0.9, 1.0), (0.95, 4.0), (1.0, 4.0)])
def test_the_share_is_by_weight(share: float, pause: float) -> None:
    assert Habit("CT01", 10, ((1.0, 9.0), (4.0, 1.0)), 0).longest_pause(share) == pause


def test_nothing_learned_is_no_pause() -> None:
    assert Habit("CT01", 0, (), 0).longest_pause() == 0.0
