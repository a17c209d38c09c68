"""C-STORE throughput of this node beside other receivers: same files, same sender, one after the other, round by round."""

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import completing, priority, setup
from bench.objects import write_images, write_large
from bench.receivers import WARMING, Receiver, orthanc, ours, prepare, pynetdicom, storescp, warm_up
from bench.rows import Row, UnmeasurableError, alone, compare
from tests import peers, serving
from tests.serving import CALLER

LONGEST = 900  # seconds for one transfer
MEMORY = 64.0  # megabytes


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is sent."""

    images: int = 600
    small: int = 10_000
    large: int = 2_000_000_000  # bytes of one object


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is sent and how. ``rivals`` come with the ratio to reach, or None."""

    name: str
    count: int
    rows: int
    columns: int
    rivals: tuple[tuple[Receiver, float | None], ...]
    associations: int = 1
    nagle: bool = False
    durability: str = "instance"  # ours

    @property
    def each(self) -> int:
        """Objects per association."""
        return max(self.count // self.associations, 1)


def scenarios(sizes: Sizes) -> list[Scenario]:
    """Each one a row per rival. A sender with Nagle's algorithm on is DCMTK's default and what most scanners are."""
    half_megabyte, two_kilobytes = (sizes.images, 512, 512), (sizes.small, 32, 24)
    plain, kept, forking = storescp(), storescp("+B"), storescp("--fork")
    return [
        Scenario("one association", *half_megabyte, ((plain, 1.2), (kept, None), (orthanc(), 3.5), (pynetdicom(), 5.0))),
        Scenario("one association, sender with Nagle's algorithm", *half_megabyte, ((kept, 2.0), (plain, None)), nagle=True),
        Scenario("one association, durability association", *half_megabyte, ((plain, 2.0),), durability="association"),
        Scenario("four associations at once", *half_megabyte, ((forking, 1.5),), associations=4),
        Scenario("objects of 2 KB, one association", *two_kilobytes, ((plain, 1.5), (pynetdicom(), 10.0))),
    ]


def measure(rounds: int, sizes: Sizes, folder: Path, only: str = "") -> Iterator[Row]:
    """All rows, or those in whose name ``only`` occurs. Raises UnmeasurableError when a receiver did not take everything."""
    parts: dict[str, Callable[[], Iterator[Row]]] = {setup.NAME: lambda: setup.measure(rounds, folder)}
    parts |= {scenario.name: partial(_compared, scenario, rounds, folder) for scenario in scenarios(sizes)}
    parts["last row after the last answer"] = lambda: _last_rows(sizes, rounds, folder)
    parts["memory for one object"] = lambda: _memory(sizes, rounds, folder)
    parts[completing.NAME] = lambda: completing.measure(sizes.images, rounds, folder)
    for name, part in parts.items():
        if only in name:
            yield from part()


def _compared(scenario: Scenario, rounds: int, folder: Path) -> Iterator[Row]:
    us = ours(scenario.durability)
    samples = _samples(scenario, [us, *(rival for rival, _ in scenario.rivals)], rounds, folder)
    for rival, target in scenario.rivals:
        name = f"{scenario.name} ({scenario.count} objects)"
        yield compare(name, "objects/s", samples[us.name], samples[rival.name], rival.name, rival.version, target)


def _last_rows(sizes: Sizes, rounds: int, folder: Path) -> Iterator[Row]:
    yield alone(f"last row after the last answer ({sizes.images} objects)", "s", _lags(sizes.images, rounds, folder))


def _memory(sizes: Sizes, rounds: int, folder: Path) -> Iterator[Row]:
    yield alone(f"memory for one object of {sizes.large / 1e9:g} GB", "MB", _growths(sizes.large, rounds, folder), MEMORY)


def _lags(count: int, rounds: int, folder: Path) -> list[float]:
    """Seconds from the last answer of a transfer until every image is in the database, as another process sees it."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        objects = Path(work, "objects")
        write_images(objects, count, 512, 512)
        return [_lag(objects, count, Path(work, f"node-{number}")) for number in range(rounds)]


def _lag(objects: Path, count: int, archive: Path) -> float:
    archive.mkdir()
    node = prepare(archive, "instance")
    with serving.serving(node):
        warm_up(node)
        _transfer(node.port, "ANCILLA", [objects], nagle=False)
        ended = time.perf_counter()
        peers.wait_for(lambda: _rows(node.data / "ancilla.db") >= count + WARMING, "the last row", alive=node.alive)
        seconds = time.perf_counter() - ended
    shutil.rmtree(archive)
    os.sync()
    return seconds


def _rows(database: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM instances").fetchone()[0])


def _growths(size: int, rounds: int, folder: Path) -> list[float]:
    """Megabytes by which the receiving process is larger at its largest than before a large object, in every round."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        file = Path(work, "object", "large.dcm")
        file.parent.mkdir()
        write_large(file, size)
        return [_growth(file.parent, Path(work, f"node-{number}")) for number in range(rounds)]


def _growth(objects: Path, archive: Path) -> float:
    archive.mkdir()
    node = serving.prepare(archive, study={"quiet_seconds": 3600})
    with serving.serving(node):
        assert node.process is not None
        status, reset = (Path("/proc", str(node.process.pid), name) for name in ("status", "clear_refs"))
        reset.write_text("5")  # the peak counts from here (proc(5))
        before = _kilobytes(status, "VmRSS")
        _transfer(node.port, "ANCILLA", [objects], nagle=False)
        after = _kilobytes(status, "VmHWM")
    shutil.rmtree(archive)
    return (after - before) * 1024 / 1e6


def _kilobytes(status: Path, name: str) -> int:
    return int(status.read_text().split(f"{name}:", 1)[1].split()[0])


def _samples(scenario: Scenario, receivers: Sequence[Receiver], rounds: int, folder: Path) -> dict[str, list[float]]:
    """Objects per second of every receiver in every round, in an order that changes."""
    rates: dict[str, list[float]] = {receiver.name: [] for receiver in receivers}
    order = random.Random(rounds)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        senders = _write(scenario, Path(work, "objects"))
        for _ in range(rounds):
            for receiver in order.sample(receivers, len(receivers)):
                archive = Path(work, "archive")
                archive.mkdir()
                seconds = _send(scenario, receiver, senders, archive)
                shutil.rmtree(archive)
                os.sync()  # what one receiver left unwritten must not slow the next
                rates[receiver.name].append(scenario.each * scenario.associations / seconds)
    return rates


def _write(scenario: Scenario, folder: Path) -> list[Path]:
    """One folder of objects per association."""
    folders = [folder / str(number) for number in range(scenario.associations)]
    for one in folders:
        write_images(one, scenario.each, scenario.rows, scenario.columns)
    return folders


def _send(scenario: Scenario, receiver: Receiver, folders: Sequence[Path], archive: Path) -> float:
    with receiver.start(archive) as (port, ae_title):
        try:
            return _transfer(port, ae_title, folders, scenario.nagle)
        except UnmeasurableError as error:
            raise UnmeasurableError(f"{receiver.name}: {error}") from None


def _transfer(port: int, ae_title: str, folders: Sequence[Path], nagle: bool) -> float:
    """Seconds from starting the senders, one per folder, until the last of them has its last answer."""
    env = {**os.environ, "TCP_NODELAY": "0" if nagle else "1"}  # DCMTK reads it
    command = [peers.program("dcmsend"), "-dn", "+sd", "-aet", CALLER, "-aec", ae_title, "127.0.0.1", str(port)]
    with priority.first():
        started = time.perf_counter()
        senders = [subprocess.Popen([*command, str(one)], env=env, stderr=subprocess.PIPE) for one in folders]
        errors = [sender.communicate(timeout=LONGEST)[1] for sender in senders]
        seconds = time.perf_counter() - started
    for sender, error in zip(senders, errors, strict=True):
        if sender.returncode != 0:
            raise UnmeasurableError(f"dcmsend ended with {sender.returncode}: {error.decode()[-300:]}")
    return seconds
