"""Retention: while nobody sends, studies that were not touched for the configured time are purged, one at a time."""

import shutil
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final

from db.spool import Spool
from db.store import Store
from domain.errors import AncillaError, PermanentError
from domain.retention import Ground
from node.config import Settings
from node.holding import failure, words
from node.log import event, warn
from node.purging import Proof, Purging

ACTOR: Final = "node (retention)"
PAUSE: Final = timedelta(seconds=1)  # between two studies: whoever sends has the disk in between
LOOK: Final = timedelta(minutes=10)  # until all studies are looked at anew
YOUNGEST: Final = timedelta(hours=1)  # a study touched since then stays, however full the disk is
ASK_AGAIN: Final = timedelta(days=1)  # for images the archive lacked
BATCH: Final = 10  # studies looked at in one turn


class Retention:
    """The retention of this node; what it knows is where it stands in the list. ``free`` tells the free space in bytes."""

    def __init__(
        self,
        store: Store,
        spool: Spool,
        purging: Purging,
        settings: Settings,
        clock: Callable[[], datetime],
        free: Callable[[], int] | None = None,
        lane: Executor | None = None,
    ) -> None:
        self._store, self._spool, self._purging = store, spool, purging
        self.settings, self._clock = settings, clock  # replaced as a whole when the configuration is read again
        self._free = free or (lambda: shutil.disk_usage(self.settings.node.data_dir).free)
        self._lane = lane or ThreadPoolExecutor(1, "retention")  # where an archive is asked: it may take its time
        self._next = clock()
        self._after: tuple[datetime, str] | None = None
        self._kept = 0
        self._asked: tuple[str, Future[Proof | None]] | None = None
        self._ask_again: dict[str, datetime] = {}  # studies of which the archive lacks images
        self._silent = False  # it did not answer in this round

    def turn(self) -> bool:
        """Purge at most one study; True if it did. Never while rows of images wait to be written."""
        now = self._clock()
        if now < self._next or self._store.is_behind() or (self._asked and not self._asked[1].done()):
            return False
        self._next = now + LOOK  # also when something fails: the loop must not stumble over it at every turn
        if self._after is None:
            self._purging.sweep()  # of a command that was ended in the middle
            self._spool.let_go()
        if self._asked:
            self._next = now + PAUSE
            return self._answered(now)
        before = self._before(now)
        found = self._store.untouched(before, self._after, BATCH) if before else []
        for place in found:
            self._after = place
            if self._went(place[1]):
                self._next = now + PAUSE
                return True
            if self._is_asking():
                self._next = now
                return False
        self._next = now + (PAUSE if len(found) == BATCH else LOOK)
        if len(found) < BATCH:
            self._end()
        return False

    def _is_asking(self) -> bool:
        return self._asked is not None

    def stop(self) -> None:
        """Nothing new."""
        self._lane.shutdown(wait=False, cancel_futures=True)

    def _went(self, study_uid: str) -> bool:
        """Looked at first without holding up who writes: `ancilla purge --dry-run` says why a study stays."""
        grounds = {keep.ground for keep in self._purging.sight(study_uid, self.settings).keeps}
        if not grounds:
            return self._purged(study_uid)
        if grounds != {Ground.PROMISED} or not self._ask(study_uid):
            self._kept += 1
        return False

    def _purged(self, study_uid: str, proof: Proof | None = None) -> bool:
        try:
            self._purging.purge(study_uid, self.settings, ACTOR, proof=proof)
        except PermanentError:  # something came in between
            self._kept += 1
            return False
        return True

    def _ask(self, study_uid: str) -> bool:
        """Where nothing but our own promise keeps a study, whether the archive has it is asked in the background."""
        until = self._ask_again.get(study_uid)
        if not self.settings.retention.archive or self._silent or (until and self._clock() < until):
            return False
        self._asked = (study_uid, self._lane.submit(self._purging.proof, study_uid, self.settings))
        return True

    def _answered(self, now: datetime) -> bool:
        assert self._asked is not None
        (study_uid, future), self._asked = self._asked, None
        error = failure(future)
        if error is None and (proof := future.result()):
            self._ask_again.pop(study_uid, None)
            return self._purged(study_uid, proof)
        self._kept += 1
        if error is None:
            self._ask_again[study_uid] = now + ASK_AGAIN
        elif isinstance(error, AncillaError):
            self._silent = True
            warn("archive-not-asked", reason=words(error))
        else:
            raise error
        return False

    def _end(self) -> None:
        if self._kept:
            event("kept", studies=self._kept)
        self._after, self._kept, self._silent = None, 0, False
        self._ask_again = {study_uid: at for study_uid, at in self._ask_again.items() if at > self._clock()}

    def _before(self, now: datetime) -> datetime | None:
        """Studies that nobody touched since then go; None: none does."""
        retention = self.settings.retention
        if retention.free_gb and self._free() < retention.free_gb * 1e9:
            return now - YOUNGEST
        return now - timedelta(days=retention.days) if retention.days else None
