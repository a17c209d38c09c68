"""What was received, given back as plain files: bit for bit, checked while written, each file whole or not there at all."""

import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from db.gone import purged_words
from db.spool import Spool
from db.store import Store
from domain.audit import Event
from domain.errors import AncillaError, ConfigurationError, PermanentError, TransientError
from domain.instances import Instance
from domain.jobs import Artifact, JobKind
from domain.retention import KEPT_ROLES
from domain.studies import Study
from node.config import Settings
from node.orders import SPOOL
from node.shelf import sync
from scp.part10 import MetaReader

RESULTS: Final = "results"  # beside the series of a study
_PIECE: Final = 1 << 18
_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*")  # as scp.header lets them through


@dataclass(frozen=True, slots=True)
class Problem:
    """One object that was not written. ``number`` counts the objects of its kind in the order they came, from 1."""

    number: int
    kind: str  # "image" or "result"
    words: str


@dataclass(frozen=True, slots=True)
class Exported:
    """One study. ``already``: files that were there with the same bytes; ``size`` is bytes of what was written now."""

    study_uid: str
    folder: Path
    state: str
    revision: int
    images: int
    results: int
    written: int
    already: int
    size: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """What of a study: the images and results of a ``revision`` (None: the newest), copies that do not count, results."""

    revision: int | None = None
    conflicts: bool = False
    results: bool = False


class Sink(Protocol):
    """Where bytes go: a file, or a digest of them."""

    def write(self, data: memoryview, /) -> object:
        """Take them."""


@dataclass(frozen=True, slots=True)
class _Copy:
    """One file to be written; ``fill`` writes it and raises AncillaError when its bytes are not those that were taken."""

    kind: str
    number: int
    target: Path
    fill: Callable[[Sink], None]


class _Digest:
    """Digest and number of the bytes that are written to it."""

    def __init__(self) -> None:
        self._sha, self.size = hashlib.sha256(), 0

    def write(self, data: memoryview, /) -> None:
        """Take them."""
        self._sha.update(data)
        self.size += len(data)

    @property
    def value(self) -> bytes:
        """SHA-256 of all of them."""
        return self._sha.digest()


class Exporting:
    """Gives studies of one data folder back, whether a node runs on it or not."""

    def __init__(self, store: Store, spool: Spool, data_dir: Path, out: Path) -> None:
        """``out`` is made if it is not there; every study has a folder of its own in it."""
        self._store, self._spool, self._data_dir, self._out = store, spool, data_dir, out

    def export(self, study_uid: str, wish: Wish, actor: str, tell: Callable[[int, int], None] = lambda *_: None) -> Exported:
        """Write the files of one study. What cannot be written is a problem of its own and stops nothing else.

        ``tell`` hears how many of how many are done. Raises PermanentError when there is nothing to write: the study is unknown,
        or was purged.
        """
        study = self._store.study(study_uid)
        if study is None or not _UID.fullmatch(study_uid):
            raise PermanentError(f"there is no study {study_uid}; `ancilla studies` lists them")
        if wish.revision is not None and not 1 <= wish.revision <= study.revision:
            raise PermanentError(f"study {study_uid} has the revisions 1 to {study.revision}")
        images, results = list(self._images(study, wish)), list(self._results(study, wish))
        gone = self._store.last_purge(study_uid) if not images else None
        if gone is not None and not results:
            raise PermanentError(purged_words(study_uid, gone))
        if not images and not results:
            raise PermanentError(f"study {study_uid} had no images in revision {wish.revision}")
        # Before the first byte leaves: what has left must not be without its row.
        said = {"images": len(images), "results": len(results), "revision": wish.revision or study.revision}
        self._store.note(Event.EXPORTED, actor, said, study_uid)
        missing = [Problem(0, "image", purged_words(study_uid, gone))] if gone else []
        return self._written(study, [*images, *results], missing, tell)

    def _written(
        self, study: Study, wanted: Sequence[_Copy], problems: list[Problem], tell: Callable[[int, int], None]
    ) -> Exported:
        written = already = size = 0
        for done, copy in enumerate(wanted, 1):
            try:
                grown = _keep(copy)
            except AncillaError as error:
                problems.append(Problem(copy.number, copy.kind, str(error)))
            else:
                written, already, size = written + (grown > 0), already + (grown == 0), size + grown
            tell(done, len(wanted))
        _make_durable({copy.target.parent for copy in wanted if copy.target.parent.is_dir()}, self._out)
        kinds = [copy.kind for copy in wanted]
        counts = (kinds.count("image"), kinds.count("result"), written, already, size)
        folder = self._out / study.study_uid
        return Exported(study.study_uid, folder, study.state, study.revision, *counts, tuple(problems))

    def _images(self, study: Study, wish: Wish) -> Iterator[_Copy]:
        found = self._store.instances(study.study_uid, wish.revision)
        losers = self._store.conflicts(study.study_uid) if wish.conflicts else []
        named = [(one, ".dcm") for one in found] + [(one, f".conflict-{one.digest[:12]}.dcm") for one in losers]
        for number, (instance, end) in enumerate(named, 1):
            header = instance.header
            target = self._out / study.study_uid / _part(header.series_uid) / f"{_part(header.sop_instance_uid)}{end}"
            yield self._image(instance, number, target)

    def _image(self, instance: Instance, number: int, target: Path) -> _Copy:
        def fill(sink: Sink) -> None:
            if _copied(self._spool.pieces(instance.place), sink) != instance.digest:
                raise PermanentError("its bytes are not those that were received (SHA-256 differs)")

        return _Copy("image", number, target, fill)

    def _results(self, study: Study, wish: Wish) -> Iterator[_Copy]:
        """Every file of every answer that is still here, once."""
        if not wish.results:
            return
        gone = self._store.last_purge(study.study_uid)
        found: dict[str, Artifact] = {}
        for job in reversed(self._store.jobs(study_uid=study.study_uid, kind=JobKind.INFER, limit=1_000_000_000)):
            old = gone is not None and job.revision <= gone.revision
            if wish.revision in (None, job.revision):
                found |= {a.path: a for a in self._store.artifacts(job.job_id) if not old or a.role.startswith(KEPT_ROLES)}
        for number, artifact in enumerate(found.values(), 1):
            yield self._result(study, artifact, number)

    def _result(self, study: Study, artifact: Artifact, number: int) -> _Copy:
        path = Path(artifact.path)  # results/<hash of the study>/<revision>-<model>-<package>/<role>.dcm

        def fill(sink: Sink) -> None:
            digest = _Digest()
            for piece in _pieces(self._data_dir / path):
                digest.write(piece)
                sink.write(piece)
            if digest.value.hex() != artifact.digest:
                raise PermanentError("its bytes are not those that were written (SHA-256 differs)")

        target = self._out / study.study_uid / RESULTS / path.parent.name / path.name
        return _Copy("result", number, target, fill)


