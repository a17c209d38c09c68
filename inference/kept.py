"""What was computed before it was asked for, on disk: found again only by the digest of everything it was computed from.

One file per visit of a worker, written whole or not at all. Losing or damaging any of it costs time and changes no result.
"""

import contextlib
import hashlib
import os
import shutil
import stat
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

SUFFIX: Final = ".kept"
MOST_STUDIES: Final = 200
_MAGIC: Final = b"ANCILLA\x01"
_HEAD: Final = struct.Struct("<32sII32s")  # key, bytes unpacked, bytes stored, SHA-256 of key and stored bytes
_MOST: Final = 1 << 30  # bytes of one entry


@dataclass(frozen=True, slots=True)
class _Entry:
    file: BinaryIO
    at: int
    stored: int
    size: int
    digest: bytes

    def data(self) -> bytes:
        """Read, not mapped: a bad sector is an error here and would kill the process there."""
        return os.pread(self.file.fileno(), self.stored, self.at)


class Kept:
    """The entries under one folder, which need not exist. ``used`` counts the slices a final analysis took from it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries: dict[bytes, _Entry] = {}
        self._new: dict[bytes, tuple[bytes, int]] = {}
        self.used = 0
        for file in sorted(folder.glob(f"*{SUFFIX}")):
            self._read(file)

    def __contains__(self, key: bytes) -> bool:
        return key in self._new or key in self._entries

    def find(self, key: bytes, size: int) -> bytes | None:
        """The ``size`` bytes under ``key``; None when there are none, or damaged ones. Any thread may ask."""
        entry = self._entries.get(key)
        if entry is None or entry.size != size:
            return None
        try:
            data = entry.data()
        except OSError:
            return None
        if _digest(key, data) != entry.digest:
            return None
        return data if len(data) == size else _unpacked(data, size)

    def add(self, key: bytes, data: bytes, pack: bool) -> None:
        """To be written by ``save``. ``pack``: compressed, for labels."""
        packed = zlib.compress(data, 1) if pack else data
        self._new[key] = (packed if len(packed) < len(data) else data, len(data))

    def save(self) -> None:
        """Writes what was added. Not synced: a file that a power cut tears is noticed and ignored."""
        if not self._new:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._folder / f"{uuid4().hex}.part"
        with part.open("wb") as stream:
            stream.write(_MAGIC)
            for key, (data, size) in self._new.items():
                stream.write(_HEAD.pack(key, size, len(data), _digest(key, data)))
                stream.write(data)
        part.rename(part.with_suffix(SUFFIX))
        os.utime(self._folder.parent)  # the study was worked on now
        self._new.clear()

    def _read(self, path: Path) -> None:
        try:
            file = path.open("rb", buffering=0)
            end = os.fstat(file.fileno()).st_size
            at = len(_MAGIC)
            if os.pread(file.fileno(), at, 0) != _MAGIC:
                return
            while at + _HEAD.size <= end:
                key, size, stored, digest = _HEAD.unpack(os.pread(file.fileno(), _HEAD.size, at))
                at += _HEAD.size
                if stored > min(size, end - at) or size > _MOST:
                    return
                self._entries[key] = _Entry(file, at, stored, size, digest)
                at += stored
        except (OSError, struct.error):
            return  # removed meanwhile, cut off or unreadable


def _digest(key: bytes, data: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(key)
    digest.update(data)
    return digest.digest()


def _unpacked(data: bytes, size: int) -> bytes | None:
    try:
        found = zlib.decompressobj().decompress(data, size + 1)
    except zlib.error:
        return None
    return found if len(found) == size else None


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder, as far as they are there."""
    total = 0
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):
            about = file.stat()
            total += about.st_size if stat.S_ISREG(about.st_mode) else 0
    return total


def bound(root: Path, most_bytes: int) -> None:
    """Removes the studies under ``root`` (one folder each) that were worked on longest ago until the rest fits."""
    total = 0
    for number, folder in enumerate(sorted(root.iterdir(), key=_age)):
        total += size_of(folder)
        if total > most_bytes or number >= MOST_STUDIES:
            shutil.rmtree(folder, ignore_errors=True)


def _age(folder: Path) -> float:
    try:
        return -folder.stat().st_mtime
    except OSError:
        return 0.0  # another worker removed it
