"""Work to be done: the job as the store keeps it, the order a worker gets, the answer it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

from domain.destinations import Destination
from domain.instances import Instance
from domain.moves import JobState


class JobKind(StrEnum):
    """What a job does."""

    INFER = "infer"  # one model on one revision of one study
    DELIVER = "deliver"  # the artifacts of one infer job to one destination
    COMMIT = "commit"  # the destination takes responsibility for what one delivery brought


class Priority(IntEnum):
    """How urgent a job is; smaller goes first. Terms of Requested Procedure Priority (PS3.3 C.4.11); MEDIUM is ROUTINE."""

    STAT = 0
    HIGH = 1
    ROUTINE = 2
    LOW = 3


def model_name(model_id: str, shadow: bool) -> str:
    """What people read: a package may run in shadow beside another version of itself."""
    return f"{model_id} (shadow)" if shadow else model_id


class Outcome(StrEnum):
    """The one answer a study gets from a model."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NOT_ANALYSED = "not-analysed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class NewJob:
    """An infer job to be queued when a study settles."""

    model_id: str
    package_digest: str
    series_uids: tuple[str, ...]
    destinations: tuple[str, ...]  # destination names; the deliveries that follow
    missing: tuple[str, ...] = ()  # sentences: what is known to be missing, for the report
    priority: Priority = Priority.ROUTINE
    shadow: bool = False  # its answer is kept here and goes nowhere

    @property
    def name(self) -> str:
        """The model, and whether it runs in shadow."""
        return model_name(self.model_id, self.shadow)


@dataclass(frozen=True, slots=True)
class Job:
    """A row of the job table. ``token`` fences: only the holder of the current token may finish the job."""

    job_id: int
    kind: JobKind
    state: JobState
    study_uid: str
    revision: int
    model_id: str
    package_digest: str
    series_uids: tuple[str, ...]
    input_digest: str  # SHA-256 (hex) over the sorted digests of the instances of those series, up to this revision
    destinations: tuple[str, ...]
    destination: str  # deliver jobs only
    parent_id: int | None  # deliver jobs: the infer job whose artifacts go out
    attempts: int
    token: int
    run_at: datetime
    lease_until: datetime | None
    created_at: datetime
    started_at: datetime | None  # of the first attempt: it is the Content Date/Time of the results
    finished_at: datetime | None
    reason: str
    outcome: Outcome | None = None  # infer jobs, once answered
    summary: str = ""
    timings: Mapping[str, float] = field(default_factory=dict, hash=False)
    missing: tuple[str, ...] = ()  # what was known to be missing when the study settled, as sentences
    priority: Priority = Priority.ROUTINE
    shadow: bool = False  # infer jobs: no delivery follows; ``destinations`` say where the answer would go

    @property
    def name(self) -> str:
        """The model, and whether it runs in shadow."""
        return model_name(self.model_id, self.shadow)


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file a worker wrote. ``path`` is relative to the data directory; ``digest`` is its SHA-256 (hex).

    ``sop_class_uid`` is empty for what is not DICOM (the overlay picture) and never delivered.
    """

    role: str  # "sr", "sr-volumetric", "seg", "overlay": part of the UID derivation
    path: str
    digest: str
    size: int
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    series_uid: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer the node gives without running the model (again): the model failed too often."""

    reason: str


@dataclass(frozen=True, slots=True)
class Order:
    """Everything a worker needs, small and picklable. Paths are absolute."""

    job_id: int
    token: int
    study_uid: str
    revision: int
    package: str
    package_digest: str
    input_digest: str
    instances: tuple[Instance, ...]  # of the series that matched the rule, the winning copy of each
    spool_dir: str
    out_dir: str  # made by the worker; artifacts' paths are relative to data_dir
    data_dir: str
    started_at: datetime
    institution: str
    device_uid: str  # stable per installation and package
    outputs: tuple[str, ...]  # union over the destinations
    predecessors: tuple[Artifact, ...] = ()  # results of the revision before, if any
    verdict: Verdict | None = None
    slot: int = 0  # position of the package in the configuration
    precision: str = "auto"
    threads: int = 0
    missing: tuple[str, ...] = ()  # sentences that go into the report as limits of the analysis
    prior_study: str = ""  # Study Instance UID of the patient's earlier study that the same model answered
    prior: tuple[Artifact, ...] = ()  # its results
    prior_from: tuple[Destination, ...] = ()  # who is asked for one when ``prior`` is empty
    language: str = "en"  # of the sentences in the reports
    cache_dir: str = ""  # what was computed before the study was complete; empty: nothing is looked for
    streams: int = 0  # as acceptance has chosen; 0: from the number of threads
    batch: int = 1
    stage: str = ""  # files are written here, and moved to out_dir by the node if it still holds the job; empty: at once there
    pause: str = ""  # while this file exists the work rests between two batches: something more urgent has the cores


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker gives back; pixels and masks never do. ``timings`` are seconds by part (load, infer, write),
    and how many slices were found computed already (cached_slices)."""

    outcome: Outcome
    summary: str  # one sentence, no patient data
    artifacts: tuple[Artifact, ...]
    reason: str = ""  # of NOT_ANALYSED and FAILED
    timings: Mapping[str, float] = field(default_factory=dict)
    precision: str = ""  # in which the network ran; empty: it did not, or the answer was stored already
