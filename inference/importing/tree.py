"""Opens what somebody wants imported, a file, folder or zip, and trusts none of it: no links, no way out, nothing swollen."""

import json
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from domain.errors import PackageError

MOST_BYTES = 8 * 1024**3
MOST_TEXT = 8 * 1024**2
MOST_FILES = 5000
MOST_RATIO = 200


@dataclass(frozen=True, slots=True)
class Tree:
    """The files below ``root`` by their path with ``/``; ``name`` is what the source was called."""

    root: Path
    name: str
    files: tuple[str, ...]

    def __contains__(self, name: str) -> bool:
        return name in self.files

    def path(self, name: str) -> Path:
        """Where a file is; raises PackageError when it is not there."""
        if name not in self.files:
            raise PackageError(f"{self.name}: {name} is missing")
        return self.root / name

    def named(self, *endings: str) -> list[str]:
        """Files whose path ends so."""
        return [name for name in self.files if name.endswith(endings)]

    def text(self, name: str) -> str:
        """A text file of bounded size."""
        path = self.path(name)
        if path.stat().st_size > MOST_TEXT:
            raise PackageError(f"{self.name}: {name} is larger than a text of this kind can be")
        try:
            return path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise PackageError(f"{self.name}: {name} is not UTF-8 text") from error

    def data(self, name: str) -> Any:
        """JSON, or YAML of plain values (no tags, no objects)."""
        try:
            if name.endswith((".yaml", ".yml")):
                return _yaml(self.text(name))
            return json.loads(self.text(name))
        except (ValueError, RecursionError) as error:
            raise PackageError(f"{self.name}: {name} is not readable: {type(error).__name__}") from error


def _yaml(text: str) -> Any:
    try:
        yaml = import_module("yaml")
    except ImportError as error:
        raise PackageError("PyYAML is not installed here; install the extra 'import-torch', or write the file as JSON") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError("no YAML of plain values") from error


@contextmanager
def opened(source: Path) -> Iterator[Tree]:
    """The files of a source, for the time of the block; raises PackageError."""
    if source.is_symlink():
        raise PackageError(f"{source.name} is a symbolic link; give the folder or file itself")
    if source.is_dir():
        yield Tree(source, source.name, _walk(source))
    elif source.is_file() and zipfile.is_zipfile(source) and source.suffix == ".zip":
        with tempfile.TemporaryDirectory(prefix="ancilla-import-") as folder:
            _unpack(source, Path(folder))
            root = _without_top(Path(folder))
            yield Tree(root, source.stem, _walk(root))
    elif source.is_file():
        beside = source.with_suffix(".bin")
        names = [source.name, *([beside.name] if source.suffix == ".xml" and beside.is_file() else [])]
        _check_plain(source)
        yield Tree(source.parent, source.stem, tuple(names))
    else:
        raise PackageError(f"there is nothing to import at {source}")


def _walk(root: Path) -> tuple[str, ...]:
    found, room = [], MOST_BYTES
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            raise PackageError(f"{path.relative_to(root).as_posix()} is a link or no plain file")
        room -= path.lstat().st_size
        found.append(path.relative_to(root).as_posix())
        if room < 0 or len(found) > MOST_FILES:
            raise PackageError("there are more, or larger, files than a model has")
    return tuple(found)


def _check_plain(path: Path) -> None:
    if not stat.S_ISREG(path.lstat().st_mode) or path.stat().st_size > MOST_BYTES:
        raise PackageError(f"{path.name} is no plain file of a size a model can have")


def _unpack(source: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_FILES or sum(e.file_size for e in entries) > min(
                MOST_BYTES, MOST_RATIO * max(source.stat().st_size, 1)
            ):
                raise PackageError(f"{source.name} unpacks to far more than a model has")
            for entry in entries:
                _unpack_one(archive, entry, folder)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise PackageError(f"{source.name} is not a sound zip file") from error


def _unpack_one(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    name = PurePosixPath(entry.filename)
    if name.is_absolute() or ".." in name.parts or "\\" in entry.filename or not name.parts:
        raise PackageError(f"{entry.filename!r} would lead out of the folder it is unpacked to")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise PackageError(f"{entry.filename} is a link or no plain file")
    if entry.is_dir():
        return
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    left = entry.file_size
    with archive.open(entry) as stream, target.open("xb") as out:
        while chunk := stream.read(min(1 << 20, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise PackageError(f"{entry.filename} is larger than the zip file says")
            out.write(chunk)


def _without_top(folder: Path) -> Path:
    """Zips are often made of the folder, not in it."""
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder
