"""How fast results leave: our C-STORE requestor beside DCMTK's, both into the same receiver."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.objects import write_images
from bench.receivers import storescp
from bench.rows import Row, UnmeasurableError, compare
from delivery.dicom import send
from domain.destinations import Destination
from tests import peers

Send = Callable[[int, Path], None]


def measure(rounds: int, images: int, folder: Path) -> Iterator[Row]:
    """One row: objects of half a megabyte on one association into DCMTK storescp +B."""
    receiver = storescp("+B")
    senders: list[Send] = [_ours, _dcmsend]
    rates: dict[Send, list[float]] = {sender: [] for sender in senders}
    with tempfile.TemporaryDirectory(dir=folder) as work:
        objects, archive = Path(work, "objects"), Path(work, "archive")
        write_images(objects, images, 512, 512)
        for number in range(rounds):
            for sender in senders[:: 1 if number % 2 else -1]:
                archive.mkdir()
                with receiver.start(archive) as (port, _):
                    started = time.perf_counter()
                    sender(port, objects)
                    rates[sender].append(images / (time.perf_counter() - started))
                shutil.rmtree(archive)
                os.sync()
    name = f"sending, one association ({images} objects)"
    yield compare(name, "objects/s", rates[_ours], rates[_dcmsend], "DCMTK dcmsend", receiver.version)


def _ours(port: int, objects: Path) -> None:
    destination = Destination("peer", "dicom", "127.0.0.1", port, "STORESCP", "ANCILLA")
    answers = send(destination, sorted(objects.iterdir()))
    if not all(answer.status == 0 for answer in answers):
        raise UnmeasurableError("storescp did not take every object of ours")


def _dcmsend(port: int, objects: Path) -> None:
    command = [peers.program("dcmsend"), "-dn", "+sd", "127.0.0.1", str(port), str(objects)]
    done = subprocess.run(command, env={**os.environ, "TCP_NODELAY": "1"}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UnmeasurableError(f"dcmsend ended with {done.returncode}: {done.stderr[-300:]}")
