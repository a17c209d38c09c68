"""The associations that run now: counted, limited, waited for, ended."""

import threading
import time
from typing import Final, Protocol

WAITING_LIMIT: Final = 64  # connections that have not yet asked for an association


class Running(Protocol):
    """What is asked of an association's thread."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end."""

    def is_alive(self) -> bool:
        """Whether it runs."""

    def drop(self) -> None:
        """Close its connection at once."""

    def end(self) -> None:
        """Abort it; it ends by itself soon after."""


class Associations:
    """Only accepted associations count against ``limit``: whoever merely connects takes no place from those who send."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting: dict[Running, None] = {}  # oldest first
        self._accepted: set[Running] = set()

    def connected(self, association: Running) -> None:
        """A connection was made. When too many wait, the one that has waited longest is closed."""
        with self._lock:
            oldest = next(iter(self._waiting)) if len(self._waiting) >= WAITING_LIMIT else None
            if oldest:
                del self._waiting[oldest]
            self._waiting[association] = None
        if oldest:
            oldest.drop()

    def accept(self, association: Running) -> bool:
        """Whether there is a place for it; then it has one."""
        with self._lock:
            self._waiting.pop(association, None)
            if len(self._accepted) >= self._limit:
                return False
            self._accepted.add(association)
            return True

    def gone(self, association: Running) -> None:
        """Its thread ends."""
        with self._lock:
            self._waiting.pop(association, None)
            self._accepted.discard(association)

    def end(self, seconds: float) -> None:
        """Close what only waits, give the others ``seconds`` to end, then abort them and wait until they are gone."""
        with self._lock:
            waiting, accepted = list(self._waiting), list(self._accepted)
        for association in waiting:
            association.drop()
        deadline = time.monotonic() + seconds
        for association in accepted:
            association.join(max(0.0, deadline - time.monotonic()))
        for association in accepted:
            if association.is_alive():
                association.end()
        for association in [*waiting, *accepted]:
            association.join()
