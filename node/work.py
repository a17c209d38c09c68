"""One order in a worker process: images in, checked DICOM files out; pixels and masks never leave the process."""

import gc
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset

from domain.acceptance import AcceptanceOrder, Accepted
from domain.early import EarlyOrder
from domain.errors import PackageError
from domain.jobs import Answer, Order, Outcome
from domain.results import Algorithm, Analysis
from inference import acceptance, running
from inference.analyse import AnyAnalyser, analyser_of
from inference.archive import forget_weights
from inference.kept import Kept
from inference.package import AnyPackage, load
from inference.source import Source
from node.comparing import Compared, compared
from node.opened import taken
from node.shelf import Sheet, shelve, stored
from sr_writer.context import Context, Reference
from sr_writer.document import Document
from sr_writer.picture import overlay
from sr_writer.results import documents

COMPILED = "compiled"  # below data_dir
REST_SECONDS = 0.05
_ANALYSERS: dict[tuple[str, str, str, int, int, int], AnyAnalyser] = {}  # compiled once per worker


class Clock:
    """Seconds by part."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, part: str) -> None:
        """Everything since the last lap was ``part``."""
        now = time.monotonic()
        self.parts[part] = self.parts.get(part, 0.0) + now - self._last
        self._last = now


def ready() -> None:
    """A worker that was asked this has its libraries in memory before the first study comes, and never looks for garbage there:
    opening the headers of a study would have it look through all of them several times."""
    gc.collect()
    gc.freeze()


def perform(order: Order) -> Answer:
    """Do what an order says. A repeated order with equal input gives the bytes that are stored already.

    Raises PackageError when the package is not the one the job was made for, PermanentError for results that break a rule.
    """
    return respond(order, lambda: taken(order.spool_dir, order.instances))


def respond(order: Order, sources: Callable[[], Sequence[Source]]) -> Answer:
    """The same for images from anywhere."""
    if (answer := stored(order)) is not None:
        return answer
    clock = Clock()
    if order.verdict is not None:
        analysis, algorithm, headers = _verdict(order, sources)
        clock.lap("load")
    else:
        analysis, algorithm, headers = _analyse(order, sources, clock)
    partial = analysis.partial or (bool(order.missing) and analysis.outcome in (Outcome.POSITIVE, Outcome.NEGATIVE))
    analysis = replace(analysis, notes=(*order.missing, *analysis.notes), partial=partial)
    seen = compared(order, analysis, algorithm.package_id, headers)
    analysis = seen.comparison.analysis
    answer = shelve(order, Sheet(analysis, algorithm, _documents(order, seen, algorithm, headers), overlay(analysis)))
    clock.lap("write")
    return Answer(answer.outcome, answer.summary, answer.artifacts, answer.reason, clock.parts, algorithm.precision)


def analyser_for(order: Order | EarlyOrder) -> AnyAnalyser:
    """The compiled model of an order; the digest is checked whenever the package is read."""
    key = (order.package, order.package_digest, order.precision, order.threads, order.streams, order.batch)
    if key not in _ANALYSERS:
        package = _package(order)
        cache = Path(order.data_dir) / COMPILED if order.spool_dir else None  # not into a results folder
        _ANALYSERS[key] = analyser_of(package, order.precision, order.threads, cache, order.streams, order.batch)
        if isinstance(package.files, dict):
            forget_weights(package.files)  # for as long as this worker lives
    return _ANALYSERS[key]


def accept(order: AcceptanceOrder) -> Accepted:
    """Try a package on this CPU, or say what is remembered of it. Raises PackageError."""
    data_dir = Path(order.data_dir)
    if not order.again:
        known = acceptance.remembered(data_dir, order.package_digest, order.threads, order.precision)
        if known is not None:
            return Accepted(known, fresh=False)
    found = acceptance.accept(_package(order), order.precision, order.threads, data_dir / COMPILED)
    acceptance.remember(data_dir, found)
    return Accepted(found, fresh=True)


def _package(order: Order | EarlyOrder | AcceptanceOrder) -> AnyPackage:
    package = load(Path(order.package))
    if package.digest != order.package_digest:
        raise PackageError(
            f"the package {package.id} was changed since this job was queued "
            f"(SHA-256 {package.digest[:12]} instead of {order.package_digest[:12]}); restart the node and retry the job"
        )
    return package


def _analyse(order: Order, sources: Callable[[], Sequence[Source]], clock: Clock) -> tuple[Analysis, Algorithm, list[Dataset]]:
    analyser = analyser_for(order)
    algorithm = analyser.algorithm(order.slot)
    opened = sources()
    clock.lap("load")
    kept = Kept(Path(order.cache_dir)) if order.cache_dir else None
    with running.resting(lambda: _rest(order.pause)):
        analysis = analyser.analyse(opened, kept)
    clock.lap("infer")
    if kept is not None and kept.used:
        clock.parts["cached_slices"] = kept.used
    return analysis, algorithm, _headers(analysis, opened)


def _rest(pause: str) -> None:
    """While something more urgent has the cores. The node ends this process, never this file alone, when it gives the job up."""
    while pause and Path(pause).exists():
        time.sleep(REST_SECONDS)


def _verdict(order: Order, sources: Callable[[], Sequence[Source]]) -> tuple[Analysis, Algorithm, list[Dataset]]:
    """The model is not run and not compiled: it may be what fails. A replaced package still says who failed."""
    assert order.verdict is not None
    algorithm = load(Path(order.package)).algorithm(order.slot)
    readable = [source for source in sources() if not source.fault]
    series = readable[0].series_uid if readable else ""
    words = f"Not analysed, the model failed: {order.verdict.reason}."
    return (
        Analysis(Outcome.FAILED, words, series),
        algorithm,
        [source.header for source in readable if source.series_uid == series],
    )


def _headers(analysis: Analysis, sources: Sequence[Source]) -> list[Dataset]:
    """Those of the series analysed and of every other image spoken of; all of them when there is none of these."""
    readable = [source for source in sources if not source.fault]
    told, series = _told(analysis), {analysis.series_uid, *(read.series_uid for read in analysis.channels)}
    chosen = [source for source in readable if source.series_uid in series or source.uid in told]
    return [source.header for source in chosen or readable]


def _told(analysis: Analysis) -> set[str]:
    """SOP Instance UIDs of the images an analysis speaks of: it may be of several series."""
    told = {finding.outline.sop_instance_uid for finding in analysis.findings if finding.outline is not None}
    told |= {statement.sop_instance_uid for statement in analysis.statements}
    told |= {key.sop_instance_uid for key in analysis.key_images} | {marks.sop_instance_uid for marks in analysis.marks}
    maps = [*analysis.fields, *((analysis.labels,) if analysis.labels is not None else ())]
    return told | {uid for one in maps for uid in one.sop_instance_uids}


def _documents(order: Order, seen: Compared, algorithm: Algorithm, headers: Sequence[Dataset]) -> tuple[Document, ...]:
    context = Context(
        study_uid=order.study_uid,
        revision=order.revision,
        input_digest=_identity(order, seen.reports),
        package_digest=order.package_digest,
        started_at=order.started_at,
        institution=order.institution,
        device_uid=order.device_uid,
        outputs=order.outputs,
        slot=order.slot,
        tracking=seen.comparison.tracking,
        time_points={name: (point.date, point.order) for name, point in seen.comparison.points.items()},
        compared=seen.reports,
        language=order.language,
        predecessors=tuple(
            Reference(artifact.sop_class_uid, artifact.sop_instance_uid, artifact.series_uid)
            for artifact in order.predecessors
            if artifact.role.startswith("sr")
        ),
    )
    return documents(seen.comparison.analysis, algorithm, headers, context)


def _identity(order: Order, compared_with: Sequence[tuple[str, Reference]]) -> str:
    """What the UIDs of the results derive from. A report of failure is another object than the result that a later retry may
    bring for the same images, so it must not have its UID; nor must one that tells changes have that of one that does not."""
    if order.verdict is None:
        if not compared_with:
            return order.input_digest
        reports = "/".join(reference.sop_instance_uid for _, reference in compared_with)
        return hashlib.sha256(f"{order.input_digest}/compared/{reports}".encode()).hexdigest()
    return hashlib.sha256(f"{order.input_digest}/failed/{order.verdict.reason}".encode()).hexdigest()
