"""A report of storage commitment is owed from the promise until the modality has taken it, whatever happens to the process."""

from pathlib import Path

import pytest

from db import reports as reports_module
from db.store import Store
from domain.evidence import Commitment, Evidence, Member, Source
from domain.instances import Caller
from tests.db.nouns import CALLER, CT, Clock, instance, new_store

HERE, GONE = Member(CT, "1.2.826.0.1.1"), Member(CT, "1.2.826.0.1.2")


def ask(store: Store, transaction: str, *members: Member, caller: Caller = CALLER) -> Commitment:
    return store.commit(caller, Evidence(Source.COMMITMENT, transaction, "", True, members or (HERE, GONE)))


def transactions(store: Store) -> list[str]:
    return [commitment.transaction_uid for _, commitment in store.owed_reports()]


def test_it_is_owed_with_all_that_it_says_also_after_a_restart(tmp_path: Path, clock: Clock) -> None:
    store = new_store(tmp_path, clock)
    store.received(instance(1), 30, 600)
    promised = ask(store, "9.1")
    assert (promised.durable, promised.missing) == ((HERE,), (GONE,))
    store.close()
    store = new_store(tmp_path, clock)
    assert store.owed_reports() == [(CALLER, promised)]
    store.reported(CALLER, "9.1")
    assert store.owed_reports() == []
    store.close()


def test_each_caller_is_owed_its_own(store: Store) -> None:
    other = Caller("MR01", "ANCILLA", "192.0.2.8")
    ask(store, "9.1")
    ask(store, "9.1", caller=other)
    store.reported(CALLER, "9.1")
    store.reported(CALLER, "9.9")
    assert [caller for caller, _ in store.owed_reports()] == [other]


def test_a_transaction_asked_for_again_is_owed_once_with_the_newest_answer(store: Store) -> None:
    ask(store, "9.1", HERE)
    store.received(instance(1), 30, 600)
    assert store.owed_reports()[0][1].durable == ()
    ask(store, "9.1", HERE)
    assert [commitment.durable for _, commitment in store.owed_reports()] == [(HERE,)]


def test_the_oldest_comes_first_and_after_a_week_nobody_waits_any_more(store: Store, clock: Clock) -> None:
    ask(store, "9.2")
    clock.forward(6 * 24 * 3600)
    ask(store, "9.1")
    assert transactions(store) == ["9.2", "9.1"]
    clock.forward(2 * 24 * 3600)
    assert transactions(store) == ["9.1"]


def test_no_more_than_a_bounded_number_is_kept(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports_module, "_MOST", 3)
    for number in range(6):
        ask(store, f"9.{number}")
        clock.forward(1)
    assert transactions(store) == ["9.3", "9.4", "9.5"]
