"""The audit log verified for a page: in a process of its own, once at a time, and what was found is kept."""

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from datetime import UTC, datetime

from console.board import Proof
from domain.errors import AncillaError
from node.pool import Pool


def verified(database: str) -> tuple[bool, str]:
    """Runs in a worker: whether the chain is whole, and the sentence that ``ancilla audit verify`` says. Raises AncillaError."""
    from db.audit import verify
    from db.engine import open_store

    store = open_store(database, lambda: datetime.now(UTC))
    try:
        found = verify(store)
    finally:
        store.close()
    return found.broken_seq is None, found.words


class Proving:
    """``database`` is the URL of the store."""

    def __init__(self, database: str, clock: Callable[[], datetime]) -> None:
        self._database, self._clock = database, clock
        self._lock = threading.Lock()
        self._proof = Proof()
        self._thread: threading.Thread | None = None
        self._pool: Pool | None = None
        self._closed = False

    def proof(self) -> Proof:
        """What was found the last time, or that it is being read."""
        return self._proof

    def prove(self) -> None:
        """Begin, unless that has been done."""
        with self._lock:
            if self._closed or (self._thread is not None and self._thread.is_alive()):
                return
            self._proof = Proof(None, "the log is being read", self._clock(), True)
            self._pool = Pool(1)
            self._thread = threading.Thread(target=self._run, args=(self._pool,), name="proving", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        with self._lock:
            self._closed = True
            pool, thread = self._pool, self._thread
        if pool is not None:
            pool.shutdown(wait=False)
        if thread is not None:
            thread.join()

    def _run(self, pool: Pool) -> None:
        try:
            good, words = pool.submit(verified, self._database).result()
        except (AncillaError, CancelledError, RuntimeError) as error:
            good, words = None, f"the log could not be read: {error}"
        self._proof = Proof(good, words, self._clock())
        pool.shutdown(wait=True)
