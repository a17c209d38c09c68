"""One node per data folder: a lock that the kernel gives back however the process ends."""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from domain.errors import ConfigurationError

_TRIES: Final = 5  # somebody who only looks (``is_locked``) holds it for a moment
_PAUSE: Final = 0.05  # seconds


class DataLock:
    """Holds ``data_dir`` from construction to ``release``. Raises ConfigurationError when another node has it; ``words`` say so
    about folders of another kind."""

    def __init__(self, data_dir: Path, words: str = "") -> None:
        self._descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for _ in range(_TRIES):
            if _taken(self._descriptor):
                return
            time.sleep(_PAUSE)
        os.close(self._descriptor)
        raise ConfigurationError(
            words or f"node.data_dir: another node is running on {data_dir}; stop it or choose another folder"
        )

    def release(self) -> None:
        """Let another node have it."""
        os.close(self._descriptor)


def is_locked(data_dir: Path) -> bool:
    """Whether a node is running on this folder. Makes no file: the node may run as another user."""
    try:
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _taken(descriptor)
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
