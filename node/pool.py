"""A process pool whose workers can be killed one by one: a stuck or crashing task takes its own worker with it and no other."""

import multiprocessing
import os
import pickle
import queue
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final, Generic, ParamSpec, TypeVar

from domain.errors import PermanentError, TransientError
from node import memory
from node.worker import serve_tasks

P = ParamSpec("P")
T = TypeVar("T")
LOST: Final = "the cluster was out of reach, or its worker was stopped"
_SPAWN = multiprocessing.get_context("spawn")  # a forked child would inherit locks, sockets and the database connection
UNREADABLE: Final = (pickle.UnpicklingError, TypeError, AttributeError, ImportError, ValueError, EOFError)  # what loads raises
_LOOK = 0.2  # seconds between two looks at the memory of a worker
_PATIENCE = 2.0  # seconds for a process whose pipe is closed to leave by itself


class WorkerDiedError(TransientError):
    """The worker process ended in the middle of its task (crash, out of memory, killed)."""

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(f"the worker process died ({_words(exit_code)})")
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[type["WorkerDiedError"], tuple[int | None]]:
        return (WorkerDiedError, (self.exit_code,))


class EngineLostError(TransientError):
    """What computes is out of reach as a whole, or was stopped in good order: no fault of the task, and no attempt at it."""

    def __init__(self) -> None:
        super().__init__(LOST)

    def __reduce__(self) -> tuple[type["EngineLostError"], tuple[()]]:
        return (EngineLostError, ())


class WorkerLostError(TransientError):
    """The worker left the cluster in the middle of its task: its machine, its network, or somebody who ended it."""


class OverMemoryError(PermanentError):
    """The task needed more memory than it was allowed and its worker was ended: it would need as much the next time."""


def _words(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"signal {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"signal {-exit_code}"


@dataclass(frozen=True, slots=True)
class Bounded(Generic[P, T]):
    """A task that may need ``most`` bytes of memory beyond what its worker has before, 0: any number. With more its worker is
    ended and the future gets OverMemoryError. Only Linux says how much a process has; elsewhere there is no limit."""

    fn: Callable[P, T]
    most: int

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """In this process there is no limit."""
        return self.fn(*args, **kwargs)


def packed(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> tuple[bytes, int]:
    """What a worker process reads, and the most memory. Raises PicklingError or TypeError."""
    most = fn.most if isinstance(fn, Bounded) else 0
    return bytes(ForkingPickler.dumps((fn.fn if isinstance(fn, Bounded) else fn, args, kwargs))), most


class _Task:
    def __init__(self, payload: bytes, most: int) -> None:
        self.payload = payload
        self.future: Future[Any] = Future()
        self.most = most  # bytes of memory beyond what the worker has at the start; 0: no limit


class _Worker(threading.Thread):
    """One thread of ours for one process at a time; a dead process is replaced by a new one."""

    def __init__(self, name: str, tasks: "queue.SimpleQueue[_Task | None]") -> None:
        super().__init__(name=name, daemon=True)
        self._tasks = tasks
        self._lock = threading.Lock()  # guards what `kill` and `halt` look at from other threads
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._current: Future[Any] | None = None
        self._doomed = False  # the process was killed, even if its last answer still arrives
        self._halted = False
        self._over = False  # of the last task: it was ended for its memory

    def run(self) -> None:
        # The process is started by this thread, because the kernel ends it together with the thread that started it
        # (PR_SET_PDEATHSIG), and before the first task, so that none waits for an interpreter.
        while True:
            if self._process is None and not self._halted:
                self._start()
            task = self._tasks.get()
            if task is None:
                break
            if task.future.set_running_or_notify_cancel():
                self._run_task(task)
        self._bury()  # the closed pipe tells an idle process to leave

    def _start(self) -> None:
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(target=serve_tasks, args=(theirs, os.getpid()), name=self.name, daemon=True)
        process.start()
        theirs.close()  # else a dead worker would never look closed
        with self._lock:
            self._process, self._pipe, self._doomed = process, ours, False

    def _run_task(self, task: _Task) -> None:
        with self._lock:
            halted = self._halted
            self._current = task.future
        answer = b"" if halted else self._ask(task)
        with self._lock:
            self._current = None
            dead = self._doomed or not answer
        exit_code = self._bury() if dead else None
        if answer:
            conclude(task.future, answer)
        elif self._over:
            words = f"it needed more than the {task.most / 1e6:.0f} MB of memory that its package declares (peak_memory_mb)"
            task.future.set_exception(OverMemoryError(words))
        else:
            task.future.set_exception(WorkerDiedError(exit_code))

    def _ask(self, task: _Task) -> bytes:
        pipe, process = self._pipe, self._process
        self._over = False
        if pipe is None or process is None or process.pid is None:
            return b""
        before = memory.private(process.pid)
        try:
            pipe.send_bytes(task.payload)
            while not pipe.poll(_LOOK):
                if task.most and memory.private(process.pid) - before > task.most:
                    self._over = self.kill(task.future)
                    return b""
            return pipe.recv_bytes()
        except (EOFError, OSError):
            return b""

    def _bury(self) -> int | None:
        with self._lock:
            process, pipe = self._process, self._pipe
            self._process = self._pipe = None
        if process is None or pipe is None:
            return None
        pipe.close()
        process.join(timeout=_PATIENCE)
        process.kill()  # it closed its pipe but lives
        process.join()
        exit_code = process.exitcode
        process.close()
        return exit_code

    def kill(self, future: Future[Any]) -> bool:
        """End the process if it works on ``future``."""
        with self._lock:
            if self._process is None or self._current is not future:
                return False
            self._doomed = True
            self._process.kill()
            return True

    def halt(self) -> None:
        """End the process whatever it does, and start no other."""
        with self._lock:
            self._halted = True
            if self._process is not None:
                self._doomed = True
                self._process.kill()


def conclude(future: Future[Any], answer: bytes) -> None:
    """Unpickling runs code of whatever class came back; a class that cannot be rebuilt must not end our thread."""
    try:
        good, value = pickle.loads(answer)  # noqa: S301 - from our own child over a private pipe
    except UNREADABLE as error:
        good, value = False, TransientError(f"the worker's answer could not be read ({type(error).__name__})")
    if good:
        future.set_result(value)
    else:
        future.set_exception(value)


class Pool(Executor):
    """``size`` spawned processes, started at once and kept. Tasks wait in order until one is free."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._lock = threading.Lock()
        self._closed = False
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._workers = [_Worker(f"worker-{number}", self._tasks) for number in range(1, size + 1)]
        for worker in self._workers:
            worker.start()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run ``fn``, which may be Bounded, in a worker. Raises PicklingError (or TypeError) at once for what cannot travel."""
        task = _Task(*packed(fn, *args, **kwargs))
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is shut down")
            self._tasks.put(task)
        return task.future

    def kill(self, future: Future[Any]) -> bool:
        """Give up one task: its worker is killed and replaced, the future gets WorkerDiedError. False: it had ended."""
        return future.cancel() or any(worker.kill(future) for worker in self._workers)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """No new tasks. ``wait``: running ones finish first; without it they are killed now."""
        with self._lock:
            if not self._closed:
                self._closed = True
                if cancel_futures or not wait:
                    self._drop_waiting()
                for _ in self._workers:
                    self._tasks.put(None)
        if not wait:
            for worker in self._workers:
                worker.halt()
        for worker in self._workers:
            worker.join()

    def _drop_waiting(self) -> None:
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                return
            if task is not None:
                task.future.cancel()
