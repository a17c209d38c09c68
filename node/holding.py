"""Jobs that this node holds while something works on them: leases renewed in time, results of lost ones dropped."""

from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from db.store import Store
from domain.errors import AncillaError, LostLeaseError
from domain.jobs import Job
from node.log import event, study_mark

LEASE_SECONDS: Final = 60.0
T = TypeVar("T")


@dataclass(slots=True)
class Held(Generic[T]):
    """One claimed job and the future of its work."""

    job: Job
    future: Future[T]
    since: datetime
    renewed: datetime
    last_word: bool = False  # a verdict: nothing comes after it
    stopped: str = ""  # why we ended it ourselves
    urgent: bool = False  # it overtook another, in a lane of its own
    resting: datetime | None = None  # since when it waits for an urgent one


class Holding(Generic[T]):
    """The jobs held by one kind of work. ``conclude`` decides what becomes of a job whose work has ended."""

    def __init__(self, store: Store, clock: Callable[[], datetime], conclude: Callable[[Held[T]], None]) -> None:
        self._store, self._clock, self._conclude = store, clock, conclude
        self.held: dict[int, Held[T]] = {}

    def take(self, job: Job, future: Future[T], last_word: bool = False, urgent: bool = False) -> None:
        """Hold a job that was just claimed, or continue with other work on it."""
        now = self._clock()
        self.held[job.job_id] = Held(job, future, now, now, last_word, urgent=urgent)

    def collect(self) -> bool:
        """Conclude whatever has ended; True if anything had."""
        ended = [held for held in self.held.values() if held.future.done()]
        for held in ended:
            del self.held[held.job.job_id]
            try:
                self._conclude(held)
            except LostLeaseError:
                event(
                    "dropped",
                    job=held.job.job_id,
                    study=study_mark(held.job.study_uid),
                    reason="somebody else holds this job now",
                )
        return bool(ended)

    def renew(self, end: Callable[[Future[T]], object]) -> None:
        """Renew leases at a third of their time; work whose lease is lost (cancelled by an operator, say) is ended."""
        now = self._clock()
        for held in self.held.values():
            if now - held.renewed < timedelta(seconds=LEASE_SECONDS / 3) or held.stopped:
                continue
            try:
                self._store.renew(held.job, LEASE_SECONDS)
                held.renewed = now
            except LostLeaseError:
                held.stopped = "the lease was lost"
                end(held.future)


def failure(future: Future[T]) -> BaseException | None:
    """The exception of a future that has ended."""
    return CancelledError() if future.cancelled() else future.exception()


def words(error: BaseException) -> str:
    """A reason fit for log, audit and report. Only our own errors are quoted: others may carry values of the data set."""
    if isinstance(error, AncillaError):
        return str(error)
    where = "; ".join(getattr(error, "__notes__", ()))
    return f"{type(error).__name__}{f' ({where})' if where else ''}"
