"""Does a node stay quick when its archive has grown? Everything an operator or a scanner waits for, by size of the archive."""

import contextlib
import itertools
import os
import shutil
import sqlite3
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pydicom import dcmread

from bench import archives
from bench.objects import write_images
from bench.rows import Row, UnmeasurableError, alone, compare
from tests import peers, serving
from tests.flow.modality import Step
from tests.serving import CALLER

LIMIT: Final = 2.0  # times as long, or as much, as with the smallest archive
SENT: Final = 1_000  # objects of two kilobytes
LISTED: Final = 20  # images of a study that MPPS lists
IDLE_SECONDS: Final = 4.0
WARMING_SECONDS: Final = 3.0
TURN: Final = 0.5  # seconds of an idle loop (``node.runner``)
LONGEST: Final = 120.0

VERIFY: Final = "audit verify"
START, TURNS, PACE = "start until it listens", "idle loop, one turn", "receiving"
COMPLETE: Final = "complete after the last listed image"
MEMORY, ROOM = "resident memory of the node", "database per study"
UNITS: Final = {START: "s", TURNS: "ms", PACE: "objects/s", COMPLETE: "s", MEMORY: "MB", ROOM: "kB", VERIFY: "rows/s"}
COMMANDS: Final = {
    "status": ("status",),
    "studies": ("studies",),
    "show UID": ("show", "{study}"),
    "jobs": ("jobs",),
    "jobs --state failed": ("jobs", "--state", "failed"),
    "audit list": ("audit", "list"),
    "audit list --event refused": ("audit", "list", "--event", "refused"),
}
Samples = dict[str, list[float]]


def measure(rounds: int, sizes: Sequence[int], images: int, folder: Path) -> Iterator[Row]:
    """A row per measure and size, and one that compares the largest archive with the smallest."""
    sizes = sorted(set(sizes))
    if len(sizes) < 2:
        raise UnmeasurableError("growth needs two sizes of archive")
    nodes = [_filled(folder / str(size), size, images) for size in sizes]
    found: dict[int, Samples] = {size: defaultdict(list) for size in sizes}
    for _ in range(rounds):
        for size, node in zip(sizes, nodes, strict=True):
            for name, value in _round(node, size):
                found[size][name].append(value)
    for size, node in zip(sizes, nodes, strict=True):
        found[size][VERIFY].append(_verified(node))
        found[size][ROOM].append((node.data / "ancilla.db").stat().st_size / size / 1000)
    for name in found[sizes[0]]:
        yield from _rows(name, sizes, found)


def _rows(name: str, sizes: Sequence[int], found: dict[int, Samples]) -> Iterator[Row]:
    unit = UNITS.get(name, "s")
    for size in sizes:
        yield alone(f"{name} ({size} studies)", unit, found[size][name])
    smallest, largest = (found[size][name] for size in (sizes[0], sizes[-1]))
    words = f"{name}: {sizes[-1]} studies beside {sizes[0]}"
    better = unit.endswith("/s")
    yield compare(words, unit, largest, smallest, f"{sizes[0]} studies", "-", 1 / LIMIT, better)


def _filled(folder: Path, size: int, images: int) -> serving.Node:
    """A node with an archive, stopped. It is not full and has no models: what it does is receive and look around."""
    folder.mkdir()
    node = serving.prepare(folder, scp={"requests_per_second": 0, "prepared_mb": 0})
    archives.fill(node.data, size, images, datetime.now(UTC) - timedelta(hours=1))
    os.sync()
    return node


