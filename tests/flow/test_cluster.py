"""Workers of a Dask cluster, real processes over mutual TLS: a study is answered, and whoever dies, nothing is lost."""

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from domain.errors import ConfigurationError, PermanentError
from domain.moves import JobState
from node import cluster_link, cluster_worker, lane
from node.__main__ import main
from node.checks import checks
from node.cluster import Cluster as Engine
from node.config import load
from node.config_compute import ComputeSettings, compute_of
from node.pool import LOST, Bounded, OverMemoryError, WorkerDiedError
from tests import clusters, peers, serving
from tests.flow.scanner import scanner
from tests.node import tasks
from tests.node.configuration import TEXT
from tests.node.stage import Stage
from tests.node.test_pool import alive, until, written
from tests.scp.certificates import Authority

pytest.importorskip("distributed", reason='the extra "dask" is not installed')


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[clusters.Cluster]:
    """A scheduler and one worker; a test that ends one of them starts another."""
    made = clusters.Cluster(tmp_path_factory.mktemp("cluster"), launcher="tests.flow.quick_worker")
    try:
        made.start()
        made.worker()
        yield made
    finally:
        made.stop()


def compute(cluster: clusters.Cluster) -> ComputeSettings:
    return compute_of(cluster.compute(cluster.identity), cluster.folder, 2)


@pytest.fixture
def engine(cluster: clusters.Cluster, tmp_path: Path) -> Iterator[Engine]:
    peers.wait_for(lambda: peers.listens(cluster.port), "the scheduler", 30)
    made = Engine(compute(cluster), tmp_path)
    try:
        peers.wait_for(lambda: made.size == 1, f"the worker; {made.members}", 60)
        yield made
    finally:
        made.shutdown(wait=False)


def test_an_order_is_done_in_a_process_that_ends_when_it_is_given_up(
    cluster: clusters.Cluster, engine: Engine, tmp_path: Path
) -> None:
    assert engine.submit(tasks.add, 2, 3).result(30) == 5
    process = engine.submit(tasks.pid).result(30)
    assert engine.submit(tasks.pid).result(30) == process, "it is kept, with what it has loaded"
    with pytest.raises(ValueError, match="no"):
        engine.submit(tasks.refuse).result(30)
    with pytest.raises(PermanentError, match="cannot be sent"):
        engine.submit(tasks.lock).result(30)
    future, waiting = engine.submit(tasks.hang, str(tmp_path / "pid")), engine.submit(tasks.pid)
    stuck = written(tmp_path / "pid")
    until(future.running)
    assert stuck == process and not waiting.running(), "one at a time"
    other = Engine(compute(cluster), tmp_path)
    assert other.size == 1, "it is greeted while it works"
    queued = other.submit(tasks.pid)
    assert engine.kill(future) and not engine.kill(future)
    with pytest.raises(WorkerDiedError):
        future.result(30)
    until(lambda: not alive(stuck))
    assert waiting.result(30) == queued.result(30) != stuck
    other.shutdown()
    with pytest.raises(OverMemoryError):
        engine.submit(Bounded(tasks.grow, 100_000_000), 200).result(30)


def staged(engine: Engine, folder: Path) -> tuple[Stage, int]:
    """A job that hangs in a worker, and the process it is in."""
    stage = Stage(folder, TEXT.replace("workers = 2", 'executor = "dask"\naddress = "tcp://127.0.0.1:1"'))
    stage.settings.node.data_dir.mkdir(exist_ok=True)
    stage.engine, stage.perform = engine, tasks.answer
    stage.restart()
    stage.settled()
    return stage, written(stage.settings.node.data_dir / "hung")


def turned(stage: Stage, state: JobState) -> None:
    """Until the job is in this state."""

    def done() -> bool:
        stage.runner.step()
        return stage.infer().state is state

    until(done, 60)


def test_a_job_that_takes_too_long_is_killed_and_done_by_the_rules_of_the_store(engine: Engine, tmp_path: Path) -> None:
    stage, process = staged(engine, tmp_path)
    until(next(iter(stage.inferring._holding.held.values())).future.running)
    stage.later(101)
    turned(stage, JobState.QUEUED)
    assert stage.infer().reason == "it took longer than 100 seconds and was killed"
    until(lambda: not alive(process))
    stage.later(60)
    turned(stage, JobState.DONE)
    job = stage.infer()
    [report] = stage.settings.node.data_dir.rglob("sr.dcm")
    assert (job.attempts, report.read_text()) == (2, f"{job.token}")


