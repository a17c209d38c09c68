"""Real spawned processes: what happens to one task stays with that task."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from domain.errors import PermanentError, TransientError
from node import worker
from node.pool import Bounded, OverMemoryError, Pool, WorkerDiedError
from tests.node import tasks


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    pool = Pool(2)
    yield pool
    pool.shutdown(wait=False)


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def written(path: Path) -> int:
    until(lambda: path.exists() and path.read_text() != "")
    return int(path.read_text())


def test_a_task_gives_its_result_and_workers_are_kept(pool: Pool) -> None:
    assert pool.submit(tasks.add, 2, 3).result(30) == 5
    pids = {pool.submit(tasks.pid).result(30) for _ in range(6)}
    assert len(pids) <= 2 and os.getpid() not in pids


def test_a_worker_imports_nothing_heavy_before_it_is_asked_to(pool: Pool) -> None:
    assert not pool.submit(tasks.modules).result(30) & {"numpy", "pydicom", "openvino", "sqlalchemy", "pynetdicom"}


def test_arrays_of_a_worker_lie_in_small_pages_before_numpy_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    name, value = worker.SMALL_PAGES
    monkeypatch.delenv(name, raising=False)
    pool = Pool(1)
    try:
        assert pool.submit(tasks.variable, name).result(30) == value
    finally:
        pool.shutdown()


def test_an_exception_of_the_task_is_the_exception_of_the_future(pool: Pool) -> None:
    with pytest.raises(ValueError, match="no"):
        pool.submit(tasks.refuse).result(30)


def test_a_worker_that_exits_fails_its_own_task_with_the_exit_code_and_no_other(pool: Pool) -> None:
    bad = pool.submit(tasks.leave, 7)
    good = [pool.submit(tasks.add, n, n) for n in range(5)]
    with pytest.raises(WorkerDiedError, match="exit code 7"):
        bad.result(30)
    assert [future.result(30) for future in good] == [0, 2, 4, 6, 8]


def test_a_crash_in_native_code_is_named_by_its_signal(pool: Pool) -> None:
    with pytest.raises(WorkerDiedError, match="SIGSEGV"):
        pool.submit(tasks.crash).result(30)
    assert pool.submit(tasks.add, 1, 1).result(30) == 2


def test_one_stuck_task_is_killed_while_the_other_worker_goes_on(pool: Pool, tmp_path: Path) -> None:
    stuck = [pool.submit(tasks.hang, str(tmp_path / name)) for name in ("a", "b")]
    pids = [written(tmp_path / name) for name in ("a", "b")]
    assert pool.kill(stuck[0])
    with pytest.raises(WorkerDiedError, match="SIGKILL"):
        stuck[0].result(30)
    assert not alive(pids[0]) and alive(pids[1])
    assert pool.submit(tasks.add, 1, 2).result(30) == 3
    assert not stuck[1].done()
    assert pool.kill(stuck[1])
    with pytest.raises(WorkerDiedError):
        stuck[1].result(30)


def test_killing_a_finished_task_does_nothing(pool: Pool) -> None:
    done = pool.submit(tasks.pid)
    done.result(30)
    assert not pool.kill(done)
    assert pool.submit(tasks.add, 1, 1).result(30) == 2


def test_a_result_that_cannot_travel_is_an_error_and_not_a_hang(pool: Pool) -> None:
    with pytest.raises(PermanentError, match="cannot be sent"):
        pool.submit(tasks.lock).result(30)


def test_an_exception_that_cannot_be_rebuilt_is_replaced(pool: Pool) -> None:
    with pytest.raises(TransientError, match="StubbornError"):
        pool.submit(tasks.stubborn).result(30)


def test_arguments_that_cannot_travel_are_refused_at_once(pool: Pool) -> None:
    with pytest.raises(TypeError):
        pool.submit(tasks.add, tasks.lock(), 1)


def test_control_c_and_a_service_stop_do_not_reach_the_workers(pool: Pool) -> None:
    pid = pool.submit(tasks.pid).result(30)
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    pids = {pool.submit(tasks.pid).result(30) for _ in range(6)}
    assert alive(pid) and len(pids) <= 2


def test_shutdown_without_waiting_kills_stragglers_and_cancels_what_waits(tmp_path: Path) -> None:
    pool = Pool(1)
    stuck = pool.submit(tasks.hang, str(tmp_path / "pid"))
    waiting = pool.submit(tasks.add, 1, 1)
    pid = written(tmp_path / "pid")
    pool.shutdown(wait=False)
    assert not alive(pid)
    with pytest.raises(WorkerDiedError):
        stuck.result(0)
    with pytest.raises(CancelledError):
        waiting.result(0)
    with pytest.raises(RuntimeError):
        pool.submit(tasks.pid)


def test_shutdown_with_waiting_lets_tasks_end() -> None:
    with Pool(1) as pool:
        futures = [pool.submit(tasks.add, n, 1) for n in range(3)]
    assert [future.result(0) for future in futures] == [1, 2, 3]


PARENT = """
import sys
from node.pool import Pool
from tests.node import tasks
if __name__ == "__main__":
    Pool(1).submit(tasks.hang, sys.argv[1]).result()
"""


def test_workers_die_with_a_killed_node_even_in_the_middle_of_a_task(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "pid")], cwd=root, env=os.environ | {"PYTHONPATH": str(root)}
    )
    try:
        pid = written(tmp_path / "pid")
        assert alive(pid)
    finally:
        parent.kill()
        parent.wait()
    until(lambda: not alive(pid))


def test_a_task_that_needs_more_memory_than_allowed_is_ended_with_that_reason(pool: Pool) -> None:
    future = pool.submit(Bounded(tasks.grow, 100_000_000), 200)
    with pytest.raises(OverMemoryError, match=r"more than the 100 MB of memory that its package declares") as error:
        future.result(30)
    assert isinstance(error.value, PermanentError)
    assert pool.submit(tasks.add, 1, 2).result(30) == 3


def test_a_task_within_its_memory_is_left_alone(pool: Pool) -> None:
    future = pool.submit(Bounded(tasks.grow, 100_000_000), 20)
    assert future.result(30) == 20 * 1024 * 1024


def test_workers_leave_the_cores_to_whoever_receives(pool: Pool) -> None:
    assert pool.submit(os.nice, 0).result(30) >= worker.NICE > 0
