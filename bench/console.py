"""The pages and metrics of a node with a large archive, beside what Orthanc answers about as many studies."""

import http.client
import io
import os
import random
import statistics
import time
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from bench import archives, priority
from bench.rows import Row, UnmeasurableError, alone, compare
from tests import peers, serving

REQUESTS: Final = 20  # of each kind in a round, which counts with their median
PAGE: Final = 100  # studies on a page
LIMIT: Final = 100.0  # milliseconds: what follows within them seems to follow at once (J. Nielsen, Usability Engineering, 1993)
ALONE: Final = (
    "/jobs",
    "/jobs?state=failed",
    "/destinations",
    "/callers",
    "/audit",
    "/audit?event=sent",
    "/studies?state=complete",
)
_UPLOAD: Final = 1_000  # studies in one .zip
Ask = tuple[str, str, bytes]  # method, path, body
Times = dict[str, list[float]]


def measure(rounds: int, studies: int, images: int, folder: Path) -> Iterator[Row]:
    """``images`` in each study of ours; Orthanc has one in each of its own, which only makes it quicker."""
    (folder / "node").mkdir()
    (folder / "orthanc").mkdir()
    port = peers.free_port()
    node = serving.prepare(folder / "node", scp={"prepared_mb": 0}, console={"port": port})
    archives.fill(node.data, studies, images, datetime.now(UTC) - timedelta(hours=1))
    with peers.orthanc(folder=folder / "orthanc") as orthanc:
        _fill(orthanc, studies)
        os.sync()
        with serving.serving(node):
            both = _both(studies, _behind(port, studies // 2))
            ours, theirs = _rounds(rounds, {"ours": port, "theirs": orthanc.http_port}, both)
        version = orthanc.version()
    for name in both:
        yield compare(
            f"{name} ({studies} studies)", "ms", ours[name], theirs[name], "Orthanc", version, 1.0, more_is_better=False
        )
    for name in ALONE:
        yield alone(f"page {name} ({studies} studies)", "ms", ours[name], LIMIT)


def _both(studies: int, behind: str) -> dict[str, tuple[list[Ask], list[Ask]]]:
    """What is asked of us and of Orthanc: a page for people here, JSON there."""
    uid = archives.study_uid(studies // 2)
    found = f'{{"Level":"Study","Query":{{"StudyInstanceUID":"{uid}"}},"Expand":true}}'.encode()
    return {
        "the whole node at a glance": ([_get("/")], [_get("/statistics")]),
        f"the first {PAGE} studies": ([_get("/studies")], [_get(f"/studies?expand&since=0&limit={PAGE}")]),
        f"{PAGE} studies in the middle": (
            [_get(f"/studies?before={behind}")],
            [_get(f"/studies?expand&since={studies // 2}&limit={PAGE}")],
        ),
        "a study by its UID": ([_get(f"/studies?uid={uid}"), _get(f"/studies/{uid}")], [("POST", "/tools/find", found)]),
        "metrics": ([_get("/metrics")], [_get("/tools/metrics-prometheus")]),
    }


def _rounds(
    rounds: int, ports: Mapping[str, int], both: Mapping[str, tuple[Sequence[Ask], Sequence[Ask]]]
) -> tuple[Times, Times]:
    """Samples by name, in an order that changes."""
    ours: Times = defaultdict(list)
    theirs: Times = defaultdict(list)
    asked = [(ours, ports["ours"], name, us) for name, (us, _) in both.items()]
    asked += [(theirs, ports["theirs"], name, them) for name, (_, them) in both.items()]
    asked += [(ours, ports["ours"], path, [_get(path)]) for path in ALONE]
    order = random.Random(rounds)
    for _ in range(rounds):
        for times, port, name, asks in order.sample(asked, len(asked)):
            times[name].append(_median(port, asks))
    return ours, theirs


def _median(port: int, asks: Sequence[Ask]) -> float:
    """Milliseconds; all that is asked together counts as one."""
    samples = []
    with priority.first():
        for _ in range(REQUESTS):
            begun = time.perf_counter()
            for each in asks:
                _asked(port, each)
            samples.append((time.perf_counter() - begun) * 1000)
    return statistics.median(samples)


def _asked(port: int, ask: Ask) -> bytes:
    method, path, body = ask
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        client.request(method, path, body or None)
        answer = client.getresponse()
        if answer.status not in (200, 303):
            raise UnmeasurableError(f"{method} {path} was answered with {answer.status}")
        return answer.read()
    finally:
        client.close()


def _get(path: str) -> Ask:
    return "GET", path, b""


def _behind(port: int, number: int) -> str:
    """The key of the page of the study of this number, got there link by link as a reader does."""
    path = "/studies"
    for _ in range(number // PAGE):
        text = _asked(port, _get(path)).decode()
        at = text.find('href="/studies?before=')
        if at < 0:
            break
        path = text[at + 6 : text.index('"', at + 6)]
    return quote(path.partition("before=")[2])


def _fill(orthanc: peers.Orthanc, studies: int) -> None:
    """As many studies as ours, of one small image each."""
    first = archives.study_uid(0)
    template = _image(first)
    for start in range(0, studies, _UPLOAD):
        with io.BytesIO() as stream:
            with zipfile.ZipFile(stream, "w") as bundle:
                for number in range(start, min(start + _UPLOAD, studies)):
                    token = archives.study_uid(number)[-12:]
                    bundle.writestr(f"{number}.dcm", template.replace(first[-12:].encode(), token.encode()))
            orthanc.post("/instances", stream.getvalue())
    there = int(orthanc.json("/statistics")["CountStudies"])
    if there != studies:
        raise UnmeasurableError(f"Orthanc has {there} of {studies} studies")


def _image(study_uid: str) -> bytes:
    """One image of a study; every UID and the patient's number hold the last twelve digits of the study's UID."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a component that begins with 0, as in our archive: the same for both
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study_uid, f"{study_uid}.1"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{study_uid}.1.1"
        ds.PatientName, ds.PatientID, ds.StudyID, ds.Modality = "Bench^Mark", study_uid[-12:], "1", "CT"
        ds.StudyDate, ds.StudyTime, ds.AccessionNumber = "20260101", "120000", study_uid[-12:]
        ds.SeriesNumber, ds.InstanceNumber = 1, 1
        stream = io.BytesIO()
        ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
