"""Lets workers that have nothing to do begin with studies that still arrive. A job never waits for it, and needs none of it."""

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Final, Protocol

from db.store import Store
from domain.early import EarlyAnswer, EarlyOrder
from domain.instances import Instance
from domain.jobs import NewJob
from domain.moves import StudyState
from domain.studies import Study
from node.holding import failure
from node.log import study_mark, warn
from node.orders import EARLY, Orders

VISIT_SECONDS: Final = 2.0  # then it is asked again, with the images that came meanwhile
LEAVE_SECONDS: Final = 10.0  # for a worker that was asked to leave; then it is killed
LONGEST_SECONDS: Final = 120.0  # for a whole visit: the first one compiles the network
ENOUGH: Final = 8  # new images that are worth a visit while more are coming
PAUSE: Final = timedelta(seconds=0.3)  # nothing new for so long: any number is worth one
FAST: Final = 100  # images a second; faster ones are left alone: the receiver needs the cores, and they end soon
MOST_STUDIES: Final = 50  # looked at

Part = tuple[str, str]  # study and model


class Workers(Protocol):
    """What is needed of ``node.engine.Engine``."""

    @property
    def size(self) -> int:
        """How many tasks run at the same time."""

    def submit(self, fn: Callable[[EarlyOrder], EarlyAnswer], order: EarlyOrder, /) -> Future[EarlyAnswer]:
        """Run in a worker."""

    def kill(self, future: Future[EarlyAnswer], /) -> bool:
        """End the worker that works on this."""


@dataclass(slots=True)
class _Visit:
    future: Future[EarlyAnswer]
    permit: Path
    images: int
    since: datetime
    leaving: datetime | None = None


class Warming:
    """The visits of this node. ``begin`` runs in a worker; ``busy`` counts the workers that jobs have; ``wanted`` gives the
    jobs that images would lead to."""

    def __init__(
        self,
        store: Store,
        workers: Workers,
        begin: Callable[[EarlyOrder], EarlyAnswer],
        orders: Orders,
        wanted: Callable[[Sequence[Instance]], list[NewJob]],
        busy: Callable[[], int],
        clock: Callable[[], datetime],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._workers, self._begin, self._orders = store, workers, begin, orders
        self._wanted, self._busy, self._clock, self._wake = wanted, busy, clock, wake
        self._folder = orders.settings.node.data_dir / EARLY
        self._numbers = count(1)
        self._visits: dict[Part, _Visit] = {}
        self._seen: dict[Part, int] = {}  # images with which all that could be done was done
        self._done: dict[str, int] = {}  # the same for all models of a study, as far as is known without asking the store
        self._spoiled: set[Part] = set()  # failed once: left to the job, which says why
        self._stopped = not orders.settings.compute.optimistic

    def turn(self) -> bool:
        """Conclude visits that ended, call workers back that jobs need, send one that is idle. True if anything was done."""
        ended = self._collect()
        self._call_back()
        return self._send() or ended

    def stop(self) -> None:
        """No more visits; those that are on their way are called back."""
        self._stopped = True
        for visit in self._visits.values():
            self._leave(visit)

    def _collect(self) -> bool:
        ended = {part: visit for part, visit in self._visits.items() if visit.future.done()}
        for part, visit in ended.items():
            del self._visits[part]
            visit.permit.unlink(missing_ok=True)
            error = failure(visit.future)
            if error is not None:
                self._spoiled.add(part)
                warn("early-work-failed", study=study_mark(part[0]), model=part[1], error=type(error).__name__)
            elif visit.future.result().complete:
                self._seen[part] = visit.images
        return bool(ended)

    def _call_back(self) -> None:
        """Jobs go first; one that was claimed already waits in the pool until a visit ends."""
        now = self._clock()
        for (uid, _), visit in self._visits.items():
            study = self._store.study(uid, latest=False)
            if study is None or study.state is not StudyState.RECEIVING:
                self._leave(visit)  # its job is there, and looks only at what is kept when it begins
        staying = [visit for visit in self._visits.values() if visit.leaving is None]
        for visit in staying[: max(0, self._busy() + len(staying) - self._workers.size)]:
            self._leave(visit)
        for visit in self._visits.values():
            left = visit.leaving is not None and (now - visit.leaving).total_seconds() > LEAVE_SECONDS
            if left or (now - visit.since).total_seconds() > LONGEST_SECONDS:
                self._workers.kill(visit.future)

    def _leave(self, visit: _Visit) -> None:
        visit.permit.unlink(missing_ok=True)
        visit.leaving = visit.leaving or self._clock()

    def _send(self) -> bool:
        if self._stopped or self._busy() + len(self._visits) >= self._workers.size:
            return False
        receiving = self._store.studies(MOST_STUDIES, StudyState.RECEIVING, latest=False)
        self._forget({study.study_uid for study in receiving})
        if not any(self._is_worth_it(study) for study in receiving) or not self._has_space():
            return False
        # The one that will be complete first.
        return any(self._visit(study) for study in sorted(receiving, key=lambda s: s.quiet_at) if self._is_worth_it(study))

    def _is_worth_it(self, study: Study) -> bool:
        if any(uid == study.study_uid for uid, _ in self._visits):
            return False
        if study.instances - self._done.get(study.study_uid, 0) < self._enough(study):
            return False
        lasted = (study.last_at - study.first_at).total_seconds()
        return self._pauses(study) or study.instances <= FAST * (lasted + 1)

    def _pauses(self, study: Study) -> bool:
        return self._clock() - study.last_at >= PAUSE and not self._store.is_behind()

    def _enough(self, study: Study) -> int:
        """How many new images are worth a visit."""
        return 1 if self._pauses(study) else ENOUGH

    def _has_space(self) -> bool:
        """Never the reason why an image is refused for lack of space."""
        settings = self._orders.settings
        free = shutil.disk_usage(settings.node.data_dir).free
        return free > settings.scp.reserve_bytes + settings.compute.cache_bytes

    def _visit(self, study: Study) -> bool:
        """Send a worker to the model that has the most to do; False: none has enough."""
        uid = study.study_uid
        instances = self._store.instances(uid, latest=False)
        jobs = {(uid, job.model_id): job for job in self._wanted(instances) if not job.shadow}  # nobody waits for those
        able = (part for part, job in jobs.items() if part not in self._spoiled and self._orders.may_run(job.package_digest))
        seen = {part: self._seen.get(part, 0) for part in able}
        if not seen:
            self._done[uid] = len(instances)
            return False
        part = min(seen, key=lambda part: seen[part])
        self._done[uid] = seen[part]
        if len(instances) - seen[part] < self._enough(study):
            return False
        self._visits[part] = self._sent(jobs[part], uid, instances)
        return True

    def _sent(self, job: NewJob, study_uid: str, instances: Sequence[Instance]) -> _Visit:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        permit = self._folder / f"permit-{next(self._numbers)}"
        permit.touch()
        order = self._orders.early(job, study_uid, instances, permit, VISIT_SECONDS)
        future = self._workers.submit(self._begin, order)
        future.add_done_callback(lambda _: self._wake())
        return _Visit(future, permit, len(instances), self._clock())

    def _forget(self, receiving: set[str]) -> None:
        """Studies that are complete, or too many."""
        self._seen = {part: images for part, images in self._seen.items() if part[0] in receiving}
        self._done = {uid: images for uid, images in self._done.items() if uid in receiving}
        self._spoiled = {part for part in self._spoiled if part[0] in receiving}
