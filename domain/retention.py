"""What may be deleted of a study that is done with, and for what reason it may not."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

KEPT_ROLES: Final = "sr"  # roles of results that stay begin so: the patient's next study is compared with reports; they are small


class Ground(StrEnum):
    """Why a study keeps its images."""

    UNKNOWN = "unknown"  # there is no such study
    RECEIVING = "receiving"
    PURGED = "purged"  # already
    SENDING = "sending"  # an association that has sent to it is still open
    WORKING = "working"  # jobs of it are queued or running
    REPORT = "report"  # a storage commitment report about it is still owed
    UNDELIVERED = "undelivered"  # an answer has not reached a destination
    UNCOMMITTED = "uncommitted"  # it did, but the archive has not taken responsibility
    PROMISED = "promised"  # this node has taken responsibility for its images


WAIVABLE: Final = frozenset({Ground.UNDELIVERED, Ground.UNCOMMITTED, Ground.PROMISED})  # the others are never set aside


@dataclass(frozen=True, slots=True)
class Keep:
    """One reason, with words for an administrator."""

    ground: Ground
    words: str


@dataclass(frozen=True, slots=True)
class Weight:
    """What purging a study deletes. ``images`` counts those that are used; ``size`` is bytes of packs and results."""

    study_uid: str
    revision: int
    images: int
    packs: int
    results: int
    size: int
    touched_at: datetime | None  # the newest row of the audit log about it


@dataclass(frozen=True, slots=True)
class Sight:
    """One study looked at: it may go when ``keeps`` is empty."""

    weight: Weight
    keeps: tuple[Keep, ...]

    def against(self, waived: frozenset[Ground] = frozenset()) -> tuple[Keep, ...]:
        """The reasons that are left when some of those that may be are set aside."""
        return tuple(keep for keep in self.keeps if keep.ground not in waived & WAIVABLE)


@dataclass(frozen=True, slots=True)
class Purged:
    """The last time a study was purged: what was there up to ``revision`` is gone."""

    revision: int
    at: datetime
    images: int
    size: int
    actor: str


class Left(StrEnum):
    """What kind of file is still to be deleted."""

    PACK = "pack"  # relative to the spool
    RESULT = "result"  # relative to the data folder


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file of a purged study that is not known to be gone yet."""

    study_uid: str
    kind: Left
    path: str
