"""The side of a cluster that computes: one task at a time, in a process that is ended when nobody wants its answer any more."""

import os
import pickle
import platform
from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from domain.errors import TransientError
from node.pool import UNREADABLE, Bounded, EngineLostError, Pool, WorkerLostError
from node.tasks import machine, ready
from node.worker import pickled

if TYPE_CHECKING:
    from distributed import Worker

LANE: Final = "ancilla-lane"  # a resource of which each worker has one: greetings need not wait for tasks, tasks wait for tasks
_LOOK: Final = 0.1  # seconds between two looks whether the answer is still wanted
_ALIKE: Final = ("ancilla", "distributed")  # packages whose versions must be those of the node


@dataclass(frozen=True, slots=True)
class Parcel:
    """One task. ``instance`` names the worker it is meant for: another one behind the same address gives it back. Nothing of
    ``payload`` may stand in a log. ``most`` as in ``node.pool.Bounded``."""

    key: str
    instance: str
    topic: str
    most: int
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Question:
    """What a worker is asked before it gets work: the file ``note`` in ``folder`` holds ``token``; ``sees`` are paths."""

    folder: str
    note: str
    token: str
    sees: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Greeting:
    """The answer. ``wrong`` says why this worker cannot be used; "" when it can. ``machine`` is its CPU in words."""

    wrong: str
    machine: str = ""


class Lane:
    """The process that computes. ``instance`` is what the scheduler calls this worker; it changes with each connection."""

    def __init__(self) -> None:
        self.instance = ""
        self.pool = Pool(1)
        self._machine = ""
        self._stopping = False

    def run(self, parcel: Parcel, worker: "Worker") -> bytes:
        """The answer as ``node.pool.conclude`` reads it. Raises what reading the task raises."""
        if parcel.instance != self.instance:  # Dask gave it to who came after
            return pickled(False, WorkerLostError(f"the worker {parcel.instance} was lost"))
        if self._stopping:
            return pickled(False, EngineLostError())
        worker.log_event(parcel.topic, parcel.key)  # its time begins
        fn, args, kwargs = pickle.loads(parcel.payload)  # noqa: S301 - whoever may send it may run programs here: docs/cluster.md
        future = self.pool.submit(Bounded(fn, parcel.most), *args, **kwargs)
        while not wait([future], timeout=_LOOK).done:
            if not _is_wanted(worker, parcel.key):
                self.pool.kill(future)
        error = EngineLostError() if self._stopping or future.cancelled() else future.exception()
        return pickled(error is None, future.result() if error is None else error)

    def stop(self) -> None:
        """What runs ends now, and is no attempt at it."""
        self._stopping = True
        self.pool.shutdown(wait=False)

    def greet(self, question: Question) -> Greeting:
        """Whether this worker can be used."""
        wrong = "it is being stopped" if self._stopping else next(_wrong(question, self.instance), "")
        if wrong:
            return Greeting(wrong)
        self._machine = self._machine or self.pool.submit(machine).result()
        self.pool.submit(ready)
        return Greeting("", self._machine)


_LANES: list[Lane] = []  # that of this process, once `ancilla worker` has made it


def open_lane() -> Lane:
    """Called once in a process."""
    _LANES.append(Lane())
    return _LANES[0]


def work(parcel: Parcel) -> bytes:
    """What the scheduler runs. Nothing is raised: Dask would write the arguments into its log."""
    from distributed import get_worker

    try:
        return _LANES[0].run(parcel, get_worker())
    except UNREADABLE as error:
        return pickled(False, TransientError(f"a worker could not read its task ({type(error).__name__})"))


def greet(question: Question) -> Greeting:
    """What the scheduler runs on a new worker."""
    return _LANES[0].greet(question) if _LANES else Greeting("it was not started by `ancilla worker`")


def versions() -> tuple[tuple[str, str], ...]:
    """What must be the same on both sides, since objects of Python cross the border."""
    return ("Python", ".".join(platform.python_version_tuple()[:2])), *((name, version(name)) for name in _ALIKE)


def reply(note: str, instance: str) -> str:
    """The file in which a worker answers the note of the node."""
    return f"{note}.{instance}"


def _wrong(question: Question, instance: str) -> Iterator[str]:
    for (name, theirs), (_, ours) in zip(question.versions, versions(), strict=True):
        if theirs != ours:
            yield f"it has {name} {ours}, the node has {theirs}"
    folder = Path(question.folder)
    try:
        if (folder / question.note).read_text(encoding="ascii") != question.token:
            yield f"its {folder} is another folder than that of the node"
        with (folder / reply(question.note, instance)).open("w", encoding="ascii") as stream:
            stream.write(question.token)
            stream.flush()
            os.fsync(stream.fileno())
    except FileNotFoundError:
        yield f"it does not see the node's {folder}; mount it there under the same name"
    except (OSError, ValueError) as error:
        yield f"it cannot read and write in {folder} ({type(error).__name__})"
    yield from (f"it does not see {path}; put it there under the same name" for path in question.sees if not Path(path).exists())


def _is_wanted(worker: "Worker", key: str) -> bool:
    """The scheduler takes a task back when its client did, or is gone; a worker that lost the scheduler closes."""
    task = worker.state.tasks.get(key)
    return task is not None and task.state != "cancelled" and worker.status.name in ("running", "paused")
