"""What the pages ask of the node behind them: what it looks like now. Made by node; nothing here names a patient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from console.exposition import Family
from domain.audit import AuditRow
from domain.completeness import Completeness
from domain.destinations import Sent
from domain.figures import Contact, Waiting
from domain.jobs import Artifact, Job, JobKind, Outcome
from domain.moves import JobState, StudyState
from domain.repositories import Forwarded
from domain.retention import Purged
from domain.strangers import Admission, Stranger
from domain.studies import Study


@dataclass(frozen=True, slots=True)
class Overview:
    """Is it running, what has it received, what is left to do."""

    at: datetime  # now
    running: bool
    started_at: datetime | None
    ae_title: str
    port: int
    data_dir: str
    free_bytes: int
    reserve_bytes: int
    retention: str
    studies: Mapping[StudyState, int]
    jobs: Mapping[tuple[JobKind, JobState], int]
    waiting: Waiting
    strangers: Sequence[Stranger]  # the last seen first
    models: Sequence[str]  # of the configuration that runs, or ran last
    shadow_answers: int  # kept here, not sent
    audit: str  # where the audit log is sent and how far it got; empty: it stays here
    forwarded: Forwarded


@dataclass(frozen=True, slots=True)
class StudyLine:
    """One study in a list."""

    study: Study
    waiting_for: tuple[str, ...]
    shadow: tuple[str, ...] = ()  # models that ran or run in shadow on it


@dataclass(frozen=True, slots=True)
class JobFile:
    """One job with what it wrote or what the other side said. ``gone``: role of results that were purged."""

    job: Job
    artifacts: tuple[Artifact, ...] = ()
    gone: frozenset[str] = frozenset()
    said: tuple[Sent, ...] = ()


@dataclass(frozen=True, slots=True)
class StudyFile:
    """Everything about one study. ``no_jobs`` says why there are none; ``shadow`` are models whose answers are not sent."""

    study: Study
    completeness: Completeness
    purged: Purged | None
    jobs: tuple[JobFile, ...]
    no_jobs: str
    events: Mapping[str, int]  # rows of the audit log by event
    shadow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DestinationLine:
    """One destination of the configuration; ``takes`` and ``refuses`` are SOP Class UIDs as sending has found out."""

    name: str
    kind: str
    where: str
    profile: str
    outputs: tuple[str, ...]
    takes: tuple[str, ...]
    refuses: tuple[str, ...]
    asked_at: datetime | None
    contact: Contact


@dataclass(frozen=True, slots=True)
class ModelLine:
    """One package of the configuration. ``outcomes`` are those of its share of the last thousand answers."""

    key: str  # different for every model, "(shadow)" included
    name: str
    version: str
    digest: str
    intended_use: str
    regulatory_status: str
    disclaimer: str
    runs: str  # in which precision on this CPU, or why not, or not yet
    refused: bool
    send_to: tuple[str, ...]
    shadow: bool  # nothing it answers is sent
    outcomes: Mapping[Outcome, int]
    card: str  # the model card: Markdown, written by whoever made the package


@dataclass(frozen=True, slots=True)
class Proof:
    """The last time the audit log was verified for a page; ``at`` None: never. ``good`` None: it was not read to its end."""

    good: bool | None = None
    words: str = ""
    at: datetime | None = None
    reading: bool = False  # just now


@dataclass(frozen=True, slots=True)
class Callers:
    """Who was turned away, and who was let in beside the peers of the file."""

    strangers: Sequence[Stranger]
    admitted: Sequence[Admission]
    peers: Sequence[tuple[str, str]]  # of the file: AE title, address


class Board(Protocol):
    """Called from several threads at once. Every method may raise TransientError when the database cannot be read now."""

    def overview(self) -> Overview:
        """The whole node on one page."""

    def destinations(self) -> list[DestinationLine]:
        """In the order of the configuration."""

    def studies(self, limit: int, state: StudyState | None, before: tuple[datetime, str] | None) -> list[StudyLine]:
        """The newest first; ``before``: behind this ``last_at`` and UID."""

    def find(self, uid: str) -> str:
        """The Study Instance UID of a study, of one of its images or results; "" for none."""

    def study(self, uid: str) -> StudyFile | None:
        """One study, or None."""

    def jobs(self, limit: int, state: JobState | None, before: int | None) -> list[Job]:
        """The newest first; ``before``: lower numbers only."""

    def models(self) -> list[ModelLine]:
        """In the order of the configuration."""

    def audit(self, limit: int, event: str | None, study_uid: str | None, before: int | None) -> list[AuditRow]:
        """The newest first; ``before``: lower numbers only."""

    def callers(self) -> Callers:
        """Who may send, who would like to."""

    def proof(self) -> Proof:
        """What the last verification found."""

    def prove(self) -> None:
        """Begin to verify the audit log, unless that is being done."""

    def metrics(self) -> list[Family]:
        """Counters and gauges."""
