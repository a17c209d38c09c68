"""A study as the store keeps it."""

from dataclasses import dataclass
from datetime import datetime

from domain.moves import StudyState


@dataclass(frozen=True, slots=True)
class Study:
    """A row of the study table, with counts."""

    study_uid: str
    state: StudyState
    revision: int  # 1 is the first
    quiet_at: datetime  # nothing new until then: complete (when no association that sent to it is open)
    deadline: datetime  # complete at the latest then, whatever is missing
    first_at: datetime
    last_at: datetime
    series: int
    instances: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing known about whether a study is complete: ``kind`` "association", ``subject`` its id, ``details`` "open"."""

    study_uid: str
    revision: int
    kind: str
    subject: str
    details: str  # JSON, sorted keys, no patient data
    at: datetime
