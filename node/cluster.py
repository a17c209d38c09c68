"""The workers of a Dask cluster as an executor: each is looked at before it gets work, and has one task at a time."""

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import uuid4

from domain.errors import ConfigurationError
from node.cluster_link import CONNECT_SECONDS, Link, Remote, result_of, security_of
from node.config_compute import ComputeSettings
from node.lane import Greeting, Parcel, greet, work
from node.log import event, warn
from node.pool import EngineLostError, WorkerDiedError, WorkerLostError, conclude, packed
from node.welcome import Welcome

T = TypeVar("T")
LOOK_SECONDS: Final = 1.0  # between two looks at who is there
BEGIN_SECONDS: Final = 60.0  # for a worker to begin with its task: it may hang, or be busy with what others gave it
GREETING_SECONDS: Final = 60.0  # for those who are there at the start


@dataclass(slots=True, eq=False)
class _Task:
    payload: bytes
    most: int
    key: str = field(default_factory=lambda: f"ancilla-{uuid4().hex}")
    future: Future[Any] = field(default_factory=Future)
    remote: Remote | None = None
    sent: float = 0.0  # of the monotonic clock


@dataclass(slots=True, eq=False)
class Member:
    """A worker. ``wrong`` says why it gets no work; None: it was asked and has not answered yet."""

    name: str
    wrong: str | None = None
    task: _Task | None = None
    greeting: Remote | None = None


