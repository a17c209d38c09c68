"""Jobs of a cluster, with workers that do what the test says: what a worker wrote counts only for who still holds the job."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from domain.jobs import Answer, Artifact, Order, Outcome
from domain.moves import JobState
from node.pool import LOST, EngineLostError, WorkerDiedError
from node.shelf import LIST, publish
from tests.node.configuration import TEXT
from tests.node.stage import Stage

CLUSTER = TEXT.replace("workers = 2", 'executor = "dask"\naddress = "tcp://127.0.0.1:8786"')


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """There is no lane for urgent jobs in a cluster."""
    made = Stage(tmp_path, CLUSTER)
    made.inferring._express = None
    return made


def wrote(order: Order, words: bytes = b"report") -> Answer:
    """What a worker leaves behind, and what it says."""
    written, shown = Path(order.stage), Path(order.out_dir)
    written.mkdir(parents=True)
    (written / "sr.dcm").write_bytes(words)
    path = str((shown / "sr.dcm").relative_to(order.data_dir))
    artifact = Artifact("sr", path, "aa", len(words), "1.2.840.10008.5.1.4.1.1.88.34", "2.25.1", "2.25.2")
    (written / LIST).write_text(json.dumps({"artifacts": [asdict(artifact)]}))
    return Answer(Outcome.NEGATIVE, "No opacity found.", (artifact,))


def test_an_answer_is_moved_to_where_it_counts_before_the_job_is_done(stage: Stage) -> None:
    stage.settled()
    order = stage.workers.order
    answer = wrote(order)
    assert not Path(order.out_dir).exists()
    stage.workers.answer(answer)
    stage.turn()
    assert stage.infer().state is JobState.DONE
    assert (Path(order.out_dir) / "sr.dcm").read_bytes() == b"report" and (Path(order.out_dir) / LIST).is_file()
    assert not Path(order.stage).exists()


def test_each_attempt_writes_into_a_folder_of_its_own(stage: Stage) -> None:
    stage.settled()
    first = stage.workers.order
    wrote(first)
    stage.workers.answer(WorkerDiedError(-9))
    stage.turn()
    assert not Path(first.stage).exists(), "what nobody will see is deleted"
    stage.later(60)
    stage.turn()
    second = stage.workers.order
    assert second.stage != first.stage and second.out_dir == first.out_dir
    wrote(first, b"of a worker that should be dead")  # it went on behind a broken network
    stage.workers.answer(wrote(second, b"of the second"))
    stage.turn()
    assert (Path(second.out_dir) / "sr.dcm").read_bytes() == b"of the second"


def test_nobody_sees_the_files_of_a_job_that_was_lost(stage: Stage) -> None:
    job = stage.settled()
    order = stage.workers.order
    answer = wrote(order)
    stage.store.cancel(job.job_id, "operator:test")
    stage.workers.answer(answer)
    stage.turn()
    assert not Path(order.out_dir).exists() and not Path(order.stage).exists()
    assert stage.infer().state is JobState.CANCELLED


def test_an_answer_whose_files_cannot_be_seen_here_is_tried_again(stage: Stage) -> None:
    stage.settled()
    answer = wrote(stage.workers.order)
    for file in Path(stage.workers.order.stage).iterdir():
        file.unlink()
    stage.workers.answer(answer)
    stage.turn()
    job = stage.infer()
    assert (job.state, job.reason) == (JobState.QUEUED, "the files of its answer cannot be seen here")


def test_a_lost_scheduler_is_no_attempt_at_a_job(stage: Stage) -> None:
    stage.settled()
    for number in range(1, 6):  # more than max_attempts
        stage.workers.answer(EngineLostError())
        stage.turn()
        assert len(stage.workers.asked) == number + 1, "begun again at once"
        assert stage.workers.order.verdict is None
    assert stage.infer().reason == LOST
    stage.workers.answer(wrote(stage.workers.order))
    stage.turn()
    assert stage.infer().state is JobState.DONE


def test_the_time_of_a_job_begins_when_a_worker_does(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.settled()
    future = stage.workers.asked[-1][1]
    monkeypatch.setattr(future, "running", lambda: False)
    stage.later(1000)
    stage.turn()
    assert stage.workers.killed == 0
    monkeypatch.undo()
    stage.later(99)
    stage.turn()
    assert stage.workers.killed == 0
    stage.later(2)
    stage.turn()
    assert stage.workers.killed == 1


def test_an_urgent_job_ends_one_that_is_less_urgent_and_no_more_than_one(stage: Stage) -> None:
    for number in (1, 2):
        stage.receive(f"1.2.{number}", f"1.2.{number}.1")
    stage.later(31)
    stage.turn()
    stage.receive("1.2.3", "1.2.3.1", RequestedProcedurePriority="STAT")
    stage.later(31)
    stage.turn()
    assert stage.workers.killed == 1
    assert [order.study_uid for order, _ in stage.workers.asked] == ["1.2.1", "1.2.2", "1.2.3"]
    stage.workers.answer(wrote(stage.workers.order))
    stage.turn()
    assert stage.workers.order.study_uid in ("1.2.1", "1.2.2"), "it begins again"


def test_an_answer_that_was_kept_needs_no_move(tmp_path: Path) -> None:
    publish(tmp_path / "nothing", tmp_path / "results")
    assert not (tmp_path / "results").exists()
