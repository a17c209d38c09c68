"""What an administrator counts: how old the queue is, what destinations last said, what happened since somebody last counted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from domain.jobs import JobKind, Outcome


@dataclass(frozen=True, slots=True)
class Contact:
    """What is known about one destination from sending to it. ``why`` is the reason of the newest failure or retry."""

    sent_at: datetime | None = None
    failed_at: datetime | None = None  # a delivery was given up, or the destination refused it
    waiting: int = 0  # deliveries in the queue
    waiting_since: datetime | None = None  # when the oldest of them was made
    retrying: int = 0  # of those that wait: tried at least once in vain
    why: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long the queue is waited for; None: nothing waits."""

    jobs: Mapping[JobKind, datetime]  # when the oldest queued job of the kind was made
    studies: datetime | None  # when the newest image of the receiving study that has been quiet for longest came


@dataclass(frozen=True, slots=True)
class Mark:
    """Up to where somebody has counted: the highest number of an image and of an audit row."""

    image: int
    row: int


@dataclass(frozen=True, slots=True)
class Increment:
    """What happened between two marks. AE titles, models and destinations are those of the rows, whoever they are."""

    mark: Mark  # the later of the two
    images: Mapping[str, tuple[int, int]]  # calling AE title: images kept, their bytes
    events: Mapping[str, int]  # of the audit log, without "stored"
    answers: Mapping[tuple[str, Outcome], int]  # by model
    deliveries: Mapping[tuple[JobKind, str, str], int]  # deliver and commit: by kind, destination and audit event
    delays: tuple[tuple[str, float], ...]  # destination, seconds from the last image of the study until the answer was there
