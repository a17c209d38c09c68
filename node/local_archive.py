"""Studies in folders and .zip files of any layout: found by their headers alone, archives unpacked study by study."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from domain.errors import PermanentError, UnnameableError
from domain.instances import Header
from node.catalogue import Catalogue, Entry
from node.sending import DAMAGED, MOST_ENTRIES, printable
from scp.header import HeadReader
from scp.negotiation import DIRECTORY
from scp.part10 import MetaReader

_PIECE: Final = 1 << 12  # bytes: most headers fit into one or two
_PREFIX: Final = 132
_MOST_DAMAGED: Final = 20  # named on the screen
_RATIO: Final = 100  # a .zip may give so many times its own size for one study ...
_FLOOR: Final = 4_000_000_000  # ... or this many bytes, whichever is more


class LocalArchive:
    """Implements ``node.batch.Archive``. ``without`` is a folder below which nothing is looked for: that of the results."""

    def __init__(self, source: Path, without: Path) -> None:
        """Raises PermanentError when ``source`` is not there."""
        if not source.exists():
            raise PermanentError(f"{source} does not exist")
        self._source, self._without = source, without.resolve()
        self.place: Path | None = source.absolute()
        self._catalogue = Catalogue()
        self._open: tuple[str, zipfile.ZipFile] | None = None
        self.other = 0  # files that are no DICOM files, or name no study on purpose (DICOMDIR)
        self.damaged = 0  # DICOM files that cannot be told apart, and .zip files that cannot be opened
        self.named: list[str] = []  # the first of these, for the screen of who asked

    def look(self) -> Iterator[int]:
        """Read the headers; yields the number of files so far. To be used up before anything else is asked."""
        seen = 0
        for path in self._walk():
            if path.suffix.lower() == ".zip" or (path == self._source and zipfile.is_zipfile(path)):
                for _ in self._members(path):
                    seen += 1
                    yield seen
            else:
                self._file(path)
                seen += 1
                yield seen

    def studies(self) -> list[str]:
        """Study Instance UIDs."""
        return self._catalogue.studies()

    def mark(self, study_uid: str) -> str:  # noqa: ARG002 - other archives need it
        """Nothing: only the bytes tell whether a study is the same as before."""
        return ""

    def fetch(self, study_uid: str, folder: Path) -> list[Path]:
        """The files of a study; members of archives are unpacked into ``folder``. Raises PermanentError."""
        found: list[Path] = []
        budget: dict[str, int] = {}
        for entry in list(self._catalogue.entries(study_uid)):
            if entry.member < 0:
                found.append(Path(entry.path))
            else:
                target = folder / f"{len(found):06d}.dcm"
                self._unpack(entry, target, budget)
                found.append(target)
        return found

    def close(self) -> None:
        """Forget what was found."""
        if self._open:
            self._open[1].close()
        self._catalogue.close()

    def _walk(self) -> Iterator[Path]:
        if not self._source.is_dir():
            yield self._source
            return
        for folder, folders, names in os.walk(self._source):
            folders[:] = sorted(name for name in folders if Path(folder, name).resolve() != self._without)
            yield from (path for name in sorted(names) if (path := Path(folder, name)).is_file())  # no pipe, no device

    def _file(self, path: Path) -> None:
        try:
            with path.open("rb", buffering=0) as stream:
                self._note(stream, Entry(str(path)), str(path))
        except OSError:
            self._is_damaged(str(path))

    def _members(self, path: Path) -> Iterator[None]:
        try:
            archive = self._opened(str(path))
        except (*DAMAGED, OSError):
            self._is_damaged(str(path))
            return
        if len(archive.infolist()) > MOST_ENTRIES:
            self._is_damaged(f"{path}: more than {MOST_ENTRIES} files")
            return
        for number, member in enumerate(archive.infolist()):
            if member.is_dir():
                continue
            name = f"{path}: {member.filename}"
            try:
                with archive.open(member) as stream:
                    self._note(stream, Entry(str(path), number), name)
            except (*DAMAGED, OSError):
                self._is_damaged(name)
            yield

    def _note(self, stream: IO[bytes], entry: Entry, name: str) -> None:
        try:
            header = header_of(stream)
        except UnnameableError:
            self._is_damaged(name)
            return
        if header is None:
            self.other += 1
        else:
            self._catalogue.add(header.study_uid, header.sop_instance_uid, entry)

    def _is_damaged(self, name: str) -> None:
        self.damaged += 1
        if len(self.named) < _MOST_DAMAGED:
            self.named.append(printable(name))

    def _opened(self, path: str) -> zipfile.ZipFile:
        """The central directory of a large archive is read once, not once for each study."""
        if self._open is None or self._open[0] != path:
            if self._open:
                self._open[1].close()
            self._open = None
            self._open = (path, zipfile.ZipFile(path))
        return self._open[1]

    def _unpack(self, entry: Entry, target: Path, budget: dict[str, int]) -> None:
        """Raises PermanentError when it cannot be, or gives more than an archive of its size may."""
        left = budget.setdefault(entry.path, max(_FLOOR, _RATIO * Path(entry.path).stat().st_size))
        try:
            archive = self._opened(entry.path)
            with archive.open(archive.infolist()[entry.member]) as stream, target.open("wb") as out:
                while piece := stream.read(1 << 20):
                    left -= len(piece)
                    if left < 0:
                        raise PermanentError(f"its .zip file unpacks to more than {_RATIO} times its size")
                    out.write(piece)
        except (*DAMAGED, IndexError):
            raise PermanentError("one of its files is damaged in the .zip file") from None
        budget[entry.path] = left


def header_of(stream: IO[bytes]) -> Header | None:
    """What names a PS3.10 file, read as far as is needed and no further; None: it is no DICOM file, or a DICOMDIR.

    Raises UnnameableError for a DICOM file that names no study, series or instance.
    """
    head = b""
    while len(head) < _PREFIX and (piece := stream.read(_PREFIX - len(head))):
        head += piece
    if head[128:] != b"DICM":
        return None
    meta = MetaReader()
    data_set = meta.feed(head)
    while data_set is None and (piece := stream.read(_PIECE)):
        data_set = meta.feed(piece)
    data_set = meta.end() if data_set is None else data_set
    if meta.sop_class == DIRECTORY:
        return None
    reader = HeadReader(meta.syntax)
    known = reader.feed(data_set)
    while not known and (piece := stream.read(_PIECE)):
        known = reader.feed(piece)
    return reader.header()
