"""One node per data folder: a lock that the kernel gives back however the process ends."""

import fcntl
import os
from pathlib import Path

from domain.errors import ConfigurationError


class DataLock:
    """Holds ``data_dir`` from construction to ``release``. Raises ConfigurationError when another node has it."""

    def __init__(self, data_dir: Path) -> None:
        self._descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise ConfigurationError(
                f"node.data_dir: another node is running on {data_dir}; stop it or choose another folder"
            ) from None

    def release(self) -> None:
        """Let another node have it."""
        os.close(self._descriptor)


def is_locked(data_dir: Path) -> bool:
    """Whether a node is running on this folder."""
    try:
        lock = DataLock(data_dir)
    except FileNotFoundError:
        return False
    except ConfigurationError:
        return True
    lock.release()
    return False
