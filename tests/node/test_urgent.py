"""Urgent studies: they go first, overtake what runs, and nothing is lost by it."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from domain.jobs import JobKind, Order, Priority
from domain.moves import JobState
from inference import running
from node import work
from node.express import Express
from node.pool import Pool, WorkerDiedError
from node.urgency import priority_of
from tests.node import tasks
from tests.node.configuration import TEXT
from tests.node.stage import GOOD, Stage
from tests.peers import wait_for


def header(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def one_worker(folder: Path, text: str = TEXT) -> Stage:
    stage = Stage(folder, text)
    stage.workers.size = 1
    return stage


def arrives(stage: Stage, study: str, **about: object) -> None:
    stage.receive(study, f"{study}.1", **about)
    stage.later(31)
    stage.turn()


def studies(orders: list[tuple[Order, object]]) -> list[str]:
    return [order.study_uid for order, _ in orders]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({}, Priority.ROUTINE),
        ({"RequestedProcedurePriority": "STAT"}, Priority.STAT),
        ({"RequestedProcedurePriority": "medium "}, Priority.ROUTINE),
        ({"RequestedProcedurePriority": "SOON"}, Priority.ROUTINE),
        ({"RequestAttributesSequence": [header(RequestedProcedurePriority="HIGH"), header()]}, Priority.HIGH),
        ({"RequestAttributesSequence": None, "RequestedProcedurePriority": "LOW"}, Priority.LOW),
    ],
)
def test_images_say_how_urgent_they_are(values: dict[str, object], wanted: Priority) -> None:
    assert priority_of([header(**values)]) is wanted


def test_the_most_urgent_header_counts_and_the_rule_of_a_model_more() -> None:
    headers = [header(), header(RequestedProcedurePriority="STAT"), header(RequestedProcedurePriority="LOW")]
    assert priority_of(headers) is Priority.STAT
    assert priority_of(headers, "low") is Priority.LOW


def test_of_waiting_studies_the_urgent_one_is_next(tmp_path: Path) -> None:
    stage = one_worker(tmp_path)
    stage.express.size = 0
    for number, term in enumerate(("ROUTINE", "LOW", "ROUTINE", "HIGH")):
        arrives(stage, f"1.2.{number}", RequestedProcedurePriority=term)
    for _ in range(4):
        stage.workers.answer()
        stage.turn()
    assert studies(stage.workers.asked) == ["1.2.0", "1.2.3", "1.2.2", "1.2.1"]
    assert stage.infer().priority is Priority.HIGH
    assert {job.priority for job in stage.deliveries()} == {Priority.ROUTINE, Priority.LOW, Priority.HIGH}


def test_a_stat_study_overtakes_a_running_job_which_rests_and_goes_on(tmp_path: Path) -> None:
    stage = one_worker(tmp_path)
    arrives(stage, "1.2.1")
    pause = Path(stage.workers.order.pause)
    assert not pause.exists()
    arrives(stage, "1.2.2", RequestedProcedurePriority="STAT")
    assert studies(stage.express.asked) == ["1.2.2"] and pause.exists()
    arrives(stage, "1.2.3", RequestedProcedurePriority="STAT")
    assert len(stage.express.asked) == 1  # one after the other
    stage.express.answer()
    stage.turn()
    assert studies(stage.express.asked) == ["1.2.2", "1.2.3"]
    stage.express.answer()
    stage.turn()
    assert not pause.exists()
    stage.workers.answer()
    stage.turn()
    assert {job.state for job in stage.store.jobs(kind=JobKind.INFER)} == {JobState.DONE}


def test_a_less_urgent_study_overtakes_nothing(tmp_path: Path) -> None:
    stage = one_worker(tmp_path)
    arrives(stage, "1.2.1", RequestedProcedurePriority="LOW")
    arrives(stage, "1.2.2", RequestedProcedurePriority="HIGH")
    assert stage.express.asked == [] and len(stage.workers.asked) == 1


def test_a_stat_study_does_not_overtake_another(tmp_path: Path) -> None:
    stage = one_worker(tmp_path)
    arrives(stage, "1.2.1", RequestedProcedurePriority="STAT")
    arrives(stage, "1.2.2", RequestedProcedurePriority="STAT")
    assert stage.express.asked == []


def test_rest_does_not_count_against_the_time_limit(tmp_path: Path) -> None:
    stage = one_worker(tmp_path)
    limit = stage.settings.compute.job_timeout_seconds
    arrives(stage, "1.2.1")
    arrives(stage, "1.2.2", RequestedProcedurePriority="STAT")
    stage.later(limit - 1)
    stage.turn()
    stage.express.answer()
    stage.turn()
    stage.later(limit - 40)
    stage.turn()
    assert stage.workers.killed == 0
    stage.later(100)
    stage.turn()
    assert stage.workers.killed == 1


def test_a_job_that_does_not_fit_beside_the_urgent_one_begins_again_later(tmp_path: Path) -> None:
    stage = one_worker(tmp_path)
    room = stage.settings.compute.memory_bytes
    stage.models[0] = replace(stage.models[0], peak_memory=int(room * 0.6))
    arrives(stage, "1.2.1")
    assert stage.workers.limits == [int(room * 0.6)]
    arrives(stage, "1.2.2", RequestedProcedurePriority="STAT")
    assert stage.workers.killed == 1 and stage.express.asked == []
    assert studies(stage.workers.asked) == ["1.2.1", "1.2.2"]  # the urgent one, in the worker that was freed
    stage.workers.answer()
    stage.turn()
    assert studies(stage.workers.asked) == ["1.2.1", "1.2.2", "1.2.1"]


def test_jobs_whose_peaks_do_not_fit_together_are_not_started_together(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    room = stage.settings.compute.memory_bytes
    stage.models[0] = replace(stage.models[0], peak_memory=int(room * 0.6))
    for number in range(2):
        stage.receive(f"1.2.{number}", f"1.2.{number}.1")
    stage.later(31)
    stage.turn()
    assert len(stage.workers.asked) == 1  # of two workers
    stage.workers.answer()
    stage.turn()
    assert len(stage.workers.asked) == 2


def test_after_a_power_cut_everybody_begins_again_and_nobody_rests(tmp_path: Path) -> None:
    stage = one_worker(tmp_path)
    arrives(stage, "1.2.1")
    arrives(stage, "1.2.2", RequestedProcedurePriority="STAT")
    stage.express.asked.clear()
    stage.restart()
    stage.turn()
    assert studies(stage.workers.asked) == ["1.2.2"]
    stage.workers.answer(GOOD)
    stage.turn()
    assert studies(stage.workers.asked) == ["1.2.2", "1.2.1"]
    assert not Path(stage.workers.order.pause).exists()


def test_work_rests_before_the_next_batch_while_the_file_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pause = tmp_path / "pause"
    pause.touch()
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            pause.unlink()

    monkeypatch.setattr(work.time, "sleep", nap)
    with running.resting(lambda: work._rest(str(pause))):
        for rest in running._RESTS:
            rest()
    assert len(naps) == 3 and running._RESTS == []


def test_a_running_job_rests_at_the_next_batch_goes_on_and_can_be_killed_while_it_rests(tmp_path: Path) -> None:
    pause, progress = tmp_path / "pause", tmp_path / "progress"
    with Pool(1) as pool:
        future = pool.submit(tasks.tiles, str(pause), str(progress), 10**9)
        wait_for(progress.exists, "the first tile", 120)
        pause.touch()
        stood = wait_for(lambda: _stands(progress), "rest")
        assert pool_of_one_answers() == 3 and progress.read_text() == stood
        pause.unlink()
        wait_for(lambda: progress.read_text() not in ("", stood), "going on")
        pause.touch()
        wait_for(lambda: _stands(progress), "rest")
        assert pool.kill(future)
        with pytest.raises(WorkerDiedError):
            future.result(30)


def pool_of_one_answers() -> int:
    express = Express()
    try:
        return express.submit(tasks.add, 1, 2).result(60)
    finally:
        express.shutdown()


def _stands(progress: Path) -> str:
    """How far it is, when nothing moves any more."""
    seen = set()
    for _ in range(4):
        seen.add(progress.read_text())
        threading.Event().wait(0.1)
    return seen.pop() if len(seen) == 1 else ""
