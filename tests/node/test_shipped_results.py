"""The answers of the models that ship, each to its sample study, in software that is not ours: no error, the same content."""

import json
import sys
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from tests import peers
from tests.shipped import IDS, Shipped, answered
from tests.sr_writer import test_companions, test_peers
from tests.sr_writer.reading import groups, tracking
from tests.sr_writer.test_peers import PIXELMED, complaints, nrrd, run

pytestmark = pytest.mark.peer
NOISE = (*test_peers.NOISE, *test_companions.NOISE)
REPORTS = ("sr", "sr-volumetric", "sr-comprehensive", "sr-enhanced")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shipped]:
    return {model: answered(model, tmp_path_factory.mktemp(model)) for model in IDS}


def roles(shipped: dict[str, Shipped], *starts: str) -> list[tuple[str, str]]:
    return [(model, role) for model, made in shipped.items() for role in made.files if role.startswith(starts)]


def test_each_model_finds_something_in_its_sample_and_says_it_in_every_form(shipped: dict[str, Shipped]) -> None:
    for model, made in shipped.items():
        assert made.answer.outcome == "positive", model
        assert {role.split("-")[0] for role in made.files} >= {"sr", "sc", "gsps", "pdf", "kos"}, model
    assert {model for model, _ in roles(shipped, "seg")} == {"chest-ct-opacity", "thyroid-us-nodule"}
    assert {model for model, _ in roles(shipped, "ann")} == {"tb-smear-afb", "cervical-lbc"}
    assert roles(shipped, "sr-volumetric") == [("chest-ct-opacity", "sr-volumetric")], "others have no numbers of volumes"


def test_dciodvfy_finds_no_fault_in_any_object_of_any_model(shipped: dict[str, Shipped]) -> None:
    found = {}
    for model, role in roles(shipped, ""):
        lines = complaints(run("dciodvfy", shipped[model].files[role]), "Error", "Warning", "Abort")
        found[model, role] = [line for line in lines if not any(noise in line for noise in NOISE)]
    assert {key: lines for key, lines in found.items() if lines} == {}


def test_pixelmed_finds_no_error_in_the_reports_of_any_model(shipped: dict[str, Shipped]) -> None:
    kinds = [*((model, "sr") for model in IDS), ("chest-ct-opacity", "sr-volumetric")]
    with ThreadPoolExecutor(2) as pool:  # seconds for each virtual machine
        outputs = dict(zip(kinds, pool.map(lambda key: run(*PIXELMED, shipped[key[0]].files[key[1]]), kinds), strict=True))
    for output in outputs.values():
        assert "Found Root Template TID_1500 (MeasurementReport)" in output and "IOD validation complete" in output
    errors = {key: [line for line in output.splitlines() if "Error" in line] for key, output in outputs.items()}
    assert {key: lines for key, lines in errors.items() if lines} == {}


def test_dcmtk_and_highdicom_read_every_report_of_every_model(shipped: dict[str, Shipped]) -> None:
    for model, role in roles(shipped, *REPORTS):
        file = shipped[model].files[role]
        output = run("dsrdump", "+Pl", file)
        assert complaints(output, "E:", "W:", "F:") == [], (model, role)
        assert shipped[model].answer.summary in output and "not for primary diagnosis" in output
        report = hd.sr.srread(file)
        assert len(report.content._find_measurement_groups()) == len(groups(report)) > 0


def test_dcmqi_reads_every_group_of_every_report_of_measurements(shipped: dict[str, Shipped], tmp_path: Path) -> None:
    tool, target = Path(sys.executable).parent / "tid1500reader", tmp_path / "report.json"
    for model, role in [(m, r) for m, r in roles(shipped, "sr") if r in ("sr", "sr-volumetric")]:
        target.unlink(missing_ok=True)
        output = run(tool, "--inputDICOM", shipped[model].files[role], "--outputMetadata", target)
        assert target.exists(), (model, role, output)
        read = {group.get("TrackingIdentifier") for group in json.loads(target.read_text())["Measurements"]}
        assert {tracking(group)[0] for group in groups(shipped[model].dataset(role))} == read, (model, role)


def test_dcmqi_and_highdicom_read_the_same_voxels_in_every_segmentation(shipped: dict[str, Shipped], tmp_path: Path) -> None:
    tool = Path(sys.executable).parent / "segimage2itkimage"
    for model, role in roles(shipped, "seg"):
        file, folder = shipped[model].files[role], tmp_path / f"{model}-{role}"
        seg = hd.seg.segread(file)
        counted: Counter[int] = Counter()
        for frame, group in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
            counted[int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)] += int(frame.sum())
        assert set(counted) == {int(item.SegmentNumber) for item in seg.SegmentSequence} and min(counted.values()) > 0
        if model == "thyroid-us-nodule":
            continue  # dcmqi reads nothing without a position
        folder.mkdir()
        output = run(tool, "--inputDICOM", file, "--outputDirectory", folder, "--outputType", "nrrd")
        assert "ERROR" not in output.upper(), output
        read = [nrrd(path) for path in folder.glob("*.nrrd")]
        assert {number: sum(int(np.sum(each == number)) for each in read) for number in counted} == dict(counted)


def test_what_dicomweb_gives_back_is_what_was_stored(shipped: dict[str, Shipped]) -> None:
    with peers.orthanc(web=True) as pacs:
        for model, role in roles(shipped, "s", "gsps", "pdf", "kos"):
            file = shipped[model].files[role]
            pacs.post("/instances", file.read_bytes())
            ds = pydicom.dcmread(file)
            path = f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
            assert fetched(pacs, path) == file.read_bytes(), (model, role)


def fetched(pacs: peers.Orthanc, path: str) -> bytes:
    """One instance by WADO-RS, in the transfer syntax it is stored in (PS3.18 section 10.4)."""
    wanted = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    request = urllib.request.Request(f"http://127.0.0.1:{pacs.http_port}/dicom-web{path}", headers=wanted)
    with urllib.request.urlopen(request, timeout=60) as answer:
        boundary = answer.headers["Content-Type"].split("boundary=")[1].split(";")[0].strip('"')
        body = answer.read()
    part = body.split(b"--" + boundary.encode())[1]
    return bytes(part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n"))
