"""What it costs to compute through a Dask cluster and not in processes of the node: an order that does nothing, and a study."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.rows import Row, UnmeasurableError, compare
from inference.package import load
from node.cluster import Cluster
from node.config_compute import compute_of
from node.demo import SAMPLES
from node.files import find, unzip
from node.pool import Pool
from node.solo import Desk, Solo
from node.tasks import solve
from tests import clusters, peers
from tests.shipped import MODELS

ORDERS: Final = 50  # that do nothing, one after the other, in each round
AT_ONCE: Final = 200  # the same, all handed over before the first is answered
MODEL: Final = "thyroid-us-nodule"
POOL: Final = "processes of the node"
DASK: Final = "dask.distributed alone"
PATIENCE: Final = 60.0


def measure(rounds: int, folder: Path) -> Iterator[Row]:
    """All on this machine: scheduler, one ``ancilla worker``, one worker as Dask itself starts it, one worker process."""
    import distributed

    version = distributed.__version__
    with _engines(folder) as (cluster, pool, alone):
        ways: dict[str, Callable[[int, bool], float]] = {
            "ours": lambda count, wait: _orders(cluster.submit, count, wait),
            POOL: lambda count, wait: _orders(pool.submit, count, wait),
            DASK: lambda count, wait: _orders(alone, count, wait),
        }
        for way in ways.values():
            way(ORDERS, True)
        one: dict[str, list[float]] = {name: [] for name in ways}
        many: dict[str, list[float]] = {name: [] for name in ways}
        for name, way in [*ways.items()] * rounds:
            one[name].append(way(ORDERS, True))
            many[name].append(way(AT_ONCE, False))
        for words, found in (("an order that does nothing, one by one", one), (f"the same, {AT_ONCE} at once", many)):
            yield compare(words, "ms", found["ours"], found[POOL], POOL, "-", more_is_better=False)
            yield compare(words, "ms", found["ours"], found[DASK], DASK, version, more_is_better=False)
        study = _study(folder)
        engines: dict[str, Executor] = {"ours": cluster, POOL: pool}
        for number, engine in enumerate(engines.values()):
            _solved(engine, study, folder / f"warm{number}")
        seconds: dict[str, list[float]] = {name: [] for name in engines}
        for number in range(rounds):
            for name, engine in engines.items():
                seconds[name].append(_solved(engine, study, folder / f"{number}-{len(name)}"))
        words = f"a study of {len(study.files)} images, {MODEL}, files to files"
        yield compare(words, "ms", seconds["ours"], seconds[POOL], POOL, "-", more_is_better=False)


@contextlib.contextmanager
def _engines(folder: Path) -> Iterator[tuple[Cluster, Pool, Callable[..., object]]]:
    made = clusters.Cluster(folder)
    pool = Pool(1)
    try:
        made.start()
        made.worker()
        made.plain_worker()
        peers.wait_for(lambda: peers.listens(made.port), "the scheduler", PATIENCE)
        cluster = Cluster(compute_of(made.compute(made.identity), folder, os.cpu_count() or 1), folder)
        try:
            peers.wait_for(lambda: cluster.size == 1 and len(cluster.greeted()) == 2, "both workers", PATIENCE)
            with _client(made, cluster) as submit:
                yield cluster, pool, submit
        finally:
            cluster.shutdown(wait=False)
    except AssertionError as error:
        raise UnmeasurableError(f"{error}\n{made.log()[-2000:]}") from None
    finally:
        pool.shutdown(wait=False)
        made.stop()


@contextlib.contextmanager
def _client(made: clusters.Cluster, cluster: Cluster) -> Iterator[Callable[..., object]]:
    """Dask without us: its own client, on the worker that we refuse."""
    from distributed import Client

    from node.cluster_link import security_of

    compute = compute_of(made.compute(made.identity), made.folder, 1)
    [address] = [address for address, member in cluster.members.items() if member.wrong]
    with Client(compute.address, security=security_of(compute), set_as_default=False) as client:
        yield lambda fn: client.submit(fn, pure=False, workers=[address])


def _orders(submit: Callable[..., object], count: int, wait: bool) -> float:
    """Milliseconds for each."""
    begun = time.perf_counter()
    if wait:
        for _ in range(count):
            submit(os.getpid).result()  # type: ignore[attr-defined]
    else:
        for answer in [submit(os.getpid) for _ in range(count)]:
            answer.result()  # type: ignore[attr-defined]
    return (time.perf_counter() - begun) / count * 1000


def _study(folder: Path) -> Solo:
    images = folder / "images"
    images.mkdir()
    unzip(SAMPLES / f"{MODEL}.zip", images)
    ((study_uid, stored),) = find([images]).by_study().items()
    package = load(MODELS / MODEL)
    desk = Desk(str(MODELS / MODEL), package.digest, str(folder), ("sr", "seg"), precision="fp32")
    files = tuple(str(file.path) for file in stored)
    return Solo(desk, study_uid, files, "", datetime(2026, 3, 4, tzinfo=UTC))


def _solved(engine: Executor, study: Solo, out: Path) -> float:
    """Milliseconds from order to answer."""
    begun = time.perf_counter()
    engine.submit(solve, replace(study, out_dir=str(out))).result()
    return (time.perf_counter() - begun) * 1000
