"""DICOM files on disk, as people keep them: folders of folders with other files in between; grouped by study."""

import hashlib
import mmap
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from domain.errors import PermanentError, UnnameableError
from domain.instances import Header
from scp.header import read_header
from scp.part10 import split

MOST_UNZIPPED: Final = 4_000_000_000  # bytes


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One DICOM file. ``digest`` is the SHA-256 (hex) of its data set, as for received instances."""

    path: Path
    header: Header
    digest: str


@dataclass(frozen=True, slots=True)
class Found:
    """What lies under some folders; ``skipped`` counts files that are no DICOM files, or name no study."""

    files: tuple[StoredFile, ...]
    skipped: int

    def by_study(self) -> dict[str, list[StoredFile]]:
        """Files by Study Instance UID; a SOP Instance UID that comes twice counts once."""
        studies: dict[str, dict[str, StoredFile]] = {}
        for file in self.files:
            studies.setdefault(file.header.study_uid, {}).setdefault(file.header.sop_instance_uid, file)
        return {uid: list(files.values()) for uid, files in studies.items()}


def view(path: Path) -> memoryview:
    """The bytes of a file without reading them into memory. Raises UnnameableError for an empty file."""
    with path.open("rb") as stream:
        try:
            return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        except ValueError:
            raise UnnameableError("the file is empty") from None


def find(paths: Sequence[Path]) -> Found:
    """Every DICOM file under ``paths`` (folders or files). Raises PermanentError for a path that is not there."""
    found, skipped = [], 0
    for path in _walk(paths):
        try:
            found.append(describe(path))
        except UnnameableError:
            skipped += 1
    return Found(tuple(found), skipped)


def describe(path: Path) -> StoredFile:
    """What names a file. Raises UnnameableError."""
    syntax, data_set = split(view(path))
    return StoredFile(path, read_header(data_set, syntax), hashlib.sha256(data_set).hexdigest())


def _walk(paths: Iterable[Path]) -> list[Path]:
    files: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise PermanentError(f"{path} does not exist")
        files.update(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else files.add(path)
    return sorted(files)


def unzip(archive: Path, folder: Path) -> None:
    """Unpack the files of a .zip side by side under numbers: names in an archive never become paths. Raises PermanentError."""
    try:
        with zipfile.ZipFile(archive) as source:
            entries = [entry for entry in source.infolist() if not entry.is_dir()]
            if sum(entry.file_size for entry in entries) > MOST_UNZIPPED:
                raise PermanentError(f"{archive.name} unpacks to more than {MOST_UNZIPPED / 1e9:g} GB")
            for number, entry in enumerate(entries):
                suffix = ".dcm" if PurePosixPath(entry.filename).suffix == ".dcm" else ""
                (folder / f"{number:05d}{suffix}").write_bytes(source.read(entry))
    except zipfile.BadZipFile:
        raise PermanentError(f"{archive.name} is not a readable .zip file") from None