def _round(node: serving.Node, size: int) -> Iterator[tuple[str, float]]:
    node.start()
    try:
        yield START, _started(node)
        yield TURNS, _turn(node)
        for name, words in COMMANDS.items():
            yield name, _told(node, [word.format(study=archives.study_uid(size // 2)) for word in words])
        yield PACE, _pace(node)
        yield COMPLETE, _completed(node)
        yield MEMORY, _resident(node)
    finally:
        node.stop()
    os.sync()


def _started(node: serving.Node) -> float:
    begun = time.perf_counter()
    while not peers.listens(node.port):
        if not node.alive() or time.perf_counter() - begun > LONGEST:
            raise UnmeasurableError(f"the node does not listen:\n{node.log()[-2000:]}")
        time.sleep(0.005)
    return time.perf_counter() - begun


def _turn(node: serving.Node) -> float:
    """Milliseconds of processor time per turn, of all threads of the node."""
    time.sleep(WARMING_SECONDS)  # its workers load their libraries
    before = _nanoseconds(node)
    time.sleep(IDLE_SECONDS)
    return (_nanoseconds(node) - before) / 1e6 / (IDLE_SECONDS / TURN)


def _nanoseconds(node: serving.Node) -> int:
    """Time on a processor (Documentation/scheduler/sched-stats.rst of Linux)."""
    assert node.process is not None
    found = Path("/proc", str(node.process.pid), "task").glob("*/schedstat")
    return sum(int(file.read_text().split()[0]) for file in found)


def _told(node: serving.Node, words: Sequence[str]) -> float:
    """Seconds of one command, the start of its interpreter included."""
    begun = time.perf_counter()
    node.ask(*words)
    return time.perf_counter() - begun


def _pace(node: serving.Node) -> float:
    """Small objects per second in one association."""
    with _objects(node, SENT) as objects:
        begun = time.perf_counter()
        _send(node, objects)
        return SENT / (time.perf_counter() - begun)


def _completed(node: serving.Node) -> float:
    """Seconds from the end of the sender until a study is complete of which MPPS lists all images."""
    with _objects(node, LISTED) as objects:
        headers = [dcmread(file, stop_before_pixels=True) for file in sorted(objects.iterdir())]
        study = str(headers[0].StudyInstanceUID)
        step = Step(node, study)
        step.begin()
        step.end(str(headers[0].SeriesInstanceUID), [str(header.SOPInstanceUID) for header in headers])
        _send(node, objects)
        begun = time.perf_counter()
        with contextlib.closing(sqlite3.connect(f"file:{node.data / 'ancilla.db'}?mode=ro", uri=True)) as database:
            while not _is_complete(database, study):
                if time.perf_counter() - begun > LONGEST:
                    raise UnmeasurableError("a study that is listed complete is not closed")
                time.sleep(0.002)
        return time.perf_counter() - begun


def _is_complete(database: sqlite3.Connection, study: str) -> bool:
    found = database.execute("SELECT state FROM studies WHERE study_uid = ?", (study,)).fetchone()
    return found is not None and found[0] == "complete"


_numbers = itertools.count()


@contextlib.contextmanager
def _objects(node: serving.Node, count: int) -> Iterator[Path]:
    folder = node.folder / f"objects-{next(_numbers)}"
    write_images(folder, count, 32, 24)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _send(node: serving.Node, objects: Path) -> None:
    command = [peers.program("dcmsend"), "-aet", CALLER, "-aec", "ANCILLA", "127.0.0.1", str(node.port), "+sd", str(objects)]
    done = subprocess.run(command, capture_output=True, timeout=LONGEST, check=False, env={**os.environ, "TCP_NODELAY": "1"})
    if done.returncode != 0:
        raise UnmeasurableError(f"dcmsend ended with {done.returncode}: {done.stderr.decode()[-300:]}")


def _resident(node: serving.Node) -> float:
    assert node.process is not None
    status = Path("/proc", str(node.process.pid), "status").read_text()
    return int(status.split("VmRSS:", 1)[1].split()[0]) * 1024 / 1e6


def _verified(node: serving.Node) -> float:
    """Rows per second; the process is not started for it, so that small archives are not slow for that."""
    from db.audit import verify
    from db.engine import open_store

    store = open_store(node.data / "ancilla.db", lambda: datetime.now(UTC))
    try:
        begun = time.perf_counter()
        found = verify(store)
        seconds = time.perf_counter() - begun
    finally:
        store.close()
    if found.broken_seq is not None:
        raise UnmeasurableError(f"the chain of an archive is broken: {found.words}")
    return found.rows / seconds
