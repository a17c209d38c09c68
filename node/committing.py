"""Commit jobs: an archive is asked to take responsibility for what it got; its word, whenever it comes, ends the job.

A job that was asked waits in the queue. The report finds it by its transaction (``node.witness``); when none has come at the
time the job is due again, the archive is asked anew. An archive without the service is asked by C-FIND what it has.
"""

import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from db.store import Store
from delivery.commitment import NoCommitmentError, ask
from delivery.query import present
from domain.destinations import Destination
from domain.errors import TransientError
from domain.evidence import Commitment, Member
from domain.jobs import Job, JobKind
from node.backoff import pause
from node.config import Settings
from node.holding import LEASE_SECONDS, Held, Holding, failure, words
from node.log import event, study_mark

AT_ONCE: Final = 4  # archives asked at the same time
SAME_ASSOCIATION_SECONDS: Final = 2.0  # how long we listen on the association that asked
FIRST_PAUSE: Final = 60.0  # seconds for the report to come
LONGEST_PAUSE: Final = 3600.0
BY_QUERY: Final = "c-find"
BY_REPORT: Final = "storage-commitment"


@dataclass(frozen=True, slots=True)
class Word:
    """What an archive said, and by which service. ``commitment`` None: it will report later."""

    commitment: Commitment | None
    proof: str = BY_REPORT


Ask = Callable[[Destination, str, str, Sequence[Member]], Word]


def request(destination: Destination, study_uid: str, transaction_uid: str, members: Sequence[Member]) -> Word:
    """Ask by storage commitment; where there is none, look by C-FIND. Raises TransientError."""
    try:
        return Word(ask(destination, transaction_uid, members, SAME_ASSOCIATION_SECONDS))
    except NoCommitmentError:
        there = present(destination, study_uid, members)
        durable = tuple(member for member in members if member.sop_instance_uid in there)
        return Word(Commitment(transaction_uid, durable, tuple(m for m in members if m not in durable)), BY_QUERY)


class Committing:
    """The commit jobs of this node."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        clock: Callable[[], datetime],
        wake: Callable[[], None] = lambda: None,
        ask: Ask = request,
        lane: Executor | None = None,
        name: str = "node",
    ) -> None:
        self._store, self.settings, self._clock, self._wake, self._ask, self._name = store, settings, clock, wake, ask, name
        self._lane = lane or ThreadPoolExecutor(AT_ONCE, "commitment")
        self._holding: Holding[Word] = Holding(store, clock, self._conclude)

    @property
    def running(self) -> int:
        """How many archives are being asked."""
        return len(self._holding.held)

    def collect(self) -> bool:
        """Conclude what was answered or could not be."""
        return self._holding.collect()

    def renew(self) -> bool:
        """Keep the leases of what is being asked."""
        self._holding.renew(lambda future: future.cancel())
        return False

    def claim(self) -> bool:
        """Ask for whatever is due; True if anything was."""
        started = False
        while self.running < AT_ONCE:
            job = self._store.claim(JobKind.COMMIT, self._name, LEASE_SECONDS)
            if job is None:
                break
            started = True
            self._start(job)
        return started

    def stop(self) -> None:
        """Nothing new."""
        self._lane.shutdown(wait=False, cancel_futures=True)

    def _start(self, job: Job) -> None:
        destination = self.settings.target(job.destination)
        if destination is None:
            self._fail(job, f"the destination {job.destination} is not configured any more")
            return
        transaction = f"2.25.{uuid.uuid4().int}"  # one per request (PS3.4 J.3.2.1.1); it names nothing that is stored
        self._store.asked(job, transaction)
        future: Future[Word] = self._lane.submit(
            self._ask, destination, job.study_uid, transaction, self._store.to_be_committed(job)
        )
        self._holding.take(job, future)
        future.add_done_callback(lambda _: self._wake())

    def _conclude(self, held: Held[Word]) -> None:
        job, error = held.job, failure(held.future)
        if error is None:
            self._answered(job, held.future.result())
        elif held.future.cancelled():
            self._store.retry(job, "the node was stopped", self._clock())
        elif isinstance(error, TransientError):
            self._again(job, words(error))
        else:
            self._fail(job, words(error))

    def _answered(self, job: Job, word: Word) -> None:
        if word.commitment is None:
            self._again(job, f"{job.destination} was asked and has not reported yet")
            return
        self._store.promised(f"node ({word.proof})", word.commitment, word.proof)
        event("committed" if not word.commitment.missing else "not-committed", job=job.job_id, study=study_mark(job.study_uid),
              destination=job.destination, missing=len(word.commitment.missing))  # fmt: skip

    def _again(self, job: Job, reason: str) -> None:
        hours = self.settings.delivery.give_up_hours
        waited = sum((self._pause(job, attempt) for attempt in range(1, job.attempts)), timedelta())
        if waited >= timedelta(hours=hours):
            self._fail(job, f"gave up after {hours:g} hours: {reason}")
            return
        self._store.retry(job, reason, self._clock() + self._pause(job, job.attempts))

    def _pause(self, job: Job, attempt: int) -> timedelta:
        return pause(job.job_id, attempt, FIRST_PAUSE, LONGEST_PAUSE)

    def _fail(self, job: Job, reason: str) -> None:
        self._store.fail(job, reason)
        event("failed", job=job.job_id, study=study_mark(job.study_uid), reason=reason)
