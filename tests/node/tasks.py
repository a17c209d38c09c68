"""What the pool's tests run in worker processes: each misbehaves in its own way."""

import ctypes
import os
import sys
import threading
from pathlib import Path
from typing import Any

from domain.jobs import Answer, Artifact, Order, Outcome

LIST = "result.json"  # node.shelf, which is slow to import


def add(a: int, b: int) -> int:
    return a + b


def pid() -> int:
    return os.getpid()


def modules() -> set[str]:
    return {name.partition(".")[0] for name in sys.modules}


def variable(name: str) -> str | None:
    return os.environ.get(name)


def leave(code: int) -> None:
    os._exit(code)


def crash() -> None:
    ctypes.string_at(0)


def hang(started: str) -> None:
    with open(started, "w") as file:
        file.write(str(os.getpid()))
    threading.Event().wait()


def refuse() -> None:
    raise ValueError("no")


def lock() -> Any:
    return threading.Lock()


class StubbornError(Exception):
    """Pickles, but cannot be rebuilt: its constructor wants two arguments."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def stubborn() -> None:
    raise StubbornError("a", "b")


def grow(megabytes: int) -> int:
    """Holds that much memory for longer than the pool needs to see it, unless it is ended."""
    block = bytearray(os.urandom(1024)) * (1024 * megabytes)
    threading.Event().wait(3)
    return len(block)


def tiles(pause: str, progress: str, count: int) -> int:
    """Rests as a job does before each batch; how far it is stands in ``progress``."""
    from inference import running
    from node import work

    done = 0
    with running.resting(lambda: work._rest(pause)):
        for done in range(1, count + 1):
            for rest in running._RESTS:
                rest()
            with open(progress, "w") as file:
                file.write(str(done))
    return done


def answer(order: Order) -> Answer:
    """Writes a report as a worker of a cluster does, the first time after it hung as long as it was let."""
    first = Path(order.data_dir) / "hung"
    if not first.exists():
        hang(str(first))
    written = Path(order.stage)
    written.mkdir(parents=True)
    (written / "sr.dcm").write_bytes(f"{order.token}".encode())
    (written / LIST).write_text("{}")
    path = str((Path(order.out_dir) / "sr.dcm").relative_to(order.data_dir))
    return Answer(
        Outcome.NEGATIVE, "Nothing found.", (Artifact("sr", path, "aa", 1, "1.2.840.10008.5.1.4.1.1.88.34", "1.2", "1"),)
    )
