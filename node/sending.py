"""Files of folders and zip archives into the same intake as the network; archives are read as streams, never unpacked."""

import lzma
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from domain.errors import PermanentError
from domain.instances import Caller, Receipt
from domain.seams import Intake
from scp.file_deposit import MAX_OBJECT, FileDeposit
from scp.negotiation import DIRECTORY
from scp.part10 import MetaReader
from scp.statuses import Status

_PIECE: Final = 1 << 20  # bytes
_PREFIX: Final = 132
MOST_ENTRIES: Final = 1_000_000
_RATIO: Final = 100  # an archive may give so many times its own size ...
_FLOOR: Final = 4_000_000_000  # ... or this many bytes, whichever is more
DAMAGED: Final = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, ValueError)


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that was not stored; ``file`` is its name, for the screen of who sent it and not for the audit log."""

    file: str
    reason: str


@dataclass(slots=True)
class Tally:
    """What became of the files so far."""

    receipts: Counter[Receipt] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)
    not_dicom: int = 0
    directories: int = 0  # DICOMDIR files
    studies: set[str] = field(default_factory=set)
    full: bool = False  # no space left: nothing more was tried
    not_tried: int = 0

    @property
    def good(self) -> bool:
        """Everything that is DICOM is in the store."""
        return not self.refused and not self.full


@dataclass(frozen=True, slots=True)
class Archive:
    """A .zip and the names of its files, directories left out."""

    path: Path
    entries: tuple[zipfile.ZipInfo, ...]


Item = Path | Archive


def items(paths: Sequence[Path], tally: Tally) -> list[Item]:
    """Everything there is to look at under ``paths``; unreadable archives are refused. Raises PermanentError for a path that is
    not there."""
    found: list[Item] = []
    for path in dict.fromkeys(path for given in paths for path in _files(given)):
        if path.suffix.lower() == ".zip" or (path in paths and zipfile.is_zipfile(path)):
            _open_archive(path, found, tally)
        else:
            found.append(path)
    return found


def count(found: Iterable[Item]) -> int:
    """How many files ``items`` found, those in archives included."""
    return sum(len(item.entries) if isinstance(item, Archive) else 1 for item in found)


def _files(path: Path) -> Iterator[Path]:
    if not path.exists():
        raise PermanentError(f"{shown(path)} does not exist")
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        yield from (Path(folder, name) for name in sorted(names))


def _open_archive(path: Path, found: list[Item], tally: Tally) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = tuple(entry for entry in archive.infolist() if not entry.is_dir())
    except (*DAMAGED, OSError):
        tally.refused.append(Refused(shown(path), "not a readable .zip file"))
        return
    if len(entries) > MOST_ENTRIES:
        tally.refused.append(Refused(shown(path), f"archive has more than {MOST_ENTRIES} files"))
        return
    found.append(Archive(path, entries))


class Sender:
    """One association's worth of files."""

    def __init__(self, intake: Intake, caller: Caller, association_id: str, tally: Tally, max_object: int = MAX_OBJECT) -> None:
        self._intake, self._caller, self._association_id = intake, caller, association_id
        self._tally, self._max_object = tally, max_object

    def send(self, found: Sequence[Item]) -> Iterator[None]:
        """Send them; yields after each file. After "no space left" the rest is counted as not tried."""
        for item in found:
            yield from self._archive(item) if isinstance(item, Archive) else self._file(item)

    def _file(self, path: Path) -> Iterator[None]:
        if self._tally.full:
            self._tally.not_tried += 1
        else:
            try:
                if path.is_file():  # no pipe, no device
                    with path.open("rb", buffering=0) as stream:
                        self._stream(stream, shown(path))
                else:
                    self._tally.not_dicom += 1
            except OSError as error:
                self._refuse(shown(path), f"cannot be read: {os.strerror(error.errno or 0)}")
        yield

    def _archive(self, archive: Archive) -> Iterator[None]:
        budget = _Budget(max(_FLOOR, _RATIO * archive.path.stat().st_size))
        with zipfile.ZipFile(archive.path) as source:
            for entry in archive.entries:
                if self._tally.full:
                    self._tally.not_tried += 1
                else:
                    self._entry(source, entry, f"{shown(archive.path)}: {printable(entry.filename)}", budget)
                yield

    def _entry(self, source: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, budget: "_Budget") -> None:
        if entry.flag_bits & 1:
            self._refuse(name, "encrypted in the archive")
            return
        try:
            with source.open(entry) as stream:
                self._stream(_Counted(stream, budget), name)
        except _SpentError:
            self._refuse(name, f"archive unpacks to more than {_RATIO} times its size")
        except (*DAMAGED, OSError):
            self._refuse(name, "damaged in the archive, or packed in a way that cannot be read here")

    def _stream(self, stream: _Stream, name: str) -> None:
        head = _head(stream)
        if head[128:_PREFIX] != b"DICM":
            self._tally.not_dicom += 1
        elif _is_directory(head):
            self._tally.directories += 1
        else:
            self._deposit(head, stream, name)

    def _deposit(self, head: bytes, stream: _Stream, name: str) -> None:
        deposit = FileDeposit(self._intake, self._caller, self._association_id, self._max_object)
        try:
            piece = head
            while piece and not deposit.too_large:
                deposit.write(piece)
                piece = stream.read(_PIECE)
            reply = deposit.finish()
        finally:
            deposit.discard()  # does nothing after ``finish``
        if reply.status == Status.SUCCESS:
            assert deposit.receipt is not None and deposit.header is not None
            self._tally.receipts[deposit.receipt] += 1
            self._tally.studies.add(deposit.header.study_uid)
            return
        self._refuse(name, reply.words)
        self._tally.full = reply.status == Status.OUT_OF_RESOURCES and not deposit.too_large

    def _refuse(self, name: str, reason: str) -> None:
        self._tally.refused.append(Refused(name, reason))


class _SpentError(Exception):
    """The archive gave more than it may."""


@dataclass(slots=True)
class _Budget:
    left: int


class _Counted:
    """A stream that counts against the budget of its archive: also entries that overlap, or lie about their size."""

    def __init__(self, stream: _Stream, budget: _Budget) -> None:
        self._stream, self._budget = stream, budget

    def read(self, size: int, /) -> bytes:
        piece = self._stream.read(size)
        self._budget.left -= len(piece)
        if self._budget.left < 0:
            raise _SpentError
        return piece


def _head(stream: _Stream) -> bytes:
    """The first piece; of what is no DICOM file no more than 132 bytes are read."""
    head = b""
    while len(head) < _PREFIX and (piece := stream.read(_PREFIX - len(head))):
        head += piece
    return head + stream.read(_PIECE) if head[128:] == b"DICM" else head


def _is_directory(head: bytes) -> bool:
    """Whether it is a DICOMDIR (PS3.10 section 8); what cannot be read is not, and is refused later with a reason."""
    reader = MetaReader()
    try:
        reader.feed(head)
    except PermanentError:
        return False
    return reader.sop_class == DIRECTORY


def shown(path: Path) -> str:
    """A path fit for a terminal."""
    return printable(str(path))


def printable(name: str) -> str:
    """A name without control characters: those of an archive are anybody's."""
    return "".join(character if character.isprintable() else "?" for character in name)[:300]
