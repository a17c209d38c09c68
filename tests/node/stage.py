"""A runner on a real store with a clock that the test turns, workers and destinations that do what the test says."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from db.engine import open_store
from db.store import Store
from domain.destinations import Destination, Sent
from domain.evidence import Member
from domain.instances import Caller, Header, Instance, Place
from domain.jobs import Answer, Artifact, Job, JobKind, Order, Outcome
from node.committing import Committing, Word
from node.config import Settings
from node.delivering import Delivering
from node.inferring import Inferring
from node.loaded import Model
from node.orders import Orders
from node.pool import Bounded, WorkerDiedError
from node.runner import Runner
from node.settler import Settler
from tests.node.configuration import TEXT, settings

STUDY = "1.2.3"
CALLER = Caller("CT01", "ANCILLA", "127.0.0.1")
SR = Artifact("sr", "results/sr.dcm", "aa", 10, "1.2.840.10008.5.1.4.1.1.88.34", "2.25.1", "2.25.2")
VOLUMES = Artifact("sr-volumetric", "results/sr-volumetric.dcm", "ad", 10, "1.2.840.10008.5.1.4.1.1.88.34", "2.25.5", "2.25.6")
SEG = Artifact("seg", "results/seg.dcm", "ab", 10, "1.2.840.10008.5.1.4.1.1.66.4", "2.25.3", "2.25.4")
PICTURE = Artifact("overlay", "results/overlay.png", "ac", 10)
GOOD = Answer(Outcome.NEGATIVE, "No opacity found.", (SEG, SR, VOLUMES, PICTURE), timings={"infer": 1.5})


@dataclass
class Workers:
    """Keeps orders until the test answers them."""

    size: int = 2
    asked: list[tuple[Order, Future[Answer]]] = field(default_factory=list)
    killed: int = 0
    limits: list[int] = field(default_factory=list)

    def submit(self, fn: Callable[[Order], Answer], order: Order, /) -> Future[Answer]:
        future: Future[Answer] = Future()
        future.set_running_or_notify_cancel()
        self.asked.append((order, future))
        self.limits += [fn.most] if isinstance(fn, Bounded) and fn.most else []
        return future

    def kill(self, future: Future[Answer], /) -> bool:
        if future.done():
            return False
        self.killed += 1
        future.set_exception(WorkerDiedError(-9))
        return True

    @property
    def order(self) -> Order:
        """The newest order."""
        return self.asked[-1][0]

    def answer(self, answer: Answer | BaseException = GOOD) -> None:
        """End the newest order."""
        future = self.asked[-1][1]
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)


class AtOnce(Executor):
    """A lane that delivers while it is asked to."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - an executor hands on whatever it is
            future.set_exception(error)
        return future


@dataclass
class Pacs:
    """A destination: ``says`` is a status for every file, or an exception."""

    says: int | BaseException = 0
    got: list[tuple[str, list[str]]] = field(default_factory=list)
    refuses: dict[str, int] = field(default_factory=dict)  # statuses of single files
    more: tuple[Artifact, ...] = ()  # what it knows beside the usual results

    def __call__(self, destination: Destination, files: Sequence[Path]) -> list[Sent]:
        self.got.append((destination.name, [file.name for file in files]))
        if isinstance(self.says, BaseException):
            raise self.says
        uids = {Path(each.path).name: each.sop_instance_uid for each in (SR, VOLUMES, SEG, *self.more)}
        return [Sent(uids[file.name], self.refuses.get(file.name, self.says)) for file in files]


@dataclass
class Archive:
    """Who is asked to commit: ``says`` makes the word of a transaction and what it is about, or is an exception."""

    says: Callable[[str, Sequence[Member]], Word] | BaseException = lambda transaction, members: Word(None)
    asked: list[tuple[str, list[str]]] = field(default_factory=list)

    def __call__(self, destination: Destination, study_uid: str, transaction_uid: str, members: Sequence[Member]) -> Word:
        self.asked.append((transaction_uid, [member.sop_instance_uid for member in members]))
        if isinstance(self.says, BaseException):
            raise self.says
        return self.says(transaction_uid, members)


class Stage:
    """Everything together; ``restart`` keeps the database and nothing else."""

    def __init__(self, folder: Path, text: str = TEXT) -> None:
        self.folder = folder
        self.now = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
        self.settings: Settings = settings(folder, text)
        self.headers: dict[str, Dataset | None] = {}
        self.workers, self.express, self.pacs = Workers(), Workers(1), Pacs()
        self.engine: Any = None  # in place of ``workers``, with what it is to perform
        self.perform: Callable[[Order], Answer] = never
        self.archive = Archive()
        self.restart()

    def clock(self) -> datetime:
        return self.now

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def restart(self) -> None:
        """As after a power cut: what was in memory is gone."""
        self.store: Store = open_store(self.folder / "ancilla.db", self.clock)
        self.store.recover()
        self.workers.asked.clear()
        self.models = [Model(model, f"model-{model.slot}", "1.0.0", f"{model.slot:064d}") for model in self.settings.models]
        orders = Orders(self.store, self.settings, self.models, "installation")
        self.settler = Settler(self.store, lambda place: self.headers[place.pack], self.models)
        self.inferring = Inferring(
            self.store,
            self.engine or self.workers,
            self.perform,
            orders,
            self.settings.compute,
            self.clock,
            express=None if self.engine else self.express,
        )
        self.delivering = Delivering(self.store, self.settings, self.pacs, self.clock, lane=AtOnce)
        self.committing = Committing(self.store, self.settings, self.clock, ask=self.archive, lane=AtOnce())
        self.runner = Runner(
            self.store, self.settler, self.inferring, self.delivering, threading.Event(), committing=self.committing
        )

    def receive(
        self, study: str = STUDY, series: str = "1.2.3.1", images: int = 3, first: int = 1, time: str = "", **header: object
    ) -> None:
        """Images of one series over one association that is closed afterwards; ``time`` tells it from one of before."""
        association = f"{study}-{series}-{first}{time}"
        self.store.opened(association, CALLER)
        for number in range(first, first + images):
            pack = f"{series}/{number}"
            self.headers[pack] = dataset({"Modality": "CT"} | header)
            named = Header("1.2.840.10008.5.1.4.1.1.2", f"{series}.{number}", "1.2.840.10008.1.2.1", study, series, "CT")
            instance = Instance(named, Place(pack, 0, 100), f"{pack:0>64}", CALLER, association, self.now)
            self.store.received(instance, self.settings.study.quiet_seconds, self.settings.study.max_wait_seconds)
        self.store.closed(association, "released", self.settings.study.quiet_seconds)

    def settled(self) -> Job:
        """One study received and complete, its job given to a worker."""
        self.receive()
        self.later(31)
        self.turn()
        return self.infer()

    def turn(self) -> None:
        """Turn until nothing is left to do."""
        for _ in range(100):
            if not self.runner.step():
                return
        raise AssertionError("the runner never comes to rest")

    def infer(self) -> Job:
        return self.store.jobs(kind=JobKind.INFER)[0]

    def deliveries(self) -> list[Job]:
        return self.store.jobs(kind=JobKind.DELIVER)

    def events(self) -> list[str]:
        return [row.event for row in self.store.audit()]


def never(order: Order) -> Answer:
    raise AssertionError("only workers perform orders")


def dataset(values: dict[str, object]) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds
