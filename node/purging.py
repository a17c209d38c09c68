"""Studies that are done with give their space back: first the rows, in one transaction, then the files it lists."""

import hashlib
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from db.spool import Spool
from db.store import Store
from delivery.query import present
from domain.destinations import Destination
from domain.errors import TransientError
from domain.evidence import Member
from domain.retention import Ground, Left, Leftover, Sight, Weight
from node.config import Settings
from node.log import event, study_mark
from node.orders import EARLY, SPOOL
from node.shelf import sync

Present = Callable[[Destination, str, Sequence[Member]], Collection[str]]


@dataclass(frozen=True, slots=True)
class Proof:
    """An archive has all images that a study had in this revision."""

    revision: int
    words: str


class Purging:
    """Purges in one data folder, whether a node runs on it or not."""

    def __init__(self, store: Store, spool: Spool, data_dir: Path, present: Present = present) -> None:
        """``present`` asks an archive which of some instances it has."""
        self._store, self._spool, self._data_dir, self._present = store, spool, data_dir, present

    def sight(self, study_uid: str, settings: Settings) -> Sight:
        """What purging a study would delete, and what speaks against it."""
        return self._store.sight(study_uid, committing(settings))

    def proof(self, study_uid: str, settings: Settings) -> Proof | None:
        """That the archive of [retention] lists every image of a study (C-FIND); None when there is no such archive, or when it
        lacks one. Raises TransientError when it cannot be asked now."""
        archive = settings.target(settings.retention.archive) if settings.retention.archive else None
        study = self._store.study(study_uid)
        if archive is None or study is None:
            return None
        headers = [instance.header for instance in self._store.instances(study_uid, study.revision)]
        members = [Member(header.sop_class_uid, header.sop_instance_uid, header.series_uid) for header in headers]
        there = self._present(archive, study_uid, members)
        return Proof(study.revision, f"c-find at {archive.name}") if len(there) == len(members) else None

    def purge(
        self,
        study_uid: str,
        settings: Settings,
        actor: str,
        waived: frozenset[Ground] = frozenset(),
        proof: Proof | None = None,
    ) -> Weight:
        """Purge one study; see ``Store.purge``. With a ``proof`` the promise of this node does not keep it. Files that cannot be
        removed now are left to the next ``sweep``."""
        waived |= {Ground.PROMISED} if proof else frozenset()
        about = (proof.words, proof.revision) if proof else ("", None)
        weight = self._store.purge(study_uid, actor, committing(settings), waived, *about)
        event("purged", study=study_mark(study_uid), images=weight.images, bytes=weight.size)
        self.sweep()
        return weight

    def sweep(self) -> int:
        """Delete what purges have left; returns how many files. Raises TransientError when the disk does not go along."""
        count = 0
        while found := self._store.leftovers():
            for kind, files in groupby(found, lambda one: one.kind):
                self._delete(kind, list(files))
            for study_uid in {one.study_uid for one in found}:
                shutil.rmtree(self._data_dir / EARLY / "studies" / _folder(study_uid), ignore_errors=True)
            self._store.removed(found)
            count += len(found)
        return count

    def _delete(self, kind: Left, files: Collection[Leftover]) -> None:
        if kind is Left.PACK:
            self._spool.delete([one.path for one in files])
            return
        paths = [self._data_dir / one.path for one in files]
        try:
            for path in paths:
                path.unlink(missing_ok=True)
            for folder in {path.parent for path in paths if path.parent.is_dir()}:
                sync(folder)
        except OSError as error:
            raise TransientError(f"a result cannot be deleted ({error.strerror})") from error


def purging_for(settings: Settings, store: Store, spool: Spool | None = None) -> Purging:
    """For the data folder that ``settings`` name."""
    data_dir = settings.node.data_dir
    return Purging(store, spool or Spool(data_dir / SPOOL), data_dir)


def committing(settings: Settings) -> frozenset[str]:
    """The destinations that have to take responsibility for what they got."""
    return frozenset(destination.name for destination in settings.destinations if destination.commitment)


def _folder(study_uid: str) -> str:
    """As ``node.orders`` names it."""
    return hashlib.sha256(study_uid.encode()).hexdigest()[:32]
