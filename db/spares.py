"""Space that was written ahead: files of zeros, made while little happens, that become packs when images come in numbers.

A sync is cheap when neither the size of the file nor its map of blocks changes with it. So the zeros must have been written,
not only allocated, and before they are needed. They go past the page cache (``O_DIRECT``), which keeps it for images.
"""

import mmap
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Final

SIZE: Final = 32 << 20  # bytes of one spare
_PIECE: Final = 1 << 20
_QUIET_SECONDS: Final = 1.0  # without a spare being taken: time to make new ones
_AGAIN_SECONDS: Final = 60.0  # after the disk did not go along
_SHARE: Final = 10  # spares take no more than one part in so many of what is free above the reserve


class Spares:
    """A folder of spares in the spool and the thread that keeps it filled. Where the disk does not go along there are none."""

    def __init__(self, root: Path, total: int, reserve_bytes: int = 0) -> None:
        """``total`` bytes are kept ready at most."""
        self._folder, self._wanted, self._reserve_bytes = root / "spare", total // SIZE, reserve_bytes
        self._lock = threading.Lock()
        self._ready: list[Path] = []
        self._number = 0
        self._taken_at = 0.0
        self._needed = False  # somebody has asked: a node to which nobody sends much does not write for nothing
        self._news, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Be ready to make them. What an earlier process left is removed: nobody knows whether it is still nothing but zeros."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._wanted:
            self._thread = threading.Thread(target=self._fill, name="spares", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Make no more and give their space back."""
        self._stopping.set()
        self._news.set()
        if self._thread:
            self._thread.join()
        self.release()

    @property
    def ready(self) -> int:
        """How many there are."""
        return len(self._ready)

    def any_ready(self) -> bool:
        """Whether there is one; from the first time that somebody asks, they are made."""
        if not self._needed:
            self._needed = True
            self._news.set()
        return bool(self._ready)

    def take(self, path: Path) -> int:
        """Make a spare the new file ``path``; its size in bytes, or 0 when there is none. Raises FileExistsError, OSError."""
        with self._lock:
            if not self._ready:
                return 0
            spare = self._ready.pop()
        self._taken_at = time.monotonic()
        self._news.set()
        try:
            os.link(spare, path)
        finally:
            spare.unlink(missing_ok=True)
        return SIZE

    def release(self) -> None:
        """Give their space back: the disk is nearly full."""
        with self._lock:
            ready, self._ready = self._ready, []
        for spare in ready:
            spare.unlink(missing_ok=True)

    def _fill(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            missing = self._wanted - self.ready
            if missing <= 0 or not self._needed:
                self._news.wait()
            elif self.ready and (quiet := self._taken_at + _QUIET_SECONDS - time.monotonic()) > 0:
                self._stopping.wait(quiet)  # the disk is needed by who took it
            elif not self._make():
                self._stopping.wait(_AGAIN_SECONDS)

    def _make(self) -> bool:
        """One more; False when there is no space or the file system cannot do it."""
        path = self._folder / f"{self._number}.zeros"
        self._number += 1
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if not self._has_space():
                return False
            write_zeros(path, SIZE)
        except OSError:
            path.unlink(missing_ok=True)
            return False
        with self._lock:
            self._ready.append(path)
        return True

    def _has_space(self) -> bool:
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize - self._reserve_bytes > _SHARE * SIZE * self._wanted


def write_zeros(path: Path, size: int) -> None:
    """A new file of zeros whose blocks are written and on the disk. Raises OSError, also where there is no O_DIRECT."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL | os.O_DIRECT, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
        with mmap.mmap(-1, _PIECE) as zeros:  # aligned to pages, as O_DIRECT wants it
            for at in range(0, size, _PIECE):
                if os.pwrite(fd, zeros, at) != _PIECE:
                    raise OSError("a short write")
        os.fsync(fd)
    finally:
        os.close(fd)
