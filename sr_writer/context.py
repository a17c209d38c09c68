"""What a result must say about its circumstances and neither the analysis nor the images know: plain values from the caller."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Reference:
    """One composite instance that a document points back to (PS3.3 table 10-11), in the same study."""

    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str


@dataclass(frozen=True, slots=True)
class Context:
    """Circumstances of one result.

    ``started_at`` is aware; its offset is written as Timezone Offset From UTC (PS3.3 C.12.1), unless the images carry
    one of their own, to which it is then converted. ``predecessors`` are the results of the revision before. ``fast``
    switches off what writes large Segmentations quickly; the bytes are the same.
    """

    study_uid: str
    revision: int
    input_digest: str
    package_digest: str
    started_at: datetime
    institution: str
    device_uid: str
    outputs: tuple[str, ...] = ("sr", "seg")
    slot: int = 0
    predecessors: tuple[Reference, ...] = ()
    tracking: Mapping[str, str] = field(default_factory=dict, hash=False)  # tracking UIDs to be kept, by tracking identifier
    time_points: Mapping[str, tuple[str, int]] = field(default_factory=dict, hash=False)  # date and order, the same way
    compared: tuple[tuple[str, Reference], ...] = ()  # Study Instance UID and report of other studies, compared with
    fast: bool = True
    language: str = "en"  # of sentences; one of sr_writer.words.LANGUAGES
