"""Who gets which task, with a connection that does what the test says; tests/flow/test_cluster.py has the real one."""

import ast
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from domain.errors import ConfigurationError
from node import cluster, lane
from node.cluster import Cluster
from node.config_compute import compute_of
from node.lane import Greeting, Parcel, Question, reply
from node.pool import EngineLostError, WorkerDiedError, WorkerLostError
from node.worker import pickled
from tests.node import tasks


@dataclass
class Remote:
    """A task that Dask has; the test says what becomes of it."""

    task: Parcel | Question
    address: str
    status: str = "pending"
    value: object = None
    released: bool = False
    heard: list[Callable[[Any], None]] = field(default_factory=list)

    def add_done_callback(self, hears: Callable[[Any], None]) -> None:
        self.heard.append(hears)

    def end(self, status: str, value: object = None) -> None:
        self.status, self.value = status, value
        for hears in self.heard:
            hears(self)

    def answer(self, good: bool, value: object) -> None:
        self.end("finished", pickled(good, value))

    def exception(self) -> BaseException:
        return ModuleNotFoundError("node")

    def release(self) -> None:
        self.released = True


@dataclass
class Wire:
    """In place of ``node.cluster_link.Link``: ``there`` are the workers by address, ``wrong`` says why one cannot be used."""

    there: dict[str, str]
    wrong: dict[str, str] = field(default_factory=dict)
    sent: list[Remote] = field(default_factory=list)
    down: bool = False

    def workers(self) -> dict[str, str]:
        if self.down:
            raise OSError("the scheduler was lost")
        return dict(self.there)

    def send(self, fn: object, task: Parcel | Question, key: str, address: str, lane: bool = False) -> Remote:
        remote = Remote(task, address)
        if isinstance(task, Parcel):
            assert lane and fn is cluster.work
            self.sent.append(remote)
            return remote
        name = self.there[address]
        if name not in self.wrong:
            (Path(task.folder) / reply(task.note, name)).write_text(task.token)
        remote.status, remote.value = "finished", Greeting(self.wrong.get(name, ""), "a CPU")
        remote.add_done_callback = lambda hears: hears(remote)  # type: ignore[method-assign]
        return remote

    def close(self) -> None:
        """Nothing."""

    def where(self) -> list[str]:
        return [remote.address for remote in self.sent]


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire({"a": "one", "b": "two"})
    monkeypatch.setattr(cluster, "Link", lambda *_: made)
    monkeypatch.setattr(cluster, "security_of", lambda _: None)
    monkeypatch.setattr(cluster, "result_of", lambda remote: remote.value if remote.status == "finished" else None)
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 3600.0)
    monkeypatch.setattr(lane, "versions", lambda: (("Python", "3"),))
    monkeypatch.setattr("node.welcome.versions", lambda: (("Python", "3"),))
    return made


def opened(folder: Path, patient: bool = False) -> Cluster:
    return Cluster(compute_of({"executor": "dask", "address": "tcp://127.0.0.1:1"}, folder, 1), folder, patient=patient)


@pytest.fixture
def engine(wire: Wire, tmp_path: Path) -> Iterator[Cluster]:
    made = opened(tmp_path)
    yield made
    made.shutdown(wait=False)


def test_each_worker_has_one_task_and_the_rest_waits_in_order(wire: Wire, engine: Cluster) -> None:
    futures = [engine.submit(tasks.add, number, 1) for number in range(4)]
    assert engine.size == 2 and sorted(wire.where()) == ["a", "b"]
    wire.sent[1].answer(True, 2)
    assert futures[1].result(0) == 2 and wire.sent[1].released
    assert wire.where()[2] == wire.where()[1], "whoever is free gets the next one"
    parcel = wire.sent[2].task
    assert isinstance(parcel, Parcel) and pickle.loads(parcel.payload)[1] == (2, 1)
    assert "payload" not in repr(parcel)


def test_a_task_runs_when_its_worker_says_so(wire: Wire, engine: Cluster) -> None:
    future = engine.submit(tasks.pid)
    assert not future.running()
    parcel = wire.sent[0].task
    assert isinstance(parcel, Parcel)
    engine._started(parcel.key)
    assert future.running()
    engine._started("unknown")


def test_a_worker_that_leaves_loses_its_task_and_another_behind_its_address_is_a_stranger(wire: Wire, engine: Cluster) -> None:
    futures = [engine.submit(tasks.pid) for _ in range(3)]
    link = engine._link
    assert link is not None
    wire.there = {"a": "three", "b": "two"}
    engine._look(link)
    lost = wire.where().index("a")
    with pytest.raises(WorkerLostError, match="the worker one was lost"):
        futures[lost].result(0)
    assert wire.sent[lost].released
    parcel = wire.sent[2].task
    assert isinstance(parcel, Parcel) and (wire.sent[2].address, parcel.instance) == ("a", "three")


def test_a_lost_scheduler_gives_every_task_back_and_nobody_is_left(wire: Wire, engine: Cluster) -> None:
    running, waiting = [engine.submit(tasks.pid) for _ in range(2)], engine.submit(tasks.pid)
    engine._let_go()
    for future in running:
        assert isinstance(future.exception(0), EngineLostError)
    assert engine.size == 0 and not waiting.done()
    engine._link = engine._connected()
    engine._look(engine._link)
    assert engine.size == 2 and len(wire.sent) == 3, "what waited goes on"


