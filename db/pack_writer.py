"""Appending to a pack: whatever fails, the pack ends at its last good record; what was committed durably is on the disk.

A sync is cheaper when the file does not grow by it. So a pack for many images begins as a file of zeros (``db.spares``), and
where small records come in numbers, zeros are written ahead of them; what is left of them is cut off when the pack is closed,
and start-up takes zeros for the end of a pack. Over zeros, whole pages are written: a part of one would be read first.
"""

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from db.pack import EMPTY_SLOT, slot_bytes
from db.seal import Seal
from domain.errors import OutOfSpaceError, TransientError
from domain.instances import Place

_BUFFER: Final = 64 * 1024  # small fragments and small objects are collected up to this size and written at once
_AHEAD: Final = 1 << 20  # bytes of zeros written ahead of small records ...
_NUMBERS: Final = 16  # ... once so many of them have come in a row
_CHECK_EVERY: Final = 16 * 1024 * 1024  # bytes written between two looks at the free space
_PAGE: Final = 4096
_TRIES: Final = 10  # to make a file in a folder that somebody removes
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Pack:
    """One append-only file of one association and study; it has at most one writer at a time."""

    def __init__(self, root: Path, name: str, take: Callable[[Path], int] = lambda _: 0) -> None:
        """``take`` may make the file of zeros; see ``Spares.take``."""
        self.name = name  # relative to the spool
        self.path = root / name
        self.end = 0  # behind the last good record
        self.busy = True
        self.closing = False  # its association ended while a writer was still open
        self.broken = False  # the disk answered with an error: nothing is appended any more
        self.unsynced = False  # holds records that are not durable yet
        self.records = 0  # that were committed
        self.was_spare = False  # it began as a file of zeros
        self._take = take
        self._fd = -1
        self._failed = False  # a sync did: the kernel may have dropped the pages, so no later one is believed
        self._made = self._synced_folders = False
        self._small = 0  # small records in a row
        self._zeros_end = 0  # behind zeros written ahead; 0: there are none
        self._largest = 0  # bytes of the largest record

    def open(self) -> None:
        """Make the file; every folder above it is the node's alone. Raises FileExistsError, OSError."""
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC) if self._made else self._make()
            self._made = True

    def _make(self) -> int:
        for _ in range(_TRIES):
            self.path.parent.parent.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # the last other pack of the study was just removed with its folder
                self.path.parent.mkdir(mode=0o700, exist_ok=True)
                self._zeros_end = self._take(self.path)
                self.was_spare = self._zeros_end > 0
                new = 0 if self._zeros_end else os.O_CREAT | os.O_EXCL
                return os.open(self.path, os.O_RDWR | os.O_CLOEXEC | new, 0o600)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    @property
    def is_spent(self) -> bool:
        """Whether another pack would be faster now: the zeros this one began with are nearly used up."""
        return self.was_spare and self._zeros_end - self.end < self._largest

    def ended(self, end: int) -> None:
        """One more good record, which ends there."""
        self._largest = max(self._largest, end - self.end)
        self.end = end
        self.records += 1

    def padding(self, end: int) -> int:
        """Bytes to the end of the page in which ``end`` lies, where there are zeros to write over; else 0."""
        pad = -end % _PAGE
        return pad if end + pad <= self._zeros_end else 0

    def keeps_back(self, end: int) -> int:
        """How many of the bytes before ``end`` should wait for others to fill their page."""
        return end % _PAGE if end <= self._zeros_end else 0

    @property
    def is_open(self) -> bool:
        """Whether it holds a file descriptor."""
        return self._fd >= 0

    def close(self) -> None:
        """Give the file descriptor back; a pack without any record is removed, and its folder with the last of them."""
        if self._fd < 0:
            return
        if self._zeros_end > self.end:
            self.cut()
        if self.unsynced:
            self._sync_before_closing()
        os.close(self._fd)
        self._fd = -1
        if self.end == 0:
            remove(self.path)
            self._made = self._synced_folders = False

    def write_at(self, offset: int, parts: list[bytes | bytearray | memoryview]) -> int:
        """Write all parts one behind the other; returns the number of bytes. Raises OSError."""
        views = [memoryview(part).cast("B") for part in parts if len(part)]
        total = 0
        while views:
            count = os.pwritev(self._fd, views, offset + total)
            total += count
            while views and count >= len(views[0]):
                count -= len(views.pop(0))
            if views:
                views[0] = views[0][count:]
        return total

    def begin_record(self, size: int) -> None:
        """A record of ``size`` bytes follows; it is written at once if it is small."""
        self._small = self._small + 1 if size <= _BUFFER else 0
        if self._small < _NUMBERS or self.end + size <= self._zeros_end:
            return
        try:
            self._zeros_end = self.end + self.write_at(self.end, [bytes(max(_AHEAD, size))])
        except OSError:  # the record itself will tell
            self._zeros_end = self.end + _AHEAD
            self._small = 0

    def share(self) -> int:
        """A file descriptor of one's own, to sync what is there while the writer goes on; -1 when there is none."""
        try:
            return os.dup(self._fd) if self._fd >= 0 and not self._failed else -1
        except OSError:
            return -1

    def sync_shared(self, fd: int) -> None:
        """Make durable what was committed, by a descriptor of ``share``; closes it. Raises OSError."""
        if fd < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        try:
            self.unsynced = False  # before: what is committed meanwhile sets it again
            self.sync(fd)
        except OSError:
            self.unsynced = self.broken = self._failed = True
            raise
        finally:
            os.close(fd)

    def _sync_before_closing(self) -> None:
        try:
            self.sync()
            self.unsynced = False
        except OSError:
            self.broken = self._failed = True

    def sync(self, fd: int = -1) -> None:
        """Make the content durable, and, the first time, the names of the file and its folders. Raises OSError."""
        os.fdatasync(self._fd if fd < 0 else fd)
        if not self._synced_folders:
            for folder in (self.path.parent, self.path.parent.parent, self.path.parent.parent.parent):
                sync_folder(folder)
            self._synced_folders = True

    def cut(self) -> None:
        """Back to the last good record; a pack that cannot be cut is not used again (start-up cuts it)."""
        self._zeros_end = self._small = 0
        try:
            os.ftruncate(self._fd, self.end)
        except OSError:
            self.broken = True

    def check_space(self, reserve_bytes: int) -> None:
        """Raises OutOfSpaceError below the reserve."""
        check_space(self._fd, reserve_bytes)