def test_a_worker_that_is_killed_loses_its_job_to_another(cluster: clusters.Cluster, engine: Engine, tmp_path: Path) -> None:
    stage, process = staged(engine, tmp_path)
    cluster.running[-1].send_signal(signal.SIGKILL)
    cluster.worker()
    turned(stage, JobState.QUEUED)
    assert stage.infer().reason.endswith("was lost") and stage.infer().attempts == 1
    until(lambda: not alive(process))
    stage.later(60)
    turned(stage, JobState.DONE)
    assert stage.infer().attempts == 2


def test_jobs_wait_for_a_scheduler_that_is_away(cluster: clusters.Cluster, engine: Engine, tmp_path: Path) -> None:
    stage, process = staged(engine, tmp_path)
    cluster.running[0].kill()
    cluster.running[0].wait(10)
    turned(stage, JobState.QUEUED)
    assert stage.infer().reason == LOST
    until(lambda: not alive(process))
    stage.receive("1.2.9", "1.2.9.1")
    stage.later(31)
    stage.turn()
    assert engine.size == 0 and all(job.state is JobState.QUEUED for job in stage.store.jobs()), "nothing is claimed meanwhile"
    cluster.running[0] = cluster.start()
    cluster.running.pop()
    turned(stage, JobState.DONE)


def test_a_study_is_answered_by_a_worker_of_the_cluster(cluster: clusters.Cluster, tmp_path: Path, packages: Path) -> None:
    out = {"name": "out", "kind": "folder", "path": str(tmp_path / "out"), "outputs": ["sr", "seg"]}
    models = [{"package": str(packages / "tiny"), "send_to": ["out"]}]
    section = {**cluster.compute(cluster.identity), "workers": 0, "precision": "fp32"}
    node = serving.prepare(tmp_path, models=models, destinations=[out], compute=section)
    with serving.serving(node):
        scanner(tmp_path / "images").send(node)
        peers.wait_for(lambda: " sent " in node.log(), "its results", 60, node.alive)
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 3, "two reports and a segmentation"
    answered = list((node.data / "results").rglob("result.json"))
    assert len(answered) == 1 and json.loads(answered[0].read_text())["model"]["id"] == "test-lungs"
    assert not list((node.data / "results" / ".staged").iterdir()) and [
        file.name for file in (node.data / "cluster").iterdir()
    ] == ["used"]
    found = {check.name.split()[0]: check for check in checks(load(node.toml))}
    assert found["cluster"].words.endswith("1 of 1 workers can be used") and found["worker"].good
    assert found["golden"].good and "on the workers (" in found["golden"].words


def test_a_batch_is_done_by_the_cluster(cluster: clusters.Cluster, tmp_path: Path, packages: Path) -> None:
    node = serving.prepare(tmp_path, compute={**cluster.compute(cluster.identity), "workers": 0})
    scanner(tmp_path / "images")
    batch = ["batch", str(tmp_path / "images"), "--model", str(packages / "tiny"), "--out", str(tmp_path / "batch")]
    assert main([*batch, "--precision", "fp32", "-c", str(node.toml)]) == 0
    assert list((tmp_path / "batch").glob("*/sr.dcm"))


def test_a_scheduler_of_another_authority_is_refused_and_so_are_we(
    cluster: clusters.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_link, "CONNECT_SECONDS", 1.0)
    rogue = Authority(tmp_path, "rogue")
    stranger = rogue.identity("stranger")
    for authority in (None, rogue):  # it does not take our certificate; we do not take its either
        section = compute_of(cluster.compute(stranger, authority), tmp_path, 2)
        with pytest.raises(ConfigurationError, match=r"one side does not take the certificate|no Dask scheduler that takes us"):
            Engine(section, tmp_path)
    monkeypatch.setattr(lane, "_LANES", [])
    with pytest.raises(ConfigurationError, match=r"compute.tls: tls://127.0.0.1:\d+: one side does not take the certificate"):
        cluster_worker.serve(section)
    nowhere = replace(compute(cluster), address=f"tls://127.0.0.1:{peers.free_port()}")
    with pytest.raises(
        ConfigurationError, match=r"compute.address: tls://127.0.0.1:\d+: no Dask scheduler that takes us answers"
    ):
        Engine(nowhere, tmp_path)


def test_files_of_certificates_are_looked_at_first(cluster: clusters.Cluster, tmp_path: Path) -> None:
    good = compute(cluster)
    assert good.tls is not None
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    for name in ("ca", "cert", "key"):
        for file in (bad, tmp_path / "missing.pem"):
            with pytest.raises(ConfigurationError, match=r"compute.tls.(key|cert|ca) cannot be used"):
                cluster_link.security_of(replace(good, tls=replace(good.tls, **{name: file})))
