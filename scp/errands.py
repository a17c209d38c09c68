"""What other threads want an association's thread to do: only that one sends, so no message is torn by another."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from scp.boundary import attempt


class Errands:
    """Put by any thread, run by one. After ``close`` everything put is cancelled at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Future[None], Callable[[], None]]] = deque()
        self._closed = False

    def put(self, errand: Callable[[], None]) -> Future[None]:
        """Ask for it; the future tells when it was done, or is cancelled when the association ends before."""
        future: Future[None] = Future()
        with self._lock:
            if self._closed:
                future.cancel()
            else:
                self._waiting.append((future, errand))
        return future

    def run(self) -> None:
        """Do what was asked for."""
        while self._waiting:
            future, errand = self._waiting.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            error = attempt(errand)
            if error:
                future.set_exception(error)
            else:
                future.set_result(None)

    def close(self) -> None:
        """The association is over."""
        with self._lock:
            self._closed = True
            while self._waiting:
                self._waiting.popleft()[0].cancel()
