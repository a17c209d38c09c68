"""Takes the files of a package into memory, once, and only when nothing is missing, extra, changed, linked or swollen."""

import hashlib
import os
import re
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from domain.errors import PackageError

SUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"  # of SUMS, so not listed in it
MOST_BYTES = 2 * 1024**3
MOST_FILES = 200
MOST_RATIO = 200
_SUFFIXES = frozenset((".toml", ".json", ".xml", ".bin", ".onnx", ".npz", ".md", ".txt"))
_BARE = frozenset(("LICENSE", "NOTICE", SUMS, SIGNATURE))
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}")
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")

Files = Mapping[str, bytes]


def int8_file(network: str) -> str:
    """The name of the INT8 form of a network file, which lies beside it."""
    return f"{network.rsplit('.', 1)[0]}-int8.xml"


def read_files(path: Path, ratio: int = MOST_RATIO) -> dict[str, bytes]:
    """Every file of a folder or zip by its path with ``/``, whether or not it is sealed; raises PackageError."""
    try:
        if path.is_symlink():
            raise PackageError(f"{path.name} is a symbolic link; a package must be a folder or a zip file itself")
        if path.is_dir():
            return _folder(path)
        if path.is_file():
            return _zip(path, ratio)
    except OSError as error:
        raise PackageError(f"{path.name} cannot be read: {error.strerror or type(error).__name__}") from error
    raise PackageError(f"there is no model package at {path}")


def sums(files: Files) -> bytes:
    """The bytes of ``SHA256SUMS`` for these files, as ``sha256sum`` writes them, sorted by path."""
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files) if name not in (SUMS, SIGNATURE))
    return "".join(lines).encode()


def forget_weights(files: dict[str, bytes]) -> None:
    """Takes networks and golden cases out of memory, when whoever needed them is done: they are large, and compiled by now."""
    for name in [name for name in files if name.endswith((".bin", ".onnx", ".npz"))]:
        del files[name]


def verify(files: Files) -> str:
    """The digest of the package (SHA-256 of ``SHA256SUMS``), when every file is as sealed; raises PackageError."""
    if SUMS not in files:
        raise PackageError(f"{SUMS} is missing: the package was never sealed")
    listed = _listed(files[SUMS])
    there = set(files) - {SUMS, SIGNATURE}
    for words, names in (("missing", listed.keys() - there), ("not listed in " + SUMS, there - listed.keys())):
        if names:
            raise PackageError(f"{min(names)} is {words}")
    for name, digest in listed.items():
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise PackageError(f"{name} was changed after the package was sealed")
    return hashlib.sha256(files[SUMS]).hexdigest()


def _listed(content: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in content.decode("ascii", "replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None or match[2] in found:
            raise PackageError(f"{SUMS} has a line that is not '<64 hex digits>  <path>', or a path twice")
        found[match[2]] = match[1]
    return found


def _folder(root: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    room = MOST_BYTES
    for folder, folders, names in os.walk(root, followlinks=False):
        for name in sorted((*folders, *names)):
            entry = Path(folder) / name
            mode = entry.lstat().st_mode
            relative = entry.relative_to(root).as_posix()
            if stat.S_ISDIR(mode):
                _check_name(relative, folder=True)
                continue
            if not stat.S_ISREG(mode):
                raise PackageError(f"{relative} is a link or no plain file")
            _check_name(relative)
            room -= entry.lstat().st_size
            _check_room(room, len(files))
            files[relative] = entry.read_bytes()
    return files


def _zip(path: Path, ratio: int) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_claims(entries, path.stat().st_size, ratio)
            plain = [entry for entry in entries if not entry.is_dir()]
            files = {entry.filename: _member(archive, entry) for entry in plain}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise PackageError(f"{path.name} is not a sound zip file") from error
    if len(files) != len(plain):
        raise PackageError(f"{path.name} has a file twice")
    return _without_top_folder(files)


def _check_claims(entries: list[zipfile.ZipInfo], size: int, ratio: int) -> None:
    claimed = sum(entry.file_size for entry in entries)
    _check_room(min(MOST_BYTES, ratio * max(size, 1)) - claimed, len(entries) - 1)
    for entry in entries:
        _check_name(entry.filename.rstrip("/"), folder=entry.is_dir())
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise PackageError(f"{entry.filename} is a link or no plain file")


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Reads no more than the entry claims: the claims were added up before."""
    with archive.open(entry) as stream:
        content = stream.read(entry.file_size + 1)
    if len(content) != entry.file_size:
        raise PackageError(f"{entry.filename} is not as large as the zip file says")
    return content


def _without_top_folder(files: dict[str, bytes]) -> dict[str, bytes]:
    """Zips are often made of the folder, not in it."""
    tops = {name.split("/", 1)[0] for name in files}
    if "package.toml" in files or len(tops) != 1:
        return files
    return {name.split("/", 1)[1]: content for name, content in files.items() if "/" in name}


def _check_room(room: int, count: int) -> None:
    if room < 0:
        raise PackageError("the package unpacks to far more than a model package may hold")
    if count >= MOST_FILES:
        raise PackageError(f"the package has more than {MOST_FILES} files")


def _check_name(name: str, folder: bool = False) -> None:
    parts = name.split("/")
    if not all(_NAME.fullmatch(part) for part in parts) or len(parts) > 4:
        raise PackageError(
            f"{name!r} is not a file name a package may have (letters, digits, . _ - + and no way out of the folder)"
        )
    if not folder and parts[-1] not in _BARE and PurePosixPath(name).suffix not in _SUFFIXES:
        raise PackageError(f"{name} is not allowed: a package holds data only ({' '.join(sorted(_SUFFIXES))})")
