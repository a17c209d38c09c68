"""Many threads and processes at once: nothing is lost, nothing happens twice, the audit chain stays whole."""

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path

from db.audit import verify
from db.engine import open_store
from db.store import Store
from domain.jobs import JobKind
from domain.moves import JobState
from tests.db.nouns import CALLER, Clock, answer, instance, model, settled


def _now() -> datetime:
    return datetime.now(UTC)


def test_four_receivers_and_a_runner_work_at_once(store: Store, clock: Clock) -> None:
    for number in range(20):
        settled(store, clock, model(study=f"8.{number}"), study=f"8.{number}", number=1000 + number)
    done = threading.Event()
    finished: list[int] = []

    def receive(association: int) -> None:
        name = f"a{association}"
        store.opened(name, CALLER)
        for number in range(60):
            store.received(instance(association * 100 + number, f"1.{association}", association=name), 30, 600)
        store.closed(name, "released", 30)

    def run() -> None:
        while not done.is_set() or len(finished) < 20:
            job = store.claim(JobKind.INFER, "runner", 60)
            if job is not None:
                store.finish(job, answer())
                finished.append(job.job_id)

    runner = threading.Thread(target=run)
    runner.start()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(receive, range(4)))
    done.set()
    runner.join(60)
    assert not runner.is_alive()
    assert [len(store.instances(f"1.{association}")) for association in range(4)] == [60] * 4
    assert sorted(finished) == sorted(set(finished))
    assert len(store.jobs(kind=JobKind.INFER, state=JobState.DONE)) == 20
    assert verify(store).broken_seq is None


def test_the_same_image_from_two_associations_at_once_is_stored_once(store: Store) -> None:
    def receive(association: int) -> list[str]:
        return [store.received(instance(number, association=f"a{association}"), 30, 600) for number in range(50)]

    with ThreadPoolExecutor(4) as threads:
        receipts = [receipt for several in threads.map(receive, range(4)) for receipt in several]
    assert receipts.count("stored") == 50
    assert receipts.count("duplicate") == 150
    assert len(store.instances("1.2.3")) == 50


def _claim_all(path: Path, results: "multiprocessing.Queue[list[int]]", together: Barrier) -> None:
    store = open_store(path, _now)
    mine = []
    together.wait(60)
    while (job := store.claim(JobKind.INFER, "w", 600)) is not None:
        mine.append(job.job_id)
    store.close()
    results.put(mine)


def test_two_processes_never_claim_the_same_job(tmp_path: Path, store: Store, clock: Clock) -> None:
    for number in range(30):
        settled(store, clock, model(study=f"8.{number}"), study=f"8.{number}", number=number)
    spawn = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[list[int]] = spawn.Queue()
    arguments = (tmp_path / "ancilla.db", results, spawn.Barrier(2))
    processes = [spawn.Process(target=_claim_all, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    claimed = [job_id for _ in processes for job_id in results.get(timeout=60)]
    for process in processes:
        process.join(60)
    assert len(claimed) == 30
    assert len(set(claimed)) == 30
    assert verify(store).broken_seq is None
