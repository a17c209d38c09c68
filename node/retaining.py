"""Retention: while nobody sends, studies that were not touched for the configured time are purged, one at a time."""

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from db.spool import Spool
from db.store import Store
from domain.errors import PermanentError
from node.config import Settings
from node.log import event
from node.purging import Purging

ACTOR: Final = "node (retention)"
PAUSE: Final = timedelta(seconds=1)  # between two studies: whoever sends has the disk in between
LOOK: Final = timedelta(minutes=10)  # until all studies are looked at anew
YOUNGEST: Final = timedelta(hours=1)  # a study touched since then stays, however full the disk is
BATCH: Final = 50  # studies looked at in one turn


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
    ) -> None:
        self._store, self._spool, self._purging = store, spool, purging
        self.settings, self._clock = settings, clock  # replaced as a whole when the configuration is read again
        self._free = free or (lambda: shutil.disk_usage(self.settings.node.data_dir).free)
        self._next = clock()
        self._after: tuple[datetime, str] | None = None
        self._kept = 0

    def turn(self) -> bool:
        """Purge at most one study; True if it did. Never while rows of images wait to be written."""
        now = self._clock()
        if now < self._next or self._store.is_behind():
            return False
        self._next = now + LOOK  # also when something fails: the loop must not stumble over it at every turn
        if self._after is None:
            self._purging.sweep()  # of a command that was ended in the middle
            self._spool.let_go()
        before = self._before(now)
        found = self._store.untouched(before, self._after, BATCH) if before else []
        for place in found:
            self._after = place
            if self._went(place[1]):
                self._next = now + PAUSE
                return True
        self._next = now + (PAUSE if len(found) == BATCH else LOOK)
        if len(found) < BATCH:
            self._end()
        return False

    def _went(self, study_uid: str) -> bool:
        try:
            self._purging.purge(study_uid, self.settings, ACTOR)
        except PermanentError:  # `ancilla purge --dry-run` says why
            self._kept += 1
            return False
        return True

    def _end(self) -> None:
        if self._kept:
            event("kept", studies=self._kept)
        self._after, self._kept = None, 0

    def _before(self, now: datetime) -> datetime | None:
        """Studies that nobody touched since then go; None: none does."""
        retention = self.settings.retention
        if retention.free_gb and self._free() < retention.free_gb * 1e9:
            return now - YOUNGEST
        return now - timedelta(days=retention.days) if retention.days else None
