"""Infer jobs: claimed while workers are free, timed, tried again, and at the last told to the PACS as "failed"."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Final, Protocol

from db.store import Store
from domain.errors import PermanentError
from domain.jobs import Answer, Job, JobKind, Order, Verdict
from node.backoff import pause
from node.config import ComputeSettings
from node.holding import LEASE_SECONDS, Held, Holding, failure, words
from node.log import event, study_mark
from node.orders import Orders

FIRST_PAUSE: Final = 10.0  # seconds
LONGEST_PAUSE: Final = 300.0
LAST_WORD_SECONDS: Final = 120.0  # the least a report of failure has
STOPPED: Final = "the node was stopped in good order"  # tells a restart from a crash


class Workers(Protocol):
    """What is needed of ``node.pool.Pool``."""

    size: int

    def submit(self, fn: Callable[[Order], Answer], order: Order, /) -> Future[Answer]:
        """Run in a worker."""

    def kill(self, future: Future[Answer], /) -> bool:
        """End the worker that works on this."""


class Inferring:
    """The infer jobs of this node. ``perform`` runs in a worker."""

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
    ) -> None:
        self._store, self._workers, self._perform, self._orders = store, workers, perform, orders
        self._compute, self._clock, self._wake, self._name = compute, clock, wake, name
        self._stopping = False
        self._holding: Holding[Answer] = Holding(store, clock, self._conclude)

    @property
    def running(self) -> int:
        """How many jobs workers hold."""
        return len(self._holding.held)

    def collect(self) -> bool:
        """Conclude what has ended, and end what takes too long."""
        self._time_out()
        return self._holding.collect()

    def renew(self) -> bool:
        """Keep the leases of what runs."""
        self._holding.renew(self._workers.kill)
        return False

    def claim(self) -> bool:
        """Start jobs while workers are free; True if any started."""
        started = False
        while self.running < self._workers.size:
            job = self._store.claim(JobKind.INFER, self._name, LEASE_SECONDS)
            if job is None:
                break
            started = True
            self._start(job, self._exhausted(job))
        return started

    def _exhausted(self, job: Job) -> Verdict | None:
        """More attempts than allowed: the node itself died with this job each time, so it is not run again. Clean stops do
        not count: nobody may be told that a model failed because the node was restarted."""
        allowed = self._compute.max_attempts
        if job.attempts <= allowed or job.reason == STOPPED:
            return None
        return Verdict(f"gave up after {allowed} attempts" + (f", the last time {job.reason}" if job.reason else ""))

    def stop(self) -> None:
        """End what still runs; it is queued again and a later start continues it."""
        self._stopping = True
        for held in list(self._holding.held.values()):
            held.stopped = held.stopped or STOPPED
            self._workers.kill(held.future)

    def _start(self, job: Job, verdict: Verdict | None) -> None:
        try:
            order = self._orders.order(job, self._clock(), verdict)
        except PermanentError as error:
            self._fail(job, str(error))
            return
        future = self._workers.submit(self._perform, order)
        self._holding.take(job, future, last_word=verdict is not None)
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
            seconds = self._compute.job_timeout_seconds
            if held.last_word:  # it runs no model, but may have to wait for a new worker: a short limit must not silence it
                seconds = max(seconds, LAST_WORD_SECONDS)
            if not held.stopped and self._clock() - held.since > timedelta(seconds=seconds):
                held.stopped = f"it took longer than {seconds:g} seconds and was killed"
                self._workers.kill(held.future)

    def _conclude(self, held: Held[Answer]) -> None:
        job, error = held.job, failure(held.future)
        if error is None:
            self._finish(job, held.future.result())
            return
        reason = held.stopped or words(error)
        if self._stopping:
            self._store.retry(job, reason, self._clock())
        elif held.last_word:
            self._fail(job, f"{reason} while writing the failure report")
        elif isinstance(error, PermanentError) or job.attempts >= self._compute.max_attempts:
            self._start(job, Verdict(reason))
        else:
            later = self._clock() + pause(job.job_id, job.attempts, FIRST_PAUSE, LONGEST_PAUSE)
            self._store.retry(job, reason, later)
            event("retried", job=job.job_id, study=study_mark(job.study_uid), attempt=job.attempts, reason=reason)

    def _finish(self, job: Job, answer: Answer) -> None:
        self._store.finish(job, answer)
        seconds = {part: f"{value:.2f}" for part, value in answer.timings.items()}
        event("finished", job=job.job_id, study=study_mark(job.study_uid), outcome=answer.outcome, **seconds)

    def _fail(self, job: Job, reason: str) -> None:
        self._store.fail(job, reason)
        event("failed", job=job.job_id, study=study_mark(job.study_uid), reason=reason)
