"""How many association requests an address may make: a bucket of tokens for each, one second's worth deep.

It protects the records behind the receiver, not the network: every request that is judged costs a row in the audit log.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import Enum
from typing import Final

_ADDRESSES: Final = 4096  # remembered; the one not seen for longest is forgotten


class Flow(Enum):
    """What is to be done with a request."""

    FREE = "free"
    FIRST = "first"  # one too many, and the first since the address was quiet: to be reported
    MORE = "more"  # one too many, and that is known already


class Flood:
    """Used by the threads of all associations."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        """``per_second`` 0: no limit."""
        self._rate, self._clock = per_second, clock
        self._depth = max(1.0, per_second)
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float, bool]] = OrderedDict()  # address: tokens, at, reported

    def judge(self, address: str) -> Flow:
        """Count one request."""
        if not self._rate:
            return Flow.FREE
        now = self._clock()
        with self._lock:
            tokens, at, reported = self._buckets.pop(address, (self._depth, now, False))
            tokens = min(self._depth, tokens + (now - at) * self._rate)
            flow = Flow.FREE if tokens >= 1 else Flow.MORE if reported else Flow.FIRST
            # Reported once until the bucket is full again: who floods for an hour makes one row, not a thousand.
            over = flow is not Flow.FREE or (reported and tokens < self._depth)
            self._buckets[address] = (tokens - 1 if flow is Flow.FREE else tokens, now, over)
            if len(self._buckets) > _ADDRESSES:
                self._buckets.popitem(last=False)
        return flow
