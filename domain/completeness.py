"""How a study stands: what was said about it, what of that is missing, what it waits for."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class HoldKind(StrEnum):
    """What the node itself found missing in a study that had gone quiet."""

    REQUIRED_SERIES = "required-series"  # a series that a model's rule requires has not come
    GEOMETRY = "slice-geometry"  # a regular stack with a gap
    PACS_COUNT = "pacs-count"  # the PACS has more images of it than this node


@dataclass(frozen=True, slots=True)
class Hold:
    """One reason to wait. ``subject`` tells equal kinds apart (model, series, destination); ``words`` name no patient."""

    kind: HoldKind
    subject: str
    words: str


@dataclass(frozen=True, slots=True)
class Statement:
    """What somebody said belongs to a study, compared with what is here."""

    source: str
    subject: str
    actor: str  # "CT01@192.0.2.7"
    final: bool
    listed: int
    missing: int
    first_missing: tuple[str, ...]  # SOP Instance UIDs, at most ten
    at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """All of it. ``unlisted``: images here that no final statement lists. ``sending``: open associations that sent to it."""

    statements: tuple[Statement, ...]
    holds: tuple[Hold, ...]
    unlisted: int
    sending: int

    @property
    def in_progress(self) -> bool:
        """A modality has begun a procedure step and not ended it."""
        return any(not statement.final for statement in self.statements)

    @property
    def missing(self) -> int:
        """Images that final statements list and that are not here (the largest number of one statement)."""
        return max((statement.missing for statement in self.statements if statement.final), default=0)


@dataclass(frozen=True, slots=True)
class Completeness:
    """Everything about whether a study is complete. ``settled_by`` is how its revision was judged so; "" while it waits."""

    waiting_for: tuple[str, ...]
    settled_by: str
    standing: Standing
    quiet_seconds: float
    quiet_from: str
    quiet_at: datetime
    deadline: datetime


@dataclass(frozen=True, slots=True)
class Habit:
    """What was learned about one calling AE title.

    ``pauses`` are the longest pauses within each of its studies: (upper bound in seconds, weight), rising. ``hasty`` counts
    studies it asked a commitment for and then sent more of: its commitments no longer end a study at once.
    """

    calling_ae: str
    studies: int
    pauses: tuple[tuple[float, float], ...]
    hasty: int

    def longest_pause(self, share: float = 0.99) -> float:
        """The pause, in seconds, that this share of its studies does not exceed; 0 without any."""
        wanted, seen = share * sum(weight for _, weight in self.pauses), 0.0
        for bound, weight in self.pauses:
            seen += weight
            if seen >= wanted:
                return bound
        return 0.0