def remove(path: Path) -> None:
    """Remove a pack, and the folder of its study when nothing else is in it: a sender may name any number of studies."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def check_space(where: int | Path, reserve_bytes: int) -> None:
    """Raises OutOfSpaceError when the file system has less free than ``reserve_bytes``."""
    if reserve_bytes <= 0:
        return
    found = os.statvfs(where)
    if found.f_bavail * found.f_frsize < reserve_bytes:
        raise OutOfSpaceError("free space on the spool is below the reserve")


def disk_error(error: OSError) -> TransientError:
    """What an error of the disk means to the sender: try again later."""
    if error.errno in _FULL:
        return OutOfSpaceError("the disk of the spool is full")
    return TransientError(f"the spool cannot be written ({os.strerror(error.errno or errno.EIO)})")


class PackWriter:
    """One object on its way into a pack. Exactly one of ``commit`` and ``discard`` ends it; an error ends it too."""

    def __init__(
        self,
        pack: Pack,
        label: bytes,
        meta: bytes,
        reserve_bytes: int,
        clock: Callable[[], int],
        done: Callable[[Pack], None],
        durable: bool = True,
        digest: bool = True,
    ) -> None:
        self._pack, self._label, self._meta, self._durable = pack, label, meta, durable
        self._reserve_bytes, self._clock, self._done = reserve_bytes, clock, done
        self._digest = hashlib.sha256() if digest else None
        self._seal = Seal()
        self._pending = bytearray(EMPTY_SLOT + label + meta)
        self._at = pack.end  # where the pending bytes belong
        self._length = 0  # of the data set so far
        self._unchecked = 0
        self._ended = False

    def write(self, fragment: bytes | memoryview) -> None:
        """Append a fragment of the data set. Raises OutOfSpaceError, TransientError; the record is gone then."""
        self._must_be_open()
        self._take(fragment)
        if len(self._pending) + len(fragment) <= _BUFFER:
            self._pending += fragment
            return
        try:
            self._flush(memoryview(fragment))
        except BaseException:
            self.discard()
            raise

    def commit(self, last: Sequence[bytes | memoryview] = ()) -> tuple[Place, str]:
        """Append the ``last`` fragments, uncopied, and make the record durable; returns where it lies and the SHA-256 (hex) of
        the data set.

        A writer without ``digest`` knows that of a small record only, and returns "" for others.

        A writer that is not ``durable`` leaves the sync to ``Spool.sync``. Raises OutOfSpaceError, TransientError; the pack
        then ends where it ended before.
        """
        self._must_be_open()
        for fragment in last:
            self._take(fragment)
        digest = self._known_digest(last)
        slot = slot_bytes(self._label, self._meta, self._length, self._clock(), self._seal.value())
        try:
            self._finish(slot, last)
        except BaseException:
            self.discard()
            raise
        place = Place(self._pack.name, self._pack.end + len(slot) + len(self._label), len(self._meta) + self._length)
        self._pack.ended(place.offset + place.length)
        self._end()
        return place, digest

    def discard(self) -> None:
        """Forget what was written; never raises, and does nothing once the record has ended."""
        if not self._ended:
            if self._at > self._pack.end:
                self._pack.cut()
            self._end()

    def _take(self, fragment: bytes | memoryview) -> None:
        if self._digest:
            self._digest.update(fragment)
        self._seal.update(fragment)
        self._length += len(fragment)

    def _known_digest(self, last: Sequence[bytes | memoryview]) -> str:
        if self._digest:
            return self._digest.hexdigest()
        if self._at > self._pack.end or self._length > _BUFFER:
            return ""
        written = self._length - sum(map(len, last))
        digest = hashlib.sha256(memoryview(self._pending)[len(self._pending) - written :])
        for fragment in last:
            digest.update(fragment)
        return digest.hexdigest()

    def _finish(self, slot: bytes, last: Sequence[bytes | memoryview]) -> None:
        """The slot goes in last: without it the record is not believed after a power cut. One sync for everything."""
        start = self._pack.end
        if self._at == start:
            self._pending[: len(slot)] = slot
            if self._durable:
                self._pack.begin_record(len(self._pending) + sum(map(len, last)))
            self._write_all(last)
        else:
            self._write_all(last)
            self._guarded(lambda: self._pack.write_at(start, [slot]))
        if self._durable:
            self._guarded(self._sync)
        else:
            self._pack.unsynced = True

    def _sync(self) -> None:
        try:
            self._pack.sync()
        except OSError:
            self._pack.broken = True  # after a failed sync the kernel may have dropped the pages
            raise

    def _write_all(self, last: Sequence[bytes | memoryview]) -> None:
        """All that is left, with zeros to the end of the page."""
        padding = self._pack.padding(self._at + len(self._pending) + sum(map(len, last)))
        self._write([self._pending, *last, bytes(padding)])
        self._pending = bytearray()

    def _flush(self, fragment: memoryview) -> None:
        """Pending bytes and as much of the fragment as fills pages."""
        kept = min(self._pack.keeps_back(self._at + len(self._pending) + len(fragment)), len(fragment))
        self._write([self._pending, fragment[: len(fragment) - kept]])
        self._pending = bytearray(fragment[len(fragment) - kept :])

    def _write(self, parts: list[bytes | bytearray | memoryview]) -> None:
        at = self._at
        self._at += 1  # from here on there is something to cut, even if the write fails half way
        self._guarded(lambda: self._pack.write_at(at, parts))
        written = sum(map(len, parts))
        self._at = at + written
        self._unchecked += written
        if self._unchecked >= _CHECK_EVERY:
            self._unchecked = 0
            self._pack.check_space(self._reserve_bytes)

    def _guarded(self, step: Callable[[], object]) -> None:
        try:
            step()
        except OSError as error:
            raise disk_error(error) from error

    def _must_be_open(self) -> None:
        if self._ended:
            raise TransientError("the object was given up before")

    def _end(self) -> None:
        self._ended = True
        self._done(self._pack)
