"""The audit log: append-only, and whoever touches the file behind our back is found out."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from db import audit as audit_module
from db.audit import verify
from db.audit_rows import row_hash
from db.store import Store
from domain.audit import Event
from tests.db.nouns import Clock, instance, model, settled


def tamper(folder: Path, *statements: str, triggers: bool = False) -> None:
    """Open the file as somebody would who is up to no good."""
    raw = sqlite3.connect(folder / "ancilla.db")
    with raw:
        if not triggers:
            raw.executescript("DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;")
        for statement in statements:
            raw.execute(statement)
    raw.close()


def ten_rows(store: Store) -> None:
    for number in range(10):
        store.note(Event.NODE_STARTED, "node", {"number": number})


def test_an_untouched_log_is_proven_and_its_last_hash_named(store: Store, clock: Clock) -> None:
    settled(store, clock, model())
    result = verify(store)
    assert result.broken_seq is None
    assert result.rows == len(list(store.audit()))
    assert result.head in result.words


def test_an_empty_log_is_proven(store: Store) -> None:
    assert verify(store).broken_seq is None
    assert verify(store).rows == 0


def test_the_hash_of_a_row_can_be_recomputed_by_anyone(store: Store, clock: Clock) -> None:
    store.note(Event.NODE_STARTED, "node", {"b": 1, "a": "ü"}, study_uid="1.2")
    [row] = store.audit()
    assert row.details == '{"a":"\\u00fc","b":1}'
    micros = round(clock.at.timestamp()) * 1_000_000
    assert row.hash == row_hash("0" * 64, 1, micros, "node-started", "1.2", None, "node", row.details)
    assert json.loads(row.details) == {"a": "ü", "b": 1}


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit"])
def test_the_database_itself_refuses_to_change_the_log(store: Store, tmp_path: Path, statement: str) -> None:
    ten_rows(store)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        tamper(tmp_path, statement, triggers=True)
    assert verify(store).broken_seq is None


_COPY = "INSERT INTO audit SELECT {seq}, at, event, study_uid, job_id, actor, details, hash FROM audit WHERE seq = 3"


@pytest.mark.parametrize(
    ("statements", "broken"),
    [
        (["UPDATE audit SET details = '{}' WHERE seq = 4"], 4),
        (["UPDATE audit SET at = at + 1 WHERE seq = 1"], 1),
        (["UPDATE audit SET actor = 'operator:x' WHERE seq = 10"], 10),
        (["UPDATE audit SET job_id = 7 WHERE seq = 6"], 6),
        (["UPDATE audit SET hash = '0' WHERE seq = 5"], 5),
        (["DELETE FROM audit WHERE seq = 1"], 1),
        (["DELETE FROM audit WHERE seq = 7"], 7),
        (["DELETE FROM audit WHERE seq >= 9"], 9),
        (["DELETE FROM audit"], 1),
        (["UPDATE audit SET seq = -seq WHERE seq > 5", "UPDATE audit SET seq = 1 - seq WHERE seq < 0", _COPY.format(seq=6)], 6),
        ([_COPY.format(seq=11)], 11),
        ([_COPY.format(seq=-3)], -3),
        (["DELETE FROM audit WHERE seq = 10", "UPDATE audit_head SET rows = 9"], 9),
    ],
)
def test_the_first_row_that_was_touched_is_named(store: Store, tmp_path: Path, statements: list[str], broken: int) -> None:
    ten_rows(store)
    assert verify(store).broken_seq is None
    tamper(tmp_path, *statements)
    result = verify(store)
    assert result.broken_seq == broken
    assert str(broken) in result.words


def test_a_row_rewritten_with_a_fitting_hash_is_found_at_the_row_behind_it(store: Store, tmp_path: Path, clock: Clock) -> None:
    ten_rows(store)
    third, fourth = list(store.audit())[2:4]
    micros = round(clock.at.timestamp()) * 1_000_000
    forged = row_hash(third.hash, 4, micros, fourth.event, "", None, "somebody", fourth.details)
    tamper(tmp_path, f"UPDATE audit SET actor = 'somebody', hash = '{forged}' WHERE seq = 4")
    assert verify(store).broken_seq == 5


def test_the_log_is_walked_page_by_page(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "_PAGE", 3)
    ten_rows(store)
    assert [row.seq for row in store.audit()] == list(range(1, 11))
    assert [row.seq for row in store.audit(after=4, limit=4)] == [5, 6, 7, 8]
    assert verify(store).broken_seq is None
    tamper(tmp_path, "UPDATE audit SET actor = 'x' WHERE seq = 8")
    assert verify(store).broken_seq == 8


def test_rows_can_be_asked_for(store: Store, clock: Clock) -> None:
    settled(store, clock, model())
    store.received(instance(5, "9.9.9"), 30, 600)
    clock.forward(100)
    store.note(Event.NODE_STOPPED, "operator:root", {})
    assert [row.event for row in store.audit(study_uid="9.9.9")] == ["stored"]
    assert [row.event for row in store.audit(actor="operator:root")] == ["node-stopped"]
    assert [row.event for row in store.audit(event="settled")] == ["settled"]
    assert [row.event for row in store.audit(job_id=store.jobs()[0].job_id)] == ["queued"]
    assert [row.event for row in store.audit(since=clock.at)] == ["node-stopped"]
    assert "node-stopped" not in {row.event for row in store.audit(until=clock.at)}
    assert list(store.audit(since=clock.at + timedelta(seconds=1))) == []


def test_a_change_that_fails_leaves_neither_itself_nor_its_audit_row(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(store, clock, model("lung"))
    store.received(instance(2), 30, 600)
    clock.forward(31)
    before = list(store.audit())

    def broken(*_: object) -> str:
        raise RuntimeError("in the middle")

    act: Callable[[], bool] = lambda: store.settle("1.2.3", 2, [model("lung")])  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr("db.studies.input_digest", broken)
        with pytest.raises(RuntimeError):
            act()
    assert list(store.audit()) == before
    assert [job.revision for job in store.jobs()] == [1]
    assert act()
    assert verify(store).broken_seq is None


def test_the_check_in_the_handbook_finds_the_same(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/audit.md shows how to check the log without Ancilla; what it shows must work."""
    handbook = (Path(__file__).resolve().parents[2] / "docs" / "audit.md").read_text("utf-8")
    script = handbook.split("```python\n")[1].split("```")[0]
    ten_rows(store)
    monkeypatch.chdir(tmp_path)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert verify(store).head in done.stdout
    tamper(tmp_path, "UPDATE audit SET actor = 'x' WHERE seq = 4")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 1
    assert "row 4" in done.stderr
