"""One study without a node: files in, result files out; `ancilla run` and `ancilla batch` are made of it."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from domain.errors import PermanentError, UnnameableError
from domain.jobs import Answer, Order
from inference.source import open_source
from node.files import StoredFile, describe, view
from node.orders import device_uid
from node.shelf import forget, stored
from node.work import respond


@dataclass(frozen=True, slots=True)
class Desk:
    """What is the same for all studies of one call. ``root`` is the folder that artifacts are named relative to."""

    package: str
    package_digest: str
    root: str
    outputs: tuple[str, ...]
    institution: str = ""
    language: str = "en"
    precision: str = "auto"
    threads: int = 0
    streams: int = 0
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Solo:
    """One study for a worker. ``files`` are paths; their order makes no difference."""

    desk: Desk
    study_uid: str
    files: tuple[str, ...]
    out_dir: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Solved:
    """What a worker gives back. ``kept``: the answer was there already for the same images and package."""

    answer: Answer
    input_digest: str
    images: int
    seconds: float
    kept: bool


def order_of(desk: Desk, study_uid: str, input_digest: str, out_dir: str, started_at: datetime) -> Order:
    """The order a worker of a node would get."""
    return Order(
        job_id=0,
        token=0,
        study_uid=study_uid,
        revision=1,
        package=desk.package,
        package_digest=desk.package_digest,
        input_digest=input_digest,
        instances=(),
        spool_dir="",
        out_dir=out_dir,
        data_dir=desk.root,
        started_at=started_at.astimezone(),
        institution=desk.institution,
        device_uid=device_uid("command line", desk.package_digest),
        outputs=desk.outputs,
        precision=desk.precision,
        threads=desk.threads,
        streams=desk.streams,
        batch=desk.batch,
        language=desk.language,
    )


def digest_of(files: Sequence[StoredFile]) -> str:
    """SHA-256 (hex) over the sorted digests of the data sets, as for received studies."""
    return hashlib.sha256("".join(sorted(file.digest for file in files)).encode()).hexdigest()


def answered(order: Order, files: Sequence[StoredFile]) -> tuple[Answer, bool]:
    """Analyse and write, or give what is written already; which of the two is the second value."""
    kept = stored(order)
    if kept is not None:
        return kept, True
    forget(order)
    return respond(order, lambda: [open_source(view(file.path)) for file in files]), False


def solve(solo: Solo) -> Solved:
    """In a worker: read, judge and write one study. Raises PermanentError when a file of it cannot be read, and whatever
    ``node.work.respond`` raises."""
    began = time.monotonic()
    files = _described(solo)
    order = order_of(solo.desk, solo.study_uid, digest_of(files), solo.out_dir, solo.started_at)
    answer, kept = answered(order, files)
    return Solved(answer, order.input_digest, len(files), time.monotonic() - began, kept)


def _described(solo: Solo) -> list[StoredFile]:
    """The images, the first copy of each SOP Instance UID. What was found a moment ago must still be there: an answer to a part
    of the study would look like one to the whole."""
    found: dict[str, StoredFile] = {}
    for path in sorted(solo.files):
        try:
            file = describe(Path(path))
        except (OSError, UnnameableError):
            raise PermanentError("one of its files cannot be read any more") from None
        if file.header.study_uid != solo.study_uid:
            raise PermanentError("one of its files is of another study now")
        found.setdefault(file.header.sop_instance_uid, file)
    return list(found.values())
