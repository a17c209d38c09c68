"""Infer jobs: claimed while workers are free, urgent ones first, timed, tried again, at the last told to the PACS as "failed"."""

import shutil
from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from db.store import Store
from domain.errors import PackageError, PermanentError, TransientError
from domain.jobs import Answer, Job, JobKind, Order, Priority, Verdict
from node.backoff import pause
from node.config_compute import ComputeSettings
from node.holding import LEASE_SECONDS, Held, Holding, failure, words
from node.log import event, study_mark
from node.orders import Orders
from node.pool import LOST, Bounded, EngineLostError
from node.shelf import publish

FIRST_PAUSE: Final = 10.0  # seconds
LONGEST_PAUSE: Final = 300.0
LAST_WORD_SECONDS: Final = 120.0  # the least a report of failure has
STOPPED: Final = "the node was stopped in good order"  # tells a restart from a crash
MADE_ROOM: Final = "it made room for an urgent study"
_NO_ATTEMPT: Final = (STOPPED, MADE_ROOM, LOST)  # nobody may be told that a model failed because of these


class Workers(Protocol):
    """What is needed of ``node.engine.Engine``."""

    @property
    def size(self) -> int:
        """How many jobs run at the same time."""

    def submit(self, fn: Callable[[Order], Answer], order: Order, /) -> Future[Answer]:
        """Run in a worker."""

    def kill(self, future: Future[Answer], /) -> bool:
        """End the worker that works on this."""


class Gate(Protocol):
    """What is needed of ``node.accepting.Accepting``."""

    @property
    def running(self) -> int:
        """How many workers it keeps busy."""

    def pending(self) -> frozenset[str]:
        """Packages (digests) whose jobs must wait."""