def test_a_worker_that_is_being_stopped_gets_no_more_until_it_is_asked_again(wire: Wire, engine: Cluster) -> None:
    wire.there = {"a": "one"}
    assert engine._link is not None
    engine._look(engine._link)
    future = engine.submit(tasks.pid)
    wire.sent[0].answer(False, EngineLostError())
    assert isinstance(future.exception(0), EngineLostError) and engine.size == 0
    engine.submit(tasks.pid)
    assert len(wire.sent) == 1
    engine._look(engine._link)
    assert len(wire.sent) == 2


def test_a_task_that_no_worker_begins_with_is_given_back(wire: Wire, engine: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    running, stuck = engine.submit(tasks.pid), engine.submit(tasks.pid)
    parcel = wire.sent[0].task
    assert isinstance(parcel, Parcel) and engine._link is not None
    engine._started(parcel.key)
    engine._look(engine._link)
    assert not stuck.done()
    monkeypatch.setattr(cluster, "BEGIN_SECONDS", -1.0)
    engine._look(engine._link)
    assert isinstance(stuck.exception(0), EngineLostError) and wire.sent[1].released
    assert not running.done()


@pytest.mark.parametrize("status", ["error", "finished"])
def test_a_worker_that_gives_no_answer_has_failed(wire: Wire, engine: Cluster, status: str) -> None:
    future = engine.submit(tasks.pid)
    wire.sent[0].end(status)
    with pytest.raises(WorkerLostError, match="could not be had"):
        future.result(0)


def test_what_waits_is_given_up_without_a_word_and_what_runs_with_one(wire: Wire, engine: Cluster) -> None:
    first, second, third, fourth = (engine.submit(tasks.pid) for _ in range(4))
    assert engine.kill(third) and third.cancelled()
    assert engine.kill(first) and isinstance(first.exception(0), WorkerDiedError)
    assert wire.sent[0].released and len(wire.sent) == 3
    wire.sent[0].answer(True, 1)  # too late
    assert isinstance(first.exception(0), WorkerDiedError) and not engine.kill(first)
    assert not second.done() and not fourth.done()


def test_a_worker_that_is_refused_gets_nothing(wire: Wire, tmp_path: Path) -> None:
    wire.wrong = {"one": "it does not see the data folder"}
    engine = opened(tmp_path)
    for _ in range(2):
        engine.submit(tasks.pid)
    assert engine.size == 1 and wire.where() == ["b"]
    engine.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="is shut down"):
        engine.submit(tasks.pid)


def test_a_cluster_in_which_nobody_can_be_used_is_an_error_of_configuration(wire: Wire, tmp_path: Path) -> None:
    wire.wrong = {"one": "it has Python 3.9, the node has 3.12", "two": "it was not started by `ancilla worker`"}
    with pytest.raises(ConfigurationError, match=r"none of its workers can be used; one: it has Python 3.9.*; two: it was not"):
        opened(tmp_path)
    assert list((tmp_path / "cluster").glob("*.one")) == []


def test_a_cluster_without_workers_is_waited_for(wire: Wire, tmp_path: Path) -> None:
    wire.there = {}
    engine = opened(tmp_path)
    future = engine.submit(tasks.pid)
    assert engine.size == 0 and not future.done()
    engine.shutdown(wait=False)
    assert future.cancelled()


def test_a_scheduler_that_is_lost_while_it_is_looked_at_is_an_error_of_configuration(wire: Wire, tmp_path: Path) -> None:
    wire.down = True
    with pytest.raises(ConfigurationError, match=r"compute\.address: tcp://127\.0\.0\.1:1: no Dask scheduler"):
        opened(tmp_path)


def test_a_node_waits_for_a_scheduler_that_it_has_worked_with_and_for_no_other(wire: Wire, tmp_path: Path) -> None:
    wire.down = True
    with pytest.raises(ConfigurationError, match="no Dask scheduler"):
        opened(tmp_path, patient=True)
    wire.down = False
    opened(tmp_path, patient=True).shutdown(wait=False)
    wire.down = True
    engine = opened(tmp_path, patient=True)
    future = engine.submit(tasks.pid)
    assert engine.size == 0 and engine._link is not None
    wire.down = False
    engine._look(engine._link)
    assert engine.size == 2 and len(wire.sent) == 1 and not future.done()
    engine.shutdown(wait=False)
    wire.down = True
    with pytest.raises(ConfigurationError, match="no Dask scheduler"):
        opened(tmp_path)  # `ancilla check`


def test_nothing_of_dask_is_loaded_before_a_cluster_is_wanted() -> None:
    """Not with any module: within functions only, and for the eyes of the type checker."""
    root = Path(cluster.__file__).parent
    for file in root.rglob("*.py"):
        for statement in ast.parse(file.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in statement.names] if isinstance(statement, ast.Import) else []
            names += [str(statement.module)] if isinstance(statement, ast.ImportFrom) else []
            assert not [name for name in names if name.partition(".")[0] in ("distributed", "dask")], file
