"""Archives of the benchmark are what the store would have written, and every measure has a row for each size."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench import scale
from bench.__main__ import main
from bench.archives import fill, study_uid
from db.audit import verify
from db.engine import open_store
from db.spool import Spool
from domain.instances import Receipt
from domain.jobs import JobKind, Outcome
from domain.moves import JobState, StudyState
from tests.db.nouns import Clock, new_store

NEWEST = datetime(2026, 3, 1, 11, tzinfo=UTC)


def test_an_archive_has_a_valid_chain_and_the_store_works_on_with_it(tmp_path: Path) -> None:
    fill(tmp_path / "data", 11, 6, NEWEST)
    store = new_store(tmp_path / "data", Clock())
    before = verify(store)
    assert before.broken_seq is None
    assert before.rows > 11 * 6
    found = store.instances(study_uid(3))
    assert len(found) == 6
    assert store.received(found[0], 30, 600) is Receipt.DUPLICATE
    store.revive(store.jobs(study_uid=study_uid(3), kind=JobKind.INFER)[0].job_id, "operator")
    after = verify(store)
    assert (after.broken_seq, after.rows) == (None, before.rows + 2)
    store.close()


def test_each_study_has_its_own_jobs_results_and_evidence(tmp_path: Path) -> None:
    fill(tmp_path / "data", 11, 6, NEWEST)
    store = open_store(tmp_path / "data" / "ancilla.db", Clock())
    for number, sent, by in ((10, JobState.DONE, "mpps"), (5, JobState.FAILED, "quiet"), (4, JobState.DONE, "quiet")):
        uid = study_uid(number)
        study = store.study(uid)
        assert study is not None
        assert (study.state, study.series, study.instances) == (StudyState.COMPLETE, 2, 6)
        jobs = {job.kind: job for job in store.jobs(study_uid=uid)}
        assert (jobs[JobKind.INFER].outcome, jobs[JobKind.DELIVER].state) == (Outcome.POSITIVE, sent)
        assert jobs[JobKind.DELIVER].parent_id == jobs[JobKind.INFER].job_id
        assert all(uid in artifact.sop_instance_uid for artifact in store.artifacts(jobs[JobKind.INFER].job_id))
        assert {row.study_uid for row in store.audit(job_id=jobs[JobKind.DELIVER].job_id)} == {uid}
        assert [row.subject for row in store.evidence(uid) if row.kind == "settled"] == [by]
        assert [one.missing for one in store.standing(uid).statements] == ([0, 0] if by == "mpps" else [])
    newest = store.studies(1)[0]
    assert (newest.study_uid, (NEWEST - newest.last_at).total_seconds() < 60) == (study_uid(10), True)
    assert store.earlier(study_uid(4), "chest-ct-opacity") == ("", [])  # of the same day
    store.close()


def test_start_up_finds_nothing_to_put_right_in_an_archive(tmp_path: Path) -> None:
    fill(tmp_path / "data", 3, 4, NEWEST)
    store = open_store(tmp_path / "data" / "ancilla.db", Clock())
    assert list(Spool(tmp_path / "data" / "spool").recover(store.indexed())) == []
    assert (store.recover().associations, store.recover().jobs) == (0, 0)
    store.close()


@pytest.mark.peer
def test_every_measure_has_a_row_for_each_size_and_one_that_compares(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "COMMANDS", {"status": ("status",)})
    for name in ("IDLE_SECONDS", "WARMING_SECONDS"):
        monkeypatch.setattr(scale, name, 0.5)
    monkeypatch.setattr(scale, "SENT", 20)
    arguments = ["scale", "--json", "--rounds", "1", "--studies", "1", "4", "--each", "3", "--folder", str(tmp_path)]
    assert main(arguments) == 0
    rows = json.loads(capsys.readouterr().out)
    names = [row["name"] for row in rows]
    assert len(rows) == 3 * 8
    assert {"status (1 studies)", "status (4 studies)", "status: 4 studies beside 1"} < set(names)
    compared = [row for row in rows if "beside" in row["name"]]
    assert all(row["target"] == 0.5 and row["met"] == (row["ratio"] >= 0.5) for row in compared)
    assert all(row["ours"] > 0 for row in rows)


def test_one_size_of_archive_says_nothing_about_growth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scale", "--studies", "1", "--folder", str(tmp_path)]) == 1
    assert "two sizes" in capsys.readouterr().err
