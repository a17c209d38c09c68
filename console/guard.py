"""Connections that never ask for anything: each has a time limit and all of them together a number."""

import asyncio
import time
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS: Final = 10.0  # from connecting, or from the first byte after an answer, to the whole request header
MOST_WAITING: Final = 64  # one more, and the one that has waited longest is closed


class GuardedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, which alone waits for a request for ever."""

    waiting_since = 0.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The time runs."""
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(transport)
        self._watch()
        waiting = [one for one in self.connections if isinstance(one, GuardedProtocol) and one.waiting_since]
        if len(waiting) > MOST_WAITING:
            min(waiting, key=lambda one: one.waiting_since).abort()

    def data_received(self, data: bytes) -> None:
        """While a request is answered no time runs here: the endpoint has limits of its own."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to watch any more."""
        self._rest()
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close without another word."""
        self._rest()
        self.transport.abort()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._rest()
        elif self._timer is None and not self.transport.is_closing():
            self.waiting_since = time.monotonic()
            self._timer = self.loop.call_later(REQUEST_SECONDS, self.abort)

    def _rest(self) -> None:
        self.waiting_since = 0.0
        if self._timer:
            self._timer.cancel()
            self._timer = None
