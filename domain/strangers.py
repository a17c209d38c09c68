"""Callers that were turned away, so that an administrator can see who tried and let them in."""

from dataclasses import dataclass
from datetime import datetime

from domain.instances import Caller


@dataclass(frozen=True, slots=True)
class Stranger:
    """One rejected caller. ``words`` is why it was rejected the last time."""

    caller: Caller
    count: int
    first_at: datetime
    last_at: datetime
    words: str
