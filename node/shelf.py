"""The results folder of one order: each file whole or absent, the list of them last, so that a list vouches for its files."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

from pydicom.dataset import Dataset

from domain.jobs import Answer, Artifact, Order, Outcome
from domain.results import Algorithm, Analysis, Finding, Measurement, Statement
from sr_writer.document import Document

LIST: Final = "result.json"
_MOST_MEASUREMENTS: Final = 30
_PARTS: Final = {  # by position in the key
    5: "the model has another place in the configuration",
    6: "reports are written in another language now",
    7: "the patient's earlier result is another one",
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is to be written: the DICOM objects, the picture (PNG) if there is one."""

    analysis: Analysis
    algorithm: Algorithm
    documents: Sequence[Document]
    picture: bytes | None


def stored(order: Order) -> Answer | None:
    """The answer that is written already for equal input, model and outputs, if every byte of it is still there."""
    try:
        known = json.loads((Path(order.out_dir) / LIST).read_text(encoding="utf-8"))
        artifacts = tuple(Artifact(**entry) for entry in known["artifacts"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if order.verdict is not None or known.get("key") != _key(order) or known["outcome"] == Outcome.FAILED:
        return None
    if any(_digest_of(Path(order.data_dir) / artifact.path) != artifact.digest for artifact in artifacts):
        return None
    return Answer(Outcome(known["outcome"]), known["summary"], artifacts, known["reason"])


def outdated(order: Order) -> str:
    """Why the answer that is written already is not what this order would give, in a few words: "" when it is, or when there is
    none that says so. Which objects are asked for makes no difference: they are written beside it."""
    try:
        known = json.loads((Path(order.out_dir) / LIST).read_text(encoding="utf-8"))
        key, precision = list(known["key"]), str(known["model"]["precision"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    if len(key) != len(now := _key(order)) or key[:4] != now[:4]:
        return ""
    for at, words in _PARTS.items():
        if key[at] != now[at]:
            return words
    runs = order.precision if order.precision != "auto" else precision
    return f"it runs in {runs.upper()} now, then in {precision.upper()}" if precision and runs != precision else ""


def forget(order: Order) -> None:
    """Take the files of an answer that does not stand any more out of the folder: beside a new one they would look like part of
    it."""
    folder = Path(order.out_dir)
    try:
        known = json.loads((folder / LIST).read_text(encoding="utf-8"))
        names = [Path(str(entry["path"])).name for entry in known["artifacts"]]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for name in (*names, LIST):
        (folder / name).unlink(missing_ok=True)


def shelve(order: Order, sheet: Sheet) -> Answer:
    """Write the files of one answer. Files with equal bytes are left as they are."""
    folder = _folder(order)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LIST).unlink(missing_ok=True)
    artifacts = [_keep(order, d.role, f"{d.role}.dcm", d.write, d.dataset) for d in sheet.documents]
    if (picture := sheet.picture) is not None:
        artifacts.append(_keep(order, "overlay", "overlay.png", lambda stream: _put(stream, picture)))
    reason = order.verdict.reason if order.verdict is not None else str(sheet.analysis.reason or "")
    answer = Answer(sheet.analysis.outcome, sheet.analysis.summary, tuple(artifacts), reason)
    write(folder / LIST, json.dumps(_listed(order, sheet, answer), indent=1, ensure_ascii=False).encode())
    sync(folder)
    return answer


def publish(stage: Path, folder: Path) -> None:
    """Move an answer that was written elsewhere to where it counts: whoever calls this holds the job, whoever wrote it may have
    lost it meanwhile. Nothing happens when there is none."""
    if not (stage / LIST).is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LIST).unlink(missing_ok=True)
    for file in stage.iterdir():
        if file.name != LIST:
            file.replace(folder / file.name)
    sync(folder)
    (stage / LIST).replace(folder / LIST)
    sync(folder)
    shutil.rmtree(stage, ignore_errors=True)


def _folder(order: Order) -> Path:
    return Path(order.stage or order.out_dir)


def _key(order: Order) -> list[Any]:
    """What makes two orders the same work."""
    return [
        order.study_uid,
        order.revision,
        order.input_digest,
        order.package_digest,
        list(order.outputs),
        order.slot,
        order.language,
        [a.digest for a in order.prior],
    ]


def _put(stream: IO[bytes], data: bytes) -> None:
    stream.write(data)


def _keep(order: Order, role: str, name: str, fill: Callable[[IO[bytes]], None], dataset: Dataset | None = None) -> Artifact:
    """The file under its name. ``fill`` writes it, a large object piece by piece; the digest is read back from the file."""
    digest, size = _written(_folder(order) / name, fill)
    uids = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
    names = [str(dataset.get(keyword, "")) for keyword in uids] if dataset is not None else ["", "", ""]
    return Artifact(role, os.path.relpath(Path(order.out_dir) / name, order.data_dir), digest, size, *names)


def _digest_of(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def write(file: Path, data: bytes) -> None:
    """A file that is durable and whole when it appears under its name."""
    _written(file, lambda stream: _put(stream, data))


def _written(file: Path, fill: Callable[[IO[bytes]], None]) -> tuple[str, int]:
    """Digest and size of the file; one with equal bytes is left as it is."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with part.open("w+b") as stream:
            fill(stream)
            stream.flush()
            size = stream.seek(0, os.SEEK_END)
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if _digest_of(file) != digest:
                os.fsync(stream.fileno())
                part.replace(file)
            return digest, size
    finally:
        part.unlink(missing_ok=True)


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def measurements(folder: Path) -> str:
    """The numbers of a result, "left-lung: Volume 2301.5 ml; ..."; "" where there are none."""
    try:
        told: list[dict[str, Any]] = json.loads((folder / LIST).read_text(encoding="utf-8"))["findings"]
        found = [
            f"{said['tracking_id']}: {one['name']} {one['value']:.6g} {one['unit']}"
            for said in told
            for one in said["measurements"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return "; ".join(found[:_MOST_MEASUREMENTS])


def _listed(order: Order, sheet: Sheet, answer: Answer) -> dict[str, Any]:
    """The answer for programs; nothing of the patient is in it."""
    analysis, algorithm = sheet.analysis, sheet.algorithm
    told: list[Finding | Statement] = [*analysis.findings, *analysis.statements]
    return {
        "outcome": answer.outcome,
        "summary": answer.summary,
        "reason": answer.reason,
        "notes": analysis.notes,
        "model": {"id": algorithm.package_id, "version": algorithm.version, "precision": algorithm.precision},
        "started_at": order.started_at.isoformat(),
        "findings": [
            {"tracking_id": said.tracking_id, "finding": said.finding.meaning, "measurements": _numbers(said.measurements)}
            for said in told
        ],
        "artifacts": [asdict(artifact) for artifact in answer.artifacts],
        "key": _key(order),
    }


def _numbers(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    return [
        {
            "name": measurement.name.meaning,
            "value": measurement.value,
            "unit": measurement.unit.value,
            "derivation": measurement.derivation.meaning if measurement.derivation else "",
        }
        for measurement in measurements
    ]