@contextmanager
def exporting_for(settings: Settings, store: Store, out: Path) -> Iterator[Exporting]:
    """For the data folder that ``settings`` name. One process at a time writes to ``out``. Raises ConfigurationError."""
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"--out {out} is not a folder")
    _make_folder(out)
    held = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TransientError(f"another export writes to {out} just now") from None
        except OSError:  # some network shares have no locks
            pass
        data_dir = settings.node.data_dir
        yield Exporting(store, Spool(data_dir / SPOOL), data_dir, out)
    finally:
        os.close(held)


def _part(uid: str) -> str:
    """A UID as part of a path: digits and dots, or nothing at all."""
    if not _UID.fullmatch(uid):
        raise PermanentError("a UID in the index is not one; the database was changed by another program")
    return uid


def _keep(copy: _Copy) -> int:
    """The file under its name, durable and whole; returns the bytes written, 0 when it was there already. Raises PermanentError
    for a file that is there and differs; it stays as it is."""
    target = copy.target
    if target.is_symlink() or target.exists():
        if not target.is_file() or not _is_equal(copy, target):
            raise PermanentError(f"{target} is there already and differs; it was left as it is")
        return 0
    _make_folder(target.parent)
    part = target.with_name(f".{target.name}.part")  # one of a call that was killed is written anew
    try:
        with part.open("wb") as stream:
            copy.fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
            size = stream.tell()
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return size


def _make_folder(folder: Path) -> None:
    """With those above it that are not there; only their owner may look inside."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _is_equal(copy: _Copy, target: Path) -> bool:
    ours, theirs = _Digest(), _Digest()
    copy.fill(ours)
    for piece in _pieces(target):
        theirs.write(piece)
    return ours.value == theirs.value


def _copied(pieces: Iterator[memoryview], sink: Sink) -> str:
    """SHA-256 (hex) of the data set of the PS3.10 bytes that were copied."""
    digest, meta, begun = hashlib.sha256(), MetaReader(), False
    for piece in pieces:
        sink.write(piece)
        start = piece if begun else meta.feed(piece)
        if start is not None:
            begun = True
            digest.update(start)
    if not begun:
        digest.update(meta.end())
    return digest.hexdigest()


def _pieces(path: Path) -> Iterator[memoryview]:
    """The bytes of a file. Raises PermanentError when it is not there."""
    buffer = memoryview(bytearray(_PIECE))
    try:
        with path.open("rb", buffering=0) as stream:
            while count := stream.readinto(buffer):
                yield buffer[:count]
    except FileNotFoundError:
        raise PermanentError("its file is not there any more") from None


def _make_durable(folders: set[Path], top: Path) -> None:
    """The names in these folders, and of the folders themselves."""
    every = {above for folder in folders for above in (folder, *folder.parents) if above == top or top in above.parents}
    for folder in every:
        with suppress(OSError):  # some shares and sticks cannot; the files themselves were synced
            sync(folder)
