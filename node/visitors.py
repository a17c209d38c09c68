"""Other processes that receive into the same data folder (``ancilla send``): a starting node leaves what they hold alone.

Each holds a lock file with the id of its association, which the kernel gives back however the process ends. Begin and end
of a visit wait while a starting node recovers, so that what the node sees of the visitors cannot change under it.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from domain.instances import Caller
from domain.seams import Intake

_GATE = ".gate"


class Visitors:
    """The visitors of one data folder."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "visitors"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextlib.contextmanager
    def visit(self, intake: Intake, caller: Caller) -> Iterator[str]:
        """An association of this process until the end of the block; its id. An exception ends it as "aborted"."""
        with self._gate(fcntl.LOCK_SH):
            association_id = intake.opened(caller)
            held = _lock(self._folder / association_id, os.O_CREAT)
        how = "aborted"
        try:
            yield association_id
            how = "released"
        finally:
            with self._gate(fcntl.LOCK_SH):
                try:
                    intake.closed(association_id, how)
                    (self._folder / association_id).unlink(missing_ok=True)
                finally:
                    os.close(held)

    @contextlib.contextmanager
    def still(self) -> Iterator[frozenset[str]]:
        """The associations of all visitors; none begins or ends until the end of the block."""
        with self._gate(fcntl.LOCK_EX):
            held = {path.name for path in self._left() if _is_held(path)}
            yield frozenset(held)

    def reap(self, closed: Callable[[str], object]) -> int:
        """Calls ``closed`` for the association of each visitor that died, and forgets it; returns how many."""
        if not self._left():
            return 0
        with self._gate(fcntl.LOCK_EX):
            dead = [path for path in self._left() if not _is_held(path)]
            for path in dead:
                closed(path.name)
                path.unlink(missing_ok=True)
        return len(dead)

    def _left(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if path.name != _GATE]

    @contextlib.contextmanager
    def _gate(self, how: int) -> Iterator[None]:
        descriptor = os.open(self._folder / _GATE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)


def _lock(path: Path, flags: int = 0) -> int:
    """A descriptor that holds the lock. Raises BlockingIOError when somebody else does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _is_held(path: Path) -> bool:
    try:
        os.close(_lock(path))
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False
