"""A checkpoint says, under one lock, whether somebody is held in front of it: who closes it can rely on that.

pynetdicom's own thread passes an event and takes answers off a queue a moment later. A request that closes the event before that
thread has woken up from the last one believes it still held, and its answer is taken and forgotten.
"""

import threading
from collections.abc import Callable
from typing import Any, Final

_AGAIN: Final = 0.01  # seconds after which who is held says so again: others may have said otherwise meanwhile
_LOOK: Final = 0.05  # seconds; the thread comes by every millisecond as long as it lives


class Checkpoint:
    """Waited at, opened and closed like a ``threading.Event``; open at first. One thread waits here."""

    def __init__(self, held: Callable[[bool], None]) -> None:
        """``held`` is told True while the thread has to wait, again and again, and False before it goes through."""
        self._held, self._open, self._moved = held, True, threading.Condition()
        self.reached = threading.Event()  # the thread came for the first time

    def set(self) -> None:
        """Open it."""
        self._move(True)

    def clear(self) -> None:
        """Close it. When the thread went through before, it has said so already."""
        self._move(False)

    def wait(self) -> None:
        """Go through, as soon as it is open."""
        with self._moved:
            self.reached.set()
            while not self._open:
                self._held(True)
                self._moved.wait(_AGAIN)
            self._held(False)

    def _move(self, is_open: bool) -> None:
        with self._moved:
            self._open = is_open
            self._moved.notify_all()


def guard(association: Any) -> None:
    """Puts a checkpoint in the place of the event at which the thread of a requestor's pynetdicom association pauses.

    Nothing is done to one that is not established: its thread is over.
    """
    if not association.is_established:
        return
    checkpoint = Checkpoint(lambda held: setattr(association, "_is_paused", held))
    association._reactor_checkpoint = checkpoint
    while association.is_alive() and not checkpoint.reached.wait(_LOOK):
        pass  # he may still be on his way through the event
