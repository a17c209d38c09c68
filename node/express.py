"""A lane for urgent work when all workers are busy: one process more, started when it is needed for the first time."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from node.pool import Pool

T = TypeVar("T")


class Express:
    """Like a pool of one, but nothing is started before the first task."""

    size = 1

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: Pool | None = None

    def submit(self, fn: Callable[..., T], /, *args: Any) -> Future[T]:
        """Run in the worker of this lane."""
        with self._lock:
            self._pool = self._pool or Pool(1)
            return self._pool.submit(fn, *args)

    def kill(self, future: Future[Any]) -> bool:
        """See ``Pool.kill``."""
        return self._pool is not None and self._pool.kill(future)

    def shutdown(self) -> None:
        """End it, whatever it does."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=False)
