"""Receiving while models compute: images per second with all cores busy as a worker keeps them, and as if it had no manners."""

import multiprocessing
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.objects import write_images
from bench.receivers import ours
from bench.rows import Row, compare
from node.worker import NICE
from tests import peers, serving

IMAGES = 200


def measure(rounds: int, folder: Path) -> Iterator[Row]:
    """One row: ours is with the niceness workers have, the peer with none."""
    samples: dict[int, list[float]] = {NICE: [], 0: []}
    with tempfile.TemporaryDirectory(dir=folder) as work:
        objects = Path(work, "objects")
        write_images(objects, IMAGES, 512, 512)
        for number in range(rounds):
            for nice in sorted(samples, reverse=bool(number % 2)):
                samples[nice].append(_received(objects, Path(work, f"node-{number}-{nice}"), nice))
    name = f"receiving {IMAGES} images of 0.5 MB while every core computes"
    yield compare(name, "images/s", samples[NICE], samples[0], "workers without niceness", "", 1.0)


def _received(objects: Path, archive: Path, nice: int) -> float:
    archive.mkdir()
    with ours().start(archive) as (port, title):
        busy = [multiprocessing.Process(target=_spin, args=(nice,), daemon=True) for _ in os.sched_getaffinity(0)]
        for process in busy:
            process.start()
        try:
            started = time.perf_counter()
            command = [peers.program("dcmsend"), "-aet", serving.CALLER, "-aec", title, "127.0.0.1", str(port)]
            subprocess.run(
                [*command, "+sd", str(objects)], check=True, capture_output=True, env={**os.environ, "TCP_NODELAY": "1"}
            )
            pace = IMAGES / (time.perf_counter() - started)
        finally:
            for process in busy:
                process.kill()
                process.join()
    shutil.rmtree(archive)
    return pace


def _spin(nice: int) -> None:
    os.nice(nice)
    while True:
        pass
