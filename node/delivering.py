"""Deliver jobs: each destination has its own lane, so that a PACS that does not answer holds up nobody else."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from db.store import Store
from delivery import dicom, dicomweb, folder
from domain.destinations import Delivered, Destination, Sent
from domain.errors import TransientError
from domain.jobs import Job, JobKind
from node.backoff import pause
from node.config import Settings
from node.holding import LEASE_SECONDS, Held, Holding, failure, words
from node.ladder import Ladder, remembered
from node.log import event, study_mark

Deliver = Callable[[Destination, Sequence[Path]], list[Sent]]
FIRST_PAUSE: Final = 5.0  # seconds
_SENDERS: Final[dict[str, Deliver]] = {"dicom": dicom.send, "dicomweb": dicomweb.send, "folder": folder.send}
PER_LANE: Final = 2  # associations to one destination at a time


def deliver(destination: Destination, files: Sequence[Path]) -> list[Sent]:
    """Send files to a destination of any kind. Raises TransientError, PermanentError."""
    return _SENDERS[destination.kind](destination, files)


class Delivering:
    """The deliver jobs of this node. ``lane`` makes the executor of one destination. ``shadows`` are the packages (digests) that
    run in shadow now: what they answered while they were live does not leave any more."""

    shadows: frozenset[str] = frozenset()  # replaced when the configuration is read again

    def __init__(
        self,
        store: Store,
        settings: Settings,
        deliver: Deliver,
        clock: Callable[[], datetime],
        wake: Callable[[], None] = lambda: None,
        lane: Callable[[], Executor] = lambda: ThreadPoolExecutor(PER_LANE, "delivery"),
        name: str = "node",
    ) -> None:
        self._store, self.settings, self._deliver, self._clock = store, settings, deliver, clock
        self._wake, self._lane, self._name = wake, lane, name
        self._lanes: dict[str, Executor] = {}
        self._holding: Holding[Delivered] = Holding(store, clock, self._conclude)

    @property
    def running(self) -> int:
        """How many jobs are on their way."""
        return len(self._holding.held)

    def collect(self) -> bool:
        """Conclude what was answered or could not be."""
        return self._holding.collect()

    def renew(self) -> bool:
        """Keep the leases of what is on its way."""
        self._holding.renew(lambda future: future.cancel())
        return False

    def claim(self) -> bool:
        """Start whatever is due; True if anything started. A lane takes no more than it can send at once, so that what
        waits for a dead destination waits in the store."""
        return any([self._claim(name) for name in self._names()])  # noqa: C419 - every lane is looked at

    def _names(self) -> list[str]:
        """Configured destinations, and those that only waiting jobs know (senders, and what is configured no more)."""
        waiting = self._store.waiting_destinations()
        configured = [destination.name for destination in self.settings.destinations]
        return list(dict.fromkeys([*configured, *waiting])) if waiting else []

    def _claim(self, name: str) -> bool:
        started = False
        while sum(held.job.destination == name for held in self._holding.held.values()) < PER_LANE:
            job = self._store.claim(JobKind.DELIVER, self._name, LEASE_SECONDS, destination=name)
            if job is None:
                break
            started = True
            self._start(job)
        return started

    def stop(self) -> None:
        """Nothing new; what waits in a lane stays queued in the store."""
        for lane in self._lanes.values():
            lane.shutdown(wait=False, cancel_futures=True)

    def _start(self, job: Job) -> None:
        if job.package_digest in self.shadows:
            self._store.withhold(job)
            event("withheld", job=job.job_id, study=study_mark(job.study_uid), destination=job.destination)
            return
        destination = self.settings.target(job.destination)
        if destination is None:
            self._fail(job, f"the destination {job.destination} is not configured any more")
            return
        lane = self._lanes.get(job.destination) or self._lanes.setdefault(job.destination, self._lane())
        artifacts = self._store.artifacts(job.parent_id) if job.parent_id is not None else []
        memory = remembered(self._store.acceptances(destination.name), self._clock())
        ladder = Ladder(destination, artifacts, self.settings.node.data_dir, memory)
        future: Future[Delivered] = lane.submit(ladder.climb, partial(self._deliver, destination))
        self._holding.take(job, future)
        future.add_done_callback(lambda _: self._wake())

    def _conclude(self, held: Held[Delivered]) -> None:
        job, error = held.job, failure(held.future)
        if error is None:
            self._answered(job, held.future.result())
        elif held.future.cancelled():
            self._store.retry(job, "the node was stopped", self._clock())
        elif isinstance(error, TransientError):
            self._again(job, words(error), lambda reason: self._fail(job, reason))
        else:
            self._fail(job, words(error))

    def _answered(self, job: Job, delivered: Delivered) -> None:
        covered = {uid for one in delivered.instead for uid in one.sop_instance_uids}
        refused = [sent for sent in delivered.results if not sent.accepted and sent.sop_instance_uid not in covered]
        if refused and all(dicom.is_transient(sent.status) for sent in refused):
            reason = f"{job.destination} answered {refused[0].status:#06x}"
            self._again(job, reason, lambda _: self._noted(job, delivered))
            return
        self._noted(job, delivered)
        event(
            "sent" if not refused else "refused",
            job=job.job_id,
            study=study_mark(job.study_uid),
            destination=job.destination,
            instances=len(delivered.results),
            refused=len(refused),
            **({"instead": ",".join(f"{one.given} for {one.wanted}" for one in delivered.instead)} if delivered.instead else {}),
        )
        if delivered.short and job.parent_id is not None:
            self._store.revive(job.parent_id, "node")  # its order now asks for what may stand for the refused
            event("rewritten", job=job.parent_id, study=study_mark(job.study_uid), destination=job.destination)

    def _noted(self, job: Job, delivered: Delivered) -> None:
        destination = self.settings.target(job.destination)
        commit = destination is not None and destination.commitment
        self._store.sent(job, delivered.results, delivered.instead, delivered.learned, commit)

    def _again(self, job: Job, reason: str, give_up: Callable[[str], None]) -> None:
        limits = self.settings.delivery
        if self._waited(job) >= timedelta(hours=limits.give_up_hours):
            give_up(f"gave up after {limits.give_up_hours:g} hours: {reason}")
            return
        later = self._clock() + self._pause(job, job.attempts)
        self._store.retry(job, reason, later)
        event("retried", job=job.job_id, study=study_mark(job.study_uid), attempt=job.attempts, reason=reason)

    def _waited(self, job: Job) -> timedelta:
        """The pauses so far. Counted by attempts, not from the job's creation: an operator who starts an old job again
        starts its hours again too."""
        return sum((self._pause(job, attempt) for attempt in range(1, job.attempts)), timedelta())

    def _pause(self, job: Job, attempt: int) -> timedelta:
        return pause(job.job_id, attempt, FIRST_PAUSE, self.settings.delivery.max_backoff_seconds)

    def _fail(self, job: Job, reason: str) -> None:
        self._store.fail(job, reason)
        event("failed", job=job.job_id, study=study_mark(job.study_uid), reason=reason)