class Inferring:
    """The infer jobs of this node. ``perform`` runs in a worker. ``express`` is a lane for urgent jobs when all workers are
    busy (without one a less urgent job is ended for it); ``gate`` knows which models may run yet."""

    def __init__(
        self,
        store: Store,
        workers: Workers,
        perform: Callable[[Order], Answer],
        orders: Orders,
        compute: ComputeSettings,
        clock: Callable[[], datetime],
        wake: Callable[[], None] = lambda: None,
        name: str = "node",
        express: Workers | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._store, self._workers, self._perform, self._orders = store, workers, perform, orders
        self._compute, self._clock, self._wake, self._name = compute, clock, wake, name
        self._express, self._gate = express, gate
        self._stopping = False
        self._holding: Holding[Answer] = Holding(store, clock, self._conclude)

    @property
    def running(self) -> int:
        """How many jobs workers hold."""
        return len(self._holding.held)

    def collect(self) -> bool:
        """Conclude what has ended, end what takes too long, let go on what has rested."""
        self._time_out()
        done = self._holding.collect()
        self._go_on()
        return done

    def renew(self) -> bool:
        """Keep the leases of what runs."""
        self._holding.renew(self._kill)
        return False

    def claim(self) -> bool:
        """Start jobs while workers are free; True if any started. An urgent one does not wait for that."""
        started = False
        while self._ordinary() + (self._gate.running if self._gate else 0) < self._workers.size:
            job = self._store.claim(JobKind.INFER, self._name, LEASE_SECONDS, without=self._left_out())
            if job is None:
                break
            started = True
            self._start(job, self._exhausted(job))
        return self._overtake() or started

    def _ordinary(self) -> int:
        return sum(not held.urgent for held in self._holding.held.values())

    def _left_out(self) -> frozenset[str]:
        """Packages that nobody knows yet whether they run here, and those whose peak does not fit beside what runs."""
        pending = self._gate.pending() if self._gate else frozenset()
        running = (held.job.package_digest for held in self._holding.held.values())
        free = self._compute.memory_bytes - sum(map(self._orders.peak, running))
        if not self._holding.held:  # alone it may try: the machine has swap, or the package exaggerates
            return pending
        return pending | {model.digest for model in self._orders.models if model.peak_memory > max(0, free)}

    def _overtake(self) -> bool:
        """A STAT job for which no worker is free makes a less urgent one rest between two of its batches, and runs beside it."""
        held = list(self._holding.held.values())
        resting = [one for one in held if one.job.priority > Priority.STAT and not one.stopped and one.resting is None]
        overtakes = any(one.urgent or one.stopped == MADE_ROOM for one in held)
        if not resting or overtakes or self._ordinary() < self._workers.size:
            return False
        job = self._store.waits(JobKind.INFER, self._gate.pending() if self._gate else (), Priority.STAT)
        if job is None:
            return False
        giving = max(resting, key=lambda one: (one.job.priority, one.since))
        if self._express is None or job.package_digest in self._left_out():  # not both at once: the other one begins again later
            giving.stopped = MADE_ROOM
            return self._kill(giving.future)
        claimed = self._store.claim(JobKind.INFER, self._name, LEASE_SECONDS, without=self._left_out(), least=Priority.STAT)
        if claimed is None:
            return False
        self._rest(giving)
        self._start(claimed, self._exhausted(claimed), urgent=True)
        return True

    def _rest(self, held: Held[Answer]) -> None:
        pause = self._orders.pause(held.job.job_id)
        pause.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        pause.touch()
        held.resting = self._clock()
        event("resting", job=held.job.job_id, study=study_mark(held.job.study_uid))

    def _go_on(self) -> None:
        """When nothing urgent runs any more. The time of rest does not count against a job."""
        if any(held.urgent for held in self._holding.held.values()):
            return
        for held in self._holding.held.values():
            if held.resting is not None:
                held.since += self._clock() - held.resting
                held.resting = None
                self._orders.pause(held.job.job_id).unlink(missing_ok=True)

    def _kill(self, future: Future[Answer]) -> bool:
        return self._workers.kill(future) or (self._express is not None and self._express.kill(future))

    def _exhausted(self, job: Job) -> Verdict | None:
        """More attempts than allowed: the node itself died with this job each time, so it is not run again. Clean stops do
        not count: nobody may be told that a model failed because the node was restarted."""
        allowed = self._compute.max_attempts
        if job.attempts <= allowed or job.reason in _NO_ATTEMPT:
            return None
        return Verdict(f"gave up after {allowed} attempts" + (f", the last time {job.reason}" if job.reason else ""))

    def stop(self) -> None:
        """End what still runs; it is queued again and a later start continues it."""
        self._stopping = True
        for held in list(self._holding.held.values()):
            held.stopped = held.stopped or STOPPED
            self._kill(held.future)

    def _start(self, job: Job, verdict: Verdict | None, urgent: bool = False) -> None:
        try:
            order = self._orders.order(job, self._clock(), verdict)
        except PackageError as error:  # it may not run on this CPU: the PACS is told so
            self._start(job, Verdict(str(error)), urgent)
            return
        except PermanentError as error:
            self._fail(job, str(error))
            return
        Path(order.pause).unlink(missing_ok=True)
        workers = self._express if urgent and self._express else self._workers
        future = workers.submit(Bounded(self._perform, self._orders.peak(job.package_digest)), order)
        self._holding.take(job, future, last_word=verdict is not None, urgent=urgent)
        future.add_done_callback(lambda _: self._wake())
        event(
            "verdict" if verdict else "started",
            job=job.job_id,
            study=study_mark(job.study_uid),
            model=job.model_id,
            attempt=job.attempts,
        )

    def _time_out(self) -> None:
        for held in self._holding.held.values():
            if not held.future.running():  # it waits for a worker
                held.since = self._clock()
                continue
            seconds = self._compute.job_timeout_seconds
            if held.last_word:  # it runs no model, but may have to wait for a new worker: a short limit must not silence it
                seconds = max(seconds, LAST_WORD_SECONDS)
            since = held.since + (self._clock() - held.resting if held.resting else timedelta())
            if not held.stopped and self._clock() - since > timedelta(seconds=seconds):
                held.stopped = f"it took longer than {seconds:g} seconds and was killed"
                self._kill(held.future)

    def _conclude(self, held: Held[Answer]) -> None:
        job, error = held.job, failure(held.future)
        self._orders.pause(job.job_id).unlink(missing_ok=True)
        try:
            error = error or self._unpublished(held)
        finally:
            self._clear(job)
        if error is None:
            self._finish(job, held.future.result())
            return
        reason = held.stopped or words(error)
        if self._stopping or held.stopped == MADE_ROOM or isinstance(error, EngineLostError):
            self._store.retry(job, reason, self._clock())
        elif held.last_word:
            self._fail(job, f"{reason} while writing the failure report")
        elif isinstance(error, PermanentError) or job.attempts >= self._compute.max_attempts:
            self._start(job, Verdict(reason), held.urgent)
        else:
            later = self._clock() + pause(job.job_id, job.attempts, FIRST_PAUSE, LONGEST_PAUSE)
            self._store.retry(job, reason, later)
            event("retried", job=job.job_id, study=study_mark(job.study_uid), attempt=job.attempts, reason=reason)

    def _unpublished(self, held: Held[Answer]) -> TransientError | None:
        """Put the files of an answer where they count, unless they are there. Raises LostLeaseError: then nobody may see them."""
        stage = self._orders.stage(held.job)
        if stage is None:
            return None
        self._store.renew(held.job, LEASE_SECONDS)
        publish(stage, self._orders.folder(held.job, held.last_word))
        data_dir = self._orders.settings.node.data_dir
        there = all((data_dir / artifact.path).is_file() for artifact in held.future.result().artifacts)
        return None if there else TransientError("the files of its answer cannot be seen here")

    def _finish(self, job: Job, answer: Answer) -> None:
        self._store.finish(job, answer)
        seconds = {part: f"{value:.2f}" for part, value in answer.timings.items()}
        about = {"job": job.job_id, "study": study_mark(job.study_uid), "outcome": answer.outcome}
        event("finished", **about, **({"shadow": True} if job.shadow else {}), **seconds)

    def _clear(self, job: Job) -> None:
        if (stage := self._orders.stage(job)) is not None:
            shutil.rmtree(stage, ignore_errors=True)

    def _fail(self, job: Job, reason: str) -> None:
        self._store.fail(job, reason)
        event("failed", job=job.job_id, study=study_mark(job.study_uid), reason=reason)