class Cluster(Executor):
    """Tasks wait here until a worker is free: Dask is given none that it could keep, repeat or move to another worker."""

    def __init__(self, compute: ComputeSettings, folder: Path, sees: Sequence[Path] = (), patient: bool = False) -> None:
        """See ``node.engine.engine_of``. Returns when there is a worker that can be used, or none at all. Raises
        ConfigurationError when the scheduler cannot be reached, and when of the workers that are there none can be used; who is
        ``patient`` only waits for them if it has worked before: a node has to receive while others are still starting."""
        self._patient = patient
        self._compute, self._security = compute, security_of(compute)
        self._changed = threading.Condition()  # guards what follows; nobody waits for Dask while holding it
        self._waiting: deque[_Task] = deque()
        self._tasks: dict[str, _Task] = {}  # those that workers have, by key
        self.members: dict[str, Member] = {}  # by address
        self._topic = f"ancilla-{uuid4().hex}"
        self._link: Link | None = None
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="cluster", daemon=True)
        try:
            self._welcome = Welcome(folder, sees)
        except OSError as error:
            raise ConfigurationError(f"the folder {folder} that the workers share cannot be written: {error.strerror}") from None
        try:
            self._begin()
        except ConfigurationError as error:
            if not (patient and self._welcome.has_worked(compute.address)):
                self.shutdown(wait=False)
                raise
            warn("cluster-away", reason=str(error))
        self._watcher.start()

    @property
    def size(self) -> int:
        """How many workers can be used now."""
        with self._changed:
            return sum(member.wrong == "" for member in self.members.values())

    def greeted(self) -> list[Member]:
        """Those who are there, as soon as all have answered."""
        with self._changed:
            self._changed.wait_for(lambda: all(one.wrong is not None for one in self.members.values()), GREETING_SECONDS)
            return list(self.members.values())

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run ``fn``, which may be Bounded, in a worker. Raises PicklingError (or TypeError) at once for what cannot travel."""
        task = _Task(*packed(fn, *args, **kwargs))
        with self._changed:
            if self._closed.is_set():
                raise RuntimeError("the cluster is shut down")
            self._waiting.append(task)
        self._place()
        return task.future

    def kill(self, future: Future[Any]) -> bool:
        """Give up one task: the process that works on it is killed, the future gets WorkerDiedError. False: it had ended."""
        with self._changed:
            task = next((task for task in self._tasks.values() if task.future is future), None)
        if task is None:
            return future.cancel()
        return self._end(task, WorkerDiedError(-signal.SIGKILL))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """No new tasks. ``wait``: running ones finish first; without it they are killed now."""
        with self._changed:
            self._closed.set()
            waiting = list(self._waiting) if cancel_futures or not wait else []
        for task in waiting:
            task.future.cancel()
        if wait:
            with self._changed:
                self._changed.wait_for(lambda: not (self._tasks or self._waiting))
        if self._watcher.is_alive():
            self._watcher.join()
        self._let_go()
        self._welcome.close()

    def _begin(self) -> None:
        where = f"compute.address: {self._compute.address}"
        try:
            self._link = self._connected()
            self._look(self._link)
        except PermissionError as error:
            raise ConfigurationError(f"compute.tls: {self._compute.address}: {error}") from None
        except OSError:
            raise ConfigurationError(f"{where}: no Dask scheduler that takes us answers in {CONNECT_SECONDS:g} seconds") from None
        with self._changed:
            self._changed.wait_for(self._is_decided, GREETING_SECONDS)
            wrong = [f"{member.name}: {member.wrong}" for member in self.members.values() if member.wrong]
            if wrong and len(wrong) == len(self.members):
                raise ConfigurationError(f"{where}: none of its workers can be used; {'; '.join(wrong)}")
        if not self.members:
            warn("no-workers", address=self._compute.address)

    def _is_decided(self) -> bool:
        found = [member.wrong for member in self.members.values()]
        return "" in found or None not in found

    def _connected(self) -> Link:
        return Link(self._compute, self._security, self._topic, self._started)

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            try:
                if self._link is None:
                    self._link = self._connected()
                    event("cluster-found", address=self._compute.address)
                self._look(self._link)
            except OSError:
                if self._link is not None:
                    warn("cluster-lost", address=self._compute.address)
                self._let_go()

    def _let_go(self) -> None:
        """Without the scheduler nobody knows what its workers do: all is done again by others, or by them under another name."""
        with self._changed:
            link, self._link = self._link, None
            tasks = list(self._tasks.values())
            self.members.clear()
        for task in tasks:
            self._end(task, EngineLostError())
        if link is not None:
            link.close()

    def _look(self, link: Link) -> None:
        """Ask those who are new, give up those who left. Raises OSError."""
        found = link.workers()
        with self._changed:
            left = {address: one for address, one in self.members.items() if found.get(address) != one.name}
            for address in left:
                del self.members[address]
            for address in [address for address in found if address not in self.members]:
                member = self.members[address] = Member(found[address])
                member.greeting = link.send(greet, self._welcome.question, f"ancilla-greet-{uuid4().hex}", address)
                member.greeting.add_done_callback(partial(self._greeted, address, member))
        for member in left.values():
            warn("worker-left", worker=member.name)
            if member.task is not None:
                self._end(member.task, WorkerLostError(f"the worker {member.name} was lost"))
        self._take_back()
        self._place()

    def _take_back(self) -> None:
        """Tasks that no worker has begun with go to another one, which is no attempt at them."""
        latest = time.monotonic() - BEGIN_SECONDS
        with self._changed:
            late = [task for task in self._tasks.values() if not task.future.running() and task.sent < latest]
        for task in late:
            self._end(task, EngineLostError())

    def _greeted(self, address: str, member: Member, remote: Remote) -> None:
        wrong = self._welcome.judge(member.name, _greeting(remote))
        if self._patient and not wrong:
            self._welcome.works(self._compute.address)
        with self._changed:
            member.wrong = wrong
            known = self.members.get(address) is member
            self._changed.notify_all()
        if known and wrong:
            warn("worker-refused", worker=member.name, reason=wrong)
        elif known:
            event("worker-joined", worker=member.name)
        self._place()

    def _place(self) -> None:
        with self._changed:
            for address, member in self.members.items():
                if member.wrong == "" and member.task is None and self._link is not None:
                    self._give(self._link, address, member)

    def _give(self, link: Link, address: str, member: Member) -> None:
        """The task that waits longest; where sending fails it goes on waiting, and the next look says what is wrong."""
        while self._waiting and self._waiting[0].future.cancelled():
            self._waiting.popleft()
        if not self._waiting:
            return
        task = self._waiting[0]
        parcel = Parcel(task.key, member.name, self._topic, task.most, task.payload)
        with suppress(OSError):
            task.sent = time.monotonic()
            task.remote = link.send(work, parcel, task.key, address, lane=True)
            member.task = self._tasks[task.key] = self._waiting.popleft()
            task.remote.add_done_callback(partial(self._answered, task))

    def _started(self, key: str) -> None:
        with self._changed:
            task = self._tasks.get(key)
            if task is not None and not task.future.running() and not task.future.cancelled():
                task.future.set_running_or_notify_cancel()

    def _answered(self, task: _Task, remote: Remote) -> None:
        """Also called for what was given up, and when the scheduler was lost."""
        lost = remote.status in ("cancelled", "lost")
        answer: bytes | Exception = EngineLostError() if lost else WorkerLostError("the answer of a worker could not be had")
        try:
            found = result_of(remote)
            answer = found if isinstance(found, bytes) else answer
        finally:
            self._end(task, answer)

    def _end(self, task: _Task, answer: bytes | Exception) -> bool:
        """Conclude a task that a worker has; the first call counts. Nobody wants it any more: so the worker is told."""
        with self._changed:
            if self._tasks.pop(task.key, None) is None:
                return False
            member = next((one for one in self.members.values() if one.task is task), None)
            if member is not None:
                member.task = None
            self._changed.notify_all()
        with suppress(InvalidStateError):  # somebody cancelled it
            if isinstance(answer, bytes):
                conclude(task.future, answer)
            else:
                task.future.set_exception(answer)
        if task.remote is not None:
            task.remote.release()
        if member is not None and isinstance(failure(task.future), EngineLostError | WorkerLostError):
            self._forget(member)
        self._place()
        return True

    def _forget(self, member: Member) -> None:
        """A worker that takes no more tasks, since it is being stopped: the next look asks those who are still there."""
        with self._changed:
            self.members = {address: one for address, one in self.members.items() if one is not member}


def failure(future: Future[Any]) -> BaseException | None:
    """The exception of a future that has ended."""
    return None if future.cancelled() else future.exception()


def _greeting(remote: Remote) -> Greeting:
    if remote.status == "error":
        return Greeting(f"it does not run this version of Ancilla ({type(remote.exception()).__name__})")
    found = result_of(remote)
    return found if isinstance(found, Greeting) else Greeting("it did not answer")
