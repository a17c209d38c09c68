"""How long a study takes to be complete of which nobody says anything: what is beyond the quiet time that was learned."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.objects import write_images
from bench.rows import Row, alone
from db.engine import open_store
from node.commands.options import now
from node.config import load
from node.quiet import ENOUGH, quiet_time
from tests import peers, serving
from tests.serving import CALLER

NAME: Final = "complete after the learned quiet time"
LIMIT: Final = 0.5  # seconds beyond the quiet time
LONGEST: Final = 60.0


def measure(count: int, rounds: int, folder: Path) -> Iterator[Row]:
    """Seconds from the last answer until the study is complete, as another process sees it, without the learned quiet time."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        node = serving.prepare(Path(work), study={"quiet_seconds": 5, "quiet_floor_seconds": 0.5})
        with serving.serving(node):
            for _ in range(ENOUGH):
                _send(node, 1)
            _wait_until_complete(node, ENOUGH)
            learned = _learned(node)
            samples = [_seconds(node, count, ENOUGH + number) - learned for number in range(1, rounds + 1)]
    yield alone(f"{NAME} of {learned:.3g} s ({count} objects)", "s", samples, LIMIT)


def _learned(node: serving.Node) -> float:
    store = open_store(node.data / "ancilla.db", now)
    try:
        return quiet_time(load(node.toml).study, store.habits()[CALLER]).seconds
    finally:
        store.close()


def _seconds(node: serving.Node, count: int, studies: int) -> float:
    """From the last answer until as many studies are complete."""
    _send(node, count)
    ended = time.perf_counter()
    _wait_until_complete(node, studies)
    return time.perf_counter() - ended


def _send(node: serving.Node, count: int) -> None:
    """A new study."""
    objects = node.folder / "objects"
    write_images(objects, count, 512, 512)
    command = [peers.program("dcmsend"), "-aet", CALLER, "-aec", "ANCILLA", "127.0.0.1", str(node.port), "+sd", str(objects)]
    subprocess.run(command, check=True, capture_output=True, timeout=LONGEST, env={**os.environ, "TCP_NODELAY": "1"})
    shutil.rmtree(objects)


def _wait_until_complete(node: serving.Node, studies: int) -> None:
    peers.wait_for(lambda: _complete(node.data / "ancilla.db") >= studies, "a complete study", LONGEST, node.alive)


def _complete(database: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM studies WHERE state = 'complete'").fetchone()[0])
