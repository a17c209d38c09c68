"""Whether a sender moves on: a trickle that keeps an association busy and never ends an object is a fault or an attack.

The idle timer does not see it, since each small PDU is complete. Between two of our answers data must come at a minimum rate,
counted from its first byte and judged after a time of grace; waiting between objects costs nothing.
"""

import time
from collections.abc import Callable


class Progress:
    """Of one association; used by the one thread that reads it."""

    def __init__(self, bytes_per_second: float, grace: float, clock: Callable[[], float] = time.monotonic) -> None:
        """``grace`` is seconds; 0 bytes per second: anything goes."""
        self._rate, self._grace, self._clock = bytes_per_second, grace, clock
        self._since = -1.0  # when the first byte after our last answer came; below 0: none came yet
        self._bytes = 0

    def received(self, count: int) -> bool:
        """Note ``count`` bytes; False when they come too slowly."""
        if not self._rate:
            return True
        now = self._clock()
        if self._since < 0:
            self._since = now
        self._bytes += count
        elapsed = now - self._since
        return elapsed <= self._grace or self._bytes >= self._rate * elapsed

    def answered(self) -> None:
        """We sent something: what was asked for is done."""
        self._since, self._bytes = -1.0, 0
