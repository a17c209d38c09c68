"""Whether a receiver gives back what it took: threads and descriptors of this process. Some of those end a little late."""

import threading
from pathlib import Path

from tests.peers import wait_for


def counted() -> tuple[int, int]:
    """Threads and descriptors of this process."""
    return threading.active_count(), sum(1 for _ in Path("/proc/self/fd").iterdir())


def wait_until_given_back(before: tuple[int, int]) -> None:
    """Neither threads nor descriptors are more than ``before``; AssertionError when that does not come about."""
    wait_for(lambda: all(now <= then for now, then in zip(counted(), before, strict=True)), f"{before} threads and descriptors")
