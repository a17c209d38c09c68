"""From the last image of a chest CT to its report in the PACS, and where the time goes."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import generate_uid
from pynetdicom import AE

from bench.rows import Row, UnmeasurableError, alone
from tests import peers, serving

STUDY = Path(__file__).resolve().parents[2] / "shared" / "data" / "chest_ct" / "covid_ct_md_normal001"
QUIET = 1.0  # seconds without an image after which the node calls the study complete: part of "wait"
LONGEST = 600.0  # seconds
PACE = 20  # images a second of a scanner that reconstructs while it sends
PARTS = {
    "wait": f"last image received to start of the job, of that {QUIET:g} s quiet time",
    "load": "model and images",
    "infer": "volume, network, measurements",
    "write": "SR, SEG and picture",
    "hand": "queue and processes: what is between the parts",
    "send": "results to the PACS and its answers",
}


def measure(rounds: int, study: Path | None, package: str, folder: Path) -> Iterator[Row]:
    """One row for the whole and one per part; the first job after a start is apart. Raises UnmeasurableError."""
    files = _files(study or STUDY)
    samples = _samples(files, package, rounds + 1, folder)
    yield alone(f"last image of {len(files)} to SR in the PACS, first after start", "s", [samples[0]["total"]])
    warm = samples[1:]
    yield alone(f"last image of {len(files)} to SR in the PACS", "s", [sample["total"] for sample in warm])
    for part, words in PARTS.items():
        yield alone(f"- {part}: {words}", "s", [sample[part] for sample in warm])
    for optimistic, words in ((False, "begun when complete"), (True, "begun as they arrive")):
        inner = folder / ("early" if optimistic else "late")
        inner.mkdir()
        samples = _samples(files, package, rounds + 1, inner, PACE, optimistic)[1:]
        name = f"{PACE} images/s, last image of {len(files)} to SR in the PACS, {words}"
        yield alone(name, "s", [sample["total"] for sample in samples])
        yield alone(f"- {PARTS['infer']}, {words}", "s", [sample["infer"] for sample in samples])
    yield alone("- slices computed before the last image and the quiet time", "slices", [s["cached_slices"] for s in samples])


def _files(study: Path) -> list[Path]:
    files = sorted(path for path in study.rglob("*") if path.is_file() and path.suffix in (".dcm", ""))
    if not files:
        raise UnmeasurableError(f"there are no images in {study}; give a folder with one chest CT series: --study FOLDER")
    return files


def _samples(
    files: Sequence[Path], package: str, rounds: int, folder: Path, pace: float = 0, optimistic: bool = True
) -> list[Mapping[str, float]]:
    model = {"package": package, "send_to": ["pacs"]}
    with peers.orthanc() as pacs:
        compute = {"workers": 0, "threads": 0, "optimistic": optimistic}  # as many as the machine suggests
        node = serving.prepare(
            folder, models=[model], destinations=[serving.pacs(pacs)], study={"quiet_seconds": QUIET}, compute=compute
        )
        with serving.serving(node):
            return [_sample(node, pacs, files, number, folder, pace) for number in range(rounds)]


def _sample(
    node: serving.Node, pacs: peers.Orthanc, files: Sequence[Path], number: int, folder: Path, pace: float
) -> Mapping[str, float]:
    """Seconds by part for one study with its own UIDs, so that nothing is answered from what is stored."""
    with tempfile.TemporaryDirectory(dir=folder) as copies:
        study_uid = _renamed(files, f"round {number} {folder}", Path(copies))
        _send(node, Path(copies)) if pace == 0 else _trickle(node, Path(copies), pace)
    answered = time.perf_counter()
    peers.wait_for(lambda: _reported(pacs, study_uid), "the SR in the PACS", LONGEST, node.alive)
    total = time.perf_counter() - answered
    shown = peers.wait_for(lambda: _delivered(node, study_uid), "the end of the delivery", 60, node.alive)
    return {"total": total, **_parts(shown)}


def _renamed(files: Sequence[Path], seed: str, target: Path) -> str:
    """Copies under new UIDs; pixels stay as they are, compressed or not. The new Study Instance UID."""
    study_uid, series_uid = (generate_uid(entropy_srcs=[seed, what]) for what in ("study", "series"))
    for number, file in enumerate(files):
        ds = pydicom.dcmread(file)
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study_uid, series_uid
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[seed, str(number)])
        ds.save_as(target / f"{number:04d}.dcm")
    return str(study_uid)


def _send(node: serving.Node, folder: Path) -> None:
    command = [peers.program("dcmsend"), "-dn", "+sd", "-aet", serving.CALLER, "-aec", "ANCILLA", "127.0.0.1", str(node.port)]
    done = subprocess.run(
        [*command, str(folder)], capture_output=True, text=True, check=False, env={**os.environ, "TCP_NODELAY": "1"}
    )
    if done.returncode != 0:
        raise UnmeasurableError(f"dcmsend ended with {done.returncode}: {done.stderr[-300:]}")


def _trickle(node: serving.Node, folder: Path, pace: float) -> None:
    """One association, ``pace`` images a second, as a scanner that reconstructs while it sends."""
    datasets = [pydicom.dcmread(file) for file in sorted(folder.iterdir())]
    wanted = {(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID) for ds in datasets}
    ae = AE(serving.CALLER)
    for sop_class, syntax in sorted(wanted):
        ae.add_requested_context(sop_class, syntax)
    association = ae.associate("127.0.0.1", node.port, ae_title="ANCILLA")
    if not association.is_established:
        raise UnmeasurableError("the node does not take an association")
    begin = time.perf_counter()
    for number, ds in enumerate(datasets):
        time.sleep(max(0.0, begin + number / pace - time.perf_counter()))
        if association.send_c_store(ds).Status != 0:
            raise UnmeasurableError("the node does not take an image")
    association.release()


def _reported(pacs: peers.Orthanc, study_uid: str) -> bool:
    query = f'{{"Level": "Series", "Query": {{"StudyInstanceUID": "{study_uid}", "Modality": "SR"}}}}'
    return bool(pacs.post("/tools/find", query.encode()))


def _delivered(node: serving.Node, study_uid: str) -> Any:
    """What ``ancilla show`` says about the study once its results were sent."""
    shown = node.ask("show", study_uid)
    jobs = {job["kind"]: job for job in shown["jobs"]}
    return shown if "deliver" in jobs and jobs["deliver"]["finished_at"] else None


def _parts(shown: Mapping[str, Any]) -> dict[str, float]:
    jobs = {job["kind"]: job for job in shown["jobs"]}
    infer, deliver = jobs["infer"], jobs["deliver"]
    parts = {part: float(infer["timings"].get(part, 0.0)) for part in ("load", "infer", "write")}
    worked = _seconds(infer["started_at"], infer["finished_at"])
    return {
        "wait": _seconds(shown["study"]["last_at"], infer["started_at"]),
        **parts,
        "cached_slices": float(infer["timings"].get("cached_slices", 0.0)),
        "hand": max(worked - sum(parts.values()), 0.0) + _seconds(infer["finished_at"], deliver["started_at"]),
        "send": _seconds(deliver["started_at"], deliver["finished_at"]),
    }


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
