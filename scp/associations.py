"""The associations that run now: counted, limited, waited for, ended."""

import threading
import time
from typing import Final, Protocol

WAITING_LIMIT: Final = 64  # connections that have not yet asked for an association
NO_PLACE: Final = "too many associations at the same time"
NO_PLACE_FOR_PEER: Final = "too many associations of this caller at the same time"
Peer = tuple[str, str]  # calling AE title and address


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

    def __init__(self, limit: int, per_peer: int = 0) -> None:
        """``per_peer`` 0: no other limit than ``limit``."""
        self._limit, self._per_peer = limit, per_peer or limit
        self._lock = threading.Lock()
        self._waiting: dict[Running, None] = {}  # oldest first
        self._accepted: dict[Running, tuple[Peer, float]] = {}  # whose, and since when; oldest first
        self._named: set[Running] = set()  # by ``older_than`` already

    def connected(self, association: Running) -> None:
        """A connection was made. When too many wait, the one that has waited longest is closed."""
        with self._lock:
            oldest = next(iter(self._waiting)) if len(self._waiting) >= WAITING_LIMIT else None
            if oldest:
                del self._waiting[oldest]
            self._waiting[association] = None
        if oldest:
            oldest.drop()

    def accept(self, association: Running, peer: Peer = ("", "")) -> str:
        """Give it a place; returns why not, when there is none."""
        with self._lock:
            self._waiting.pop(association, None)
            if len(self._accepted) >= self._limit:
                return NO_PLACE
            if sum(other == peer for other, _ in self._accepted.values()) >= self._per_peer:
                return NO_PLACE_FOR_PEER
            self._accepted[association] = (peer, time.monotonic())
            return ""

    def gone(self, association: Running) -> None:
        """Its thread ends."""
        with self._lock:
            self._waiting.pop(association, None)
            self._accepted.pop(association, None)
            self._named.discard(association)

    def older_than(self, seconds: float, once: bool = False) -> list[Running]:
        """Those accepted longer ago; ``once``: without those that were named ``once`` before."""
        before = time.monotonic() - seconds
        with self._lock:
            found = [one for one, (_, since) in self._accepted.items() if since < before and not (once and one in self._named)]
            if once:
                self._named.update(found)
        return found

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
