"""The C-STORE receivers that are compared, each started fresh with an empty archive on the same disk."""

import contextlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from bench.objects import write_images
from tests import peers, serving

# DCMTK, and Orthanc with it, write an answer in two pieces; without this each waits 40 ms for a delayed acknowledgement.
NO_DELAY = {"TCP_NODELAY": "1"}
WARMING = 17  # objects from which on a node writes zeros ahead
QUIET_SECONDS = 0.5
SPARES = 15  # files of them, with the default of scp.prepared_mb
Start = Callable[[Path], contextlib.AbstractContextManager[tuple[int, str]]]


@dataclass(frozen=True, slots=True)
class Receiver:
    """One of them. ``start(folder)`` gives its port and AE title."""

    name: str
    version: str
    start: Start


def _ours(durability: str) -> Start:
    @contextlib.contextmanager
    def start(folder: Path) -> Iterator[tuple[int, str]]:
        node = prepare(folder, durability)
        with serving.serving(node):
            warm_up(node)
            yield node.port, "ANCILLA"

    return start


def prepare(folder: Path, durability: str) -> serving.Node:
    """Our node, not yet started."""
    scp = {"requests_per_second": 0, "durability": durability, "prepared_mb": 512}
    return serving.prepare(folder, study={"quiet_seconds": 3600}, scp=scp)


def warm_up(node: serving.Node) -> None:
    """As a node is that has received before: its zeros are written ahead (``db.spares``), its workers are there."""
    with tempfile.TemporaryDirectory() as work:
        write_images(Path(work, "objects"), WARMING, 8, 8)
        command = [peers.program("dcmsend"), "-aet", serving.CALLER, "-aec", "ANCILLA", "127.0.0.1", str(node.port)]
        subprocess.run([*command, "+sd", str(Path(work, "objects"))], check=True, capture_output=True)
    spares = node.data / "spool" / "spare"
    peers.wait_for(lambda: len(list(spares.glob("*.zeros"))) == SPARES, "the zeros", 60, node.alive)
    assert node.process is not None
    while before := _ticks(node.process.pid):  # its workers load their libraries
        time.sleep(QUIET_SECONDS)
        if _ticks(node.process.pid) == before:
            return


def _ticks(pid: int) -> int:
    """Processor time a process and those it started have used, in clock ticks (proc(5))."""
    words = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    children = " ".join(file.read_text() for file in Path("/proc", str(pid), "task").glob("*/children"))
    return int(words[11]) + int(words[12]) + sum(_ticks(int(child)) for child in children.split())


def _storescp(*options: str) -> Start:
    @contextlib.contextmanager
    def start(folder: Path) -> Iterator[tuple[int, str]]:
        port = peers.free_port()
        command = [peers.program("storescp"), "-q", "-od", folder, *options, str(port)]
        with peers.running(command, folder / "log", NO_DELAY) as process:
            peers.wait_for(lambda: peers.listens(port), "storescp", alive=lambda: process.poll() is None)
            yield port, "STORESCP"

    return start


@contextlib.contextmanager
def _orthanc(folder: Path) -> Iterator[tuple[int, str]]:
    with peers.orthanc(folder=folder, env=NO_DELAY) as peer:
        yield peer.port, peer.ae_title


@contextlib.contextmanager
def _pynetdicom(folder: Path) -> Iterator[tuple[int, str]]:
    port = peers.free_port()
    command = [sys.executable, "-m", "pynetdicom", "storescp", str(port), "-q", "-od", folder]
    with peers.running(command, folder / "log", NO_DELAY) as process:
        peers.wait_for(lambda: peers.listens(port), "pynetdicom storescp", alive=lambda: process.poll() is None)
        yield port, "STORESCP"


def ours(durability: str = "instance") -> Receiver:
    """This product: every image durable before its answer, or before the release is answered; indexed at once."""
    return Receiver("ancilla serve", metadata.version("ancilla"), _ours(durability))


def storescp(*options: str) -> Receiver:
    """DCMTK's application: one file per image, no sync, no index."""
    words = subprocess.run([peers.program("storescp"), "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v(\d[\w.]*)", words)
    return Receiver(" ".join(["DCMTK storescp", *options]), found.group(1) if found else "?", _storescp(*options))


def orthanc() -> Receiver:
    """Orthanc with its defaults: a file per image, SQLite, synced."""
    words = subprocess.run([peers.program("Orthanc"), "--version"], capture_output=True, text=True, check=False).stdout
    return Receiver("Orthanc", words.split("\n", 1)[0].split()[-1], _orthanc)


def pynetdicom() -> Receiver:
    """pynetdicom's storescp application: a file per image, no sync, no index."""
    return Receiver("pynetdicom storescp", metadata.version("pynetdicom"), _pynetdicom)
