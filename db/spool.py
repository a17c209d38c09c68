"""What was received, as packs: one append-only file per study and association; committed records survive a power cut.

A pack is a row of records (``db.pack``). One writer at a time appends to it, and each commit is synced before the next
record begins, so a power cut can only tear the last record (and, with writers that are not durable, what came since the last
``sync``). Start-up walks the records behind the last indexed byte: intact ones are indexed again, from the first torn one on
the rest is cut off. The pack is therefore the journal of the instance rows.
"""

import hashlib
import mmap
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from db.pack import folder_of, label_bytes, only_zeros, read_record
from db.pack_writer import Pack, PackWriter, check_space, disk_error, remove, sync_folder
from db.spares import Spares
from db.times import to_micros
from domain.errors import OutOfSpaceError, PermanentError
from domain.instances import Caller, Header, Instance, Place

_MAPS: Final = 32  # memory maps kept; each holds a file descriptor
_OPEN_PACKS: Final = 8  # idle packs an association keeps open: some senders mix many studies in one association
_NUMBERS: Final = 16  # records, or ...
_MUCH: Final = 8 << 20  # ... bytes, of one association and study: from there on spares are worth it
_PIECE: Final = 1 << 18
_SAFE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Recovered:
    """An intact record behind the last indexed byte: acknowledged perhaps, to be indexed again in any case."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class Torn:
    """Bytes that cannot be believed. A tail was cut off; what was indexed before but is missing is only reported."""

    pack: str
    offset: int
    length: int
    words: str


class Spool:
    """The packs under one folder. Any number of threads may write at once; each association writes its own packs."""

    def __init__(
        self,
        root: Path,
        reserve_bytes: int = 0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        prepared_bytes: int = 0,
    ) -> None:
        """``prepared_bytes`` of zeros are kept ready after ``prepare``, so that packs for many images need not grow."""
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._root, self._reserve_bytes = root, reserve_bytes
        self._spares = Spares(root, prepared_bytes, reserve_bytes)
        self._clock = clock
        self._lock = threading.Lock()
        self._packs: dict[str, dict[str, list[Pack]]] = {}  # association -> study -> packs
        self._maps: OrderedDict[str, mmap.mmap] = OrderedDict()

    def prepare(self) -> None:
        """Write zeros ahead from now on where they pay, in a thread of their own. For the one process that receives."""
        self._spares.start()

    def stop(self) -> None:
        """Give the zeros back."""
        self._spares.stop()

    def writer(
        self, association_id: str, caller: Caller, header: Header, meta: bytes, durable: bool = True, digest: bool = True
    ) -> PackWriter:
        """Begin a record. ``meta`` is what stands before the data set in a PS3.10 file.

        Without ``durable`` the record is so only after the next ``sync`` of its association, and must not be indexed before.
        Without ``digest`` its digest is left to ``digest_of``.
        Raises OutOfSpaceError below the reserve, TransientError when the disk fails, UnnameableError for absurd identifiers.
        """
        if not _SAFE_ID.fullmatch(association_id):
            raise PermanentError("the association id is not fit for a file name")
        label = label_bytes(header, caller, association_id)
        self._check_space()
        pack = self._pack(association_id, header.study_uid)
        return PackWriter(pack, label, meta, self._reserve_bytes, self._micros, self._done, durable, digest)

    def digest_of(self, place: Place, start: int) -> str:
        """SHA-256 (hex) of a record from byte ``start`` of its PS3.10 bytes on: of the data set, when ``start`` is the length of
        what stands before it. Reads what is mostly still in memory. Raises PermanentError, TransientError."""
        digest = hashlib.sha256()
        for piece in self.pieces(place, start):
            digest.update(piece)
        return digest.hexdigest()

    def pieces(self, place: Place, start: int = 0) -> Iterator[memoryview]:
        """The PS3.10 bytes of a record from byte ``start`` on, one after the other; each piece is gone when the next one is asked
        for. Raises PermanentError when they are not there, TransientError when the disk does not give them."""
        buffer = memoryview(bytearray(_PIECE))
        at, end = place.offset + start, place.offset + place.length
        try:
            fd = os.open(self._root / place.pack, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise PermanentError(f"the pack {place.pack} cannot be read") from error
        except OSError as error:
            raise disk_error(error) from error
        try:
            while at < end and (count := _read(fd, buffer[: end - at], at)):
                yield buffer[:count]
                at += count
        finally:
            os.close(fd)
        if at < end:
            raise PermanentError(f"the pack {place.pack} is shorter than what was indexed")

    def sync(self, association_id: str) -> None:
        """Make durable what was committed until now; another thread may be writing. Raises OutOfSpaceError, TransientError."""
        with self._lock:
            several = self._packs.get(association_id, {}).values()
            waiting = [pack for packs in several for pack in packs if pack.unsynced]
            shared = [(pack, pack.share()) for pack in waiting]
        failed = [error for pack, fd in shared if (error := _synced(pack, fd))]
        if failed:
            raise disk_error(failed[0]) from failed[0]

    def close(self, association_id: str) -> None:
        """The association ended: its packs are closed, one still being written as soon as its writer ends."""
        with self._lock:
            packs = [pack for several in self._packs.pop(association_id, {}).values() for pack in several]
            for pack in packs:
                pack.closing = True
                if not pack.busy:
                    pack.close()

    def view(self, place: Place) -> memoryview:
        """The PS3.10 bytes, read-only, a slice of a memory map. Raises PermanentError when they are not there."""
        with self._lock:
            mapped = self._maps.get(place.pack)
            if mapped is None or len(mapped) < place.offset + place.length:
                mapped = self._maps[place.pack] = self._map(place)
            self._maps.move_to_end(place.pack)
            while len(self._maps) > _MAPS:
                self._maps.popitem(last=False)  # views that are still in use keep their own map alive
        return memoryview(mapped)[place.offset : place.offset + place.length]

    def delete(self, packs: Sequence[str]) -> None:
        """Remove packs for good, whatever has become of them already; nobody may be writing to them. Views that are in use stay
        readable. Raises TransientError when the disk does not go along."""
        folders = dict.fromkeys((self._root / pack).parent for pack in packs)
        with self._lock:
            for pack in packs:
                self._maps.pop(pack, None)
        try:
            for pack in packs:
                remove(self._root / pack)
            for folder in folders:
                _sync_nearest(folder)
        except OSError as error:
            raise disk_error(error) from error

    def let_go(self) -> None:
        """Give back the space of packs that another process has deleted: a memory map holds it."""
        with self._lock:
            for pack in [pack for pack in self._maps if not (self._root / pack).exists()]:
                del self._maps[pack]

    def recover(self, indexed: Mapping[str, int], elsewhere: Collection[str] = ()) -> Iterator[Recovered | Torn]:
        """Walk what lies behind the last indexed byte of each pack. Only before the first writer begins.

        ``indexed`` gives, for each pack, the end of its last indexed record (``Store.indexed``). Packs of the associations
        ``elsewhere`` are left alone: another process writes them just now, and what looks torn is only unfinished.
        """
        found = dict(_packs(self._root))
        for name in sorted(indexed.keys() - found.keys()):
            yield Torn(name, 0, indexed[name], "the pack is missing")
        for name in sorted(name for name, size in found.items() if size != indexed.get(name, 0) or not size):
            if name.rpartition("/")[2].partition(".")[0] in elsewhere:
                continue
            start = indexed.get(name, 0)
            try:
                yield from self._recover_pack(name, start)
            except OSError as error:  # a bad sector: one pack that cannot be read must not keep the node from starting
                yield Torn(name, start, 0, f"the pack cannot be read ({os.strerror(error.errno or 0)}); nothing was cut off")

    def _recover_pack(self, name: str, start: int) -> Iterator[Recovered | Torn]:
        path = self._root / name
        size = path.stat().st_size
        if size < start:
            yield Torn(name, size, start - size, "the pack is shorter than what was indexed")
        with path.open("rb") as file:
            while start < size:
                record = read_record(file, name, start, size)
                if isinstance(record, str):
                    ahead = only_zeros(file, start)
                    _cut(path, start)
                    if not ahead:
                        yield Torn(name, start, size - start, record)
                    break
                yield Recovered(record.instance)
                start = record.end
        if start == 0:
            remove(path)

    def _map(self, place: Place) -> mmap.mmap:
        try:
            with (self._root / place.pack).open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise PermanentError(f"the pack {place.pack} cannot be read") from error
        if len(mapped) < place.offset + place.length:
            raise PermanentError(f"the pack {place.pack} is shorter than what was indexed")
        return mapped

    def _check_space(self) -> None:
        try:
            check_space(self._root, self._reserve_bytes)
        except OutOfSpaceError:
            self._spares.release()
            check_space(self._root, self._reserve_bytes)

    def _micros(self) -> int:
        return to_micros(self._clock())

    def _fits(self, pack: Pack) -> bool:
        """Whether the next record may go there; not when it would be cheaper in a spare."""
        if pack.busy or pack.broken:
            return False
        many = pack.is_spent if pack.was_spare else pack.records >= _NUMBERS or pack.end >= _MUCH
        return not (many and self._spares.any_ready())

    def _pack(self, association_id: str, study_uid: str) -> Pack:
        """An idle pack of the association and study, or a new one: two writers never share a pack."""
        with self._lock:
            studies = self._packs.setdefault(association_id, {})
            packs = studies.pop(study_uid, [])
            studies[study_uid] = packs  # most recently used last
            pack = next((pack for pack in reversed(packs) if self._fits(pack)), None)
            if pack is not None:
                pack.busy = True
            self._close_idle(studies)
        try:
            if pack is None:
                pack = self._new_pack(association_id, study_uid, packs)
            pack.open()
        except OSError as error:
            if pack is not None:
                pack.busy = False
            raise disk_error(error) from error
        return pack

    def _new_pack(self, association_id: str, study_uid: str, packs: list[Pack]) -> Pack:
        number = len(packs)
        while True:
            name = f"{association_id}.{number}.pack" if number else f"{association_id}.pack"
            take = self._spares.take if number else _nothing
            pack = Pack(self._root, (folder_of(study_uid) / name).as_posix(), take)
            try:
                pack.open()
            except FileExistsError:
                number += 1
                continue
            with self._lock:
                packs.append(pack)
            return pack

    def _close_idle(self, studies: dict[str, list[Pack]]) -> None:
        """Bound the open files of one association; a closed pack is opened again when its study comes back."""
        idle = [pack for several in studies.values() for pack in several if pack.is_open and not pack.busy]
        for pack in idle[: max(0, len(idle) - _OPEN_PACKS)]:
            pack.close()

    def _done(self, pack: Pack) -> None:
        with self._lock:
            pack.busy = False
            if pack.closing or pack.broken:
                pack.close()


def _packs(root: Path) -> Iterator[tuple[str, int]]:
    """Name and size in bytes of each pack. There are as many as studies: nothing is opened, and no ``Path`` made."""
    for top in _folders(root):
        for study in _folders(top) if len(top.name) == 2 else ():
            with os.scandir(study) as files:
                for file in files:
                    if file.name.endswith(".pack"):
                        yield f"{top.name}/{study.name}/{file.name}", _size(file)


def _size(file: os.DirEntry[str]) -> int:
    """-1 when the disk does not tell: who looks closer then says why."""
    try:
        return file.stat().st_size
    except OSError:
        return -1


def _folders(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return [entry for entry in found if entry.is_dir()]


def _sync_nearest(folder: Path) -> None:
    """Make what was removed from a folder durable: in it, or where it was itself until it was empty."""
    try:
        sync_folder(folder)
    except FileNotFoundError:
        with suppress(FileNotFoundError):
            sync_folder(folder.parent)


def _nothing(_: Path) -> int:
    """A first pack is often the only one, and small."""
    return 0


def _read(fd: int, buffer: memoryview, at: int) -> int:
    try:
        return os.preadv(fd, [buffer], at)
    except OSError as error:
        raise disk_error(error) from error


def _synced(pack: Pack, fd: int) -> OSError | None:
    try:
        pack.sync_shared(fd)
    except OSError as error:
        return error
    return None


def _cut(path: Path, size: int) -> None:
    """Cut a torn tail off, durably."""
    os.truncate(path, size)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_folder(path.parent)
