"""Software that is not ours reads every object without an error, and reads the same in it."""

import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from domain.results import Segment
from sr_writer.comparison import compare
from sr_writer.context import Reference
from sr_writer.prior import read_prior
from sr_writer.results import documents
from tests.ct_series import Series, part10
from tests.sr_writer import cases
from tests.sr_writer.reading import by_role, groups, saved, tracking
from tests.sr_writer.test_charset import NAMES, received

pytestmark = pytest.mark.peer

OBLIQUE = Series(orientation=(0.8, 0.6, 0.0, -0.48, 0.64, 0.6))

# By Saxon: with Java's own XSLT PixelMed's style sheets need limits lifted, ten gigabytes and minutes for a hundred findings.
PIXELMED = [
    "java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",  # most of its few seconds is starting
    "-Djavax.xml.transform.TransformerFactory=net.sf.saxon.TransformerFactoryImpl",
    "-cp", "/usr/share/java/pixelmed.jar:/usr/share/java/Saxon-HE.jar", "com.pixelmed.validate.DicomSRValidator",
]  # fmt: skip

# What tools say about good objects, and why it is no fault.
NOISE = (
    "Unrecognized defined term <99",  # private coding schemes are private
    "DeviceUID", "Device UID",  # (0018,1002) in Contributing Equipment is newer (CP 1891) than this dicom3tools
    "Standard Extended SOP Class",  # follows from it
    "unknown/unsupported SpecificCharacterSet",  # DCMTK reads code extensions of Japanese in images, not in reports
    "VR checker does not support",  # DCMTK does not check text in this character set
)  # fmt: skip


def second_revision() -> cases.Case:
    references = tuple(
        Reference(str(d.dataset.SOPClassUID), str(d.dataset.SOPInstanceUID), str(d.dataset.SeriesInstanceUID))
        for d in documents(*cases.positive().arguments)
    )
    return cases.positive(revision=2, input_digest="cd" * 32, predecessors=references)


def partly() -> cases.Case:
    case = cases.positive()
    return replace(case, analysis=replace(case.analysis, partial=True))


def compared() -> cases.Case:
    """A second study of the patient, with the changes since the first."""
    before, case = cases.positive(Series(seed="before")), cases.positive()
    prior = read_prior(by_role(documents(*before.arguments))["sr"])
    assert prior is not None
    found = compare(case.analysis, prior, "20260101")
    context = replace(
        case.context,
        tracking=found.tracking,
        time_points={name: (point.date, point.order) for name, point in found.points.items()},
        compared=((prior.study_uid, Reference(prior.sop_class_uid, prior.sop_instance_uid, prior.series_uid)),),
    )
    return replace(case, analysis=found.analysis, context=context)


CASES = {
    "positive": cases.positive(),
    "one": cases.positive(numbers=(3,)),
    "negative": cases.negative(),
    "not-analysed": cases.not_analysed(),
    "failed": cases.failed(),
    "revision-2": second_revision(),
    "oblique": cases.positive(OBLIQUE),
    "partly": partly(),
    "compared": compared(),
    "Chinese": cases.not_analysed(language="zh"),
    "GB18030": received(*NAMES["GB18030"]),
    "Japanese": received(*NAMES["Japanese"]),
    "Korean": received(*NAMES["Korean"]),
    "UTF-8": received(*NAMES["UTF-8"]),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """Every object of every case as a file, by case and role."""
    folder = tmp_path_factory.mktemp("results")
    written = {}
    for name, case in CASES.items():
        for document in documents(*case.arguments):
            path = folder / f"{name}-{document.role}.dcm"
            path.write_bytes(saved(document))
            written[name, document.role] = path
    return written


def run(*command: str | Path) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, timeout=120, check=False)
    return (done.stdout + done.stderr).decode(errors="replace")


def complaints(output: str, *starts: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith(starts) and not any(noise in line for noise in NOISE)]


def test_dciodvfy_finds_neither_error_nor_warning_in_any_object(files: dict[tuple[str, str], Path]) -> None:
    found = {key: complaints(run("dciodvfy", path), "Error", "Warning", "Abort") for key, path in files.items()}
    assert {key: lines for key, lines in found.items() if lines} == {}
    assert "Comprehensive3DSR" in run("dciodvfy", files["positive", "sr"])


def test_pixelmed_finds_no_error_in_any_kind_of_report(files: dict[tuple[str, str], Path]) -> None:
    kinds = [("positive", "sr"), ("positive", "sr-volumetric"), ("one", "sr"), ("negative", "sr"), ("compared", "sr")]
    with ThreadPoolExecutor(2) as pool:  # seconds for each virtual machine
        outputs = dict(zip(kinds, pool.map(lambda key: run(*PIXELMED, files[key]), kinds), strict=True))
    for output in outputs.values():
        assert "Found Root Template TID_1500 (MeasurementReport)" in output
        assert "IOD validation complete" in output
    errors = {key: [line for line in output.splitlines() if "Error" in line] for key, output in outputs.items()}
    assert {key: lines for key, lines in errors.items() if lines} == {}


def test_dcmtk_reads_every_report_strictly_and_prints_what_is_said(files: dict[tuple[str, str], Path]) -> None:
    for (name, role), path in files.items():
        if role.startswith("seg"):
            continue
        output = run("dsrdump", "+Pl", path)
        assert complaints(output, "E:", "W:", "F:") == []
        assert CASES[name].analysis.summary in output
        assert "AI result, research use, not for primary diagnosis" in output


@pytest.mark.parametrize("name", ["positive", "one", "oblique", "Korean"])
def test_dcmqi_reads_the_same_voxels_from_the_seg(name: str, files: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    case = CASES[name]
    assert case.analysis.labels is not None
    tool = Path(sys.executable).parent / "segimage2itkimage"
    seen = set()
    for path in segs(name, files):
        folder = tmp_path / path.stem
        folder.mkdir()
        output = run(tool, "--inputDICOM", path, "--outputDirectory", folder, "--outputType", "nrrd")
        assert "ERROR" not in output.upper(), output
        for number, segment in described(pydicom.dcmread(path), case).items():
            found = nrrd(folder / f"{number}.nrrd")
            mask = case.analysis.labels.mask(segment.number)
            assert (found == number).sum() == mask.sum()
            filled = np.flatnonzero(mask.any(axis=(1, 2)))
            np.testing.assert_array_equal((found == number)[np.flatnonzero(found.any(axis=(1, 2)))], mask[filled])
            seen.add(segment)
    assert seen == set(case.analysis.segments)


def segs(name: str, files: dict[tuple[str, str], Path]) -> list[Path]:
    """The Segmentations of one case."""
    return [path for (owner, role), path in files.items() if owner == name and role.startswith("seg")]


def described(seg: Dataset, case: cases.Case) -> dict[int, Segment]:
    """The segments of the case by their number in a SEG."""
    known = {segment.tracking_id: segment for segment in case.analysis.segments}
    return {int(item.SegmentNumber): known[str(item.TrackingID)] for item in seg.SegmentSequence}


def nrrd(path: Path) -> np.ndarray:
    """A label map of dcmqi as (slices, rows, columns)."""
    import gzip

    header, _, data = path.read_bytes().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in header.decode().splitlines() if ": " in line)
    kinds = {"short": "<i2", "unsigned char": "u1", "unsigned short": "<u2", "uint8": "u1"}
    data = gzip.decompress(data) if fields["encoding"] in ("gzip", "gz") else data
    columns, rows, slices = (int(n) for n in fields["sizes"].split())
    return np.frombuffer(data, kinds[fields["type"]]).reshape(slices, rows, columns)


def test_dcmqi_reads_the_measurements_of_the_volumes(files: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "composite"
    folder.mkdir()
    for ds in Series().datasets():
        (folder / f"{ds.InstanceNumber}.dcm").write_bytes(part10(ds))
    for path in segs("positive", files):
        (folder / path.name).write_bytes(path.read_bytes())
    tool, target = Path(sys.executable).parent / "tid1500reader", tmp_path / "report.json"
    output = run(tool, "--inputDICOM", files["positive", "sr-volumetric"], "--outputMetadata", target)
    assert target.exists(), output
    text = target.read_text()
    for finding in CASES["positive"].analysis.findings:
        assert finding.tracking_id in text
        assert f"{finding.measurements[0].value:g}".rstrip("0") in text or str(int(finding.measurements[0].value)) in text


@pytest.mark.parametrize("name", list(CASES))
def test_highdicom_reads_every_object_back(name: str, files: dict[tuple[str, str], Path]) -> None:
    case = CASES[name]
    for (owner, role), path in files.items():
        if owner != name:
            continue
        if role.startswith("seg"):
            assert case.analysis.labels is not None
            seg = hd.seg.segread(path)
            array = seg.get_pixels_by_source_instance(
                case.analysis.labels.sop_instance_uids, assert_missing_frames_are_empty=True
            )
            for number, segment in described(seg, case).items():
                np.testing.assert_array_equal(array[..., number - 1].astype(bool), case.analysis.labels.mask(segment.number))
        else:
            report = hd.sr.srread(path)
            assert len(report.content._find_measurement_groups()) == len(groups(report))


def test_highdicom_finds_outlines_and_volumes_as_such(files: dict[tuple[str, str], Path]) -> None:
    findings = CASES["positive"].analysis.findings
    planar = hd.sr.srread(files["positive", "sr"]).content.get_planar_roi_measurement_groups()
    by_id = {g.tracking_identifier: g for g in planar}
    for finding in findings:
        roi = by_id[finding.tracking_id].roi
        assert finding.outline is not None and roi is not None
        assert {tuple(p) for p in finding.outline.points} <= {tuple(p) for p in roi.value}
    volumes = hd.sr.srread(files["positive", "sr-volumetric"]).content.get_volumetric_roi_measurement_groups()
    assert {g.tracking_identifier for g in volumes} == {f.tracking_id for f in findings}


@pytest.mark.parametrize("name", ["GB18030", "Korean", "UTF-8"])  # DCMTK over the C library knows no ISO 2022 IR 87
def test_dcmtk_turns_names_of_other_scripts_into_the_same_text(name: str, files: dict[tuple[str, str], Path]) -> None:
    if "convert-to-utf8" not in run("dcmdump", "--help"):
        pytest.skip("this DCMTK was built without character set conversion")
    for (owner, _), path in files.items():
        if owner == name:
            assert NAMES[name][1] in run("dcmdump", "+U8", "+P", "PatientName", path)


def test_reading_back_is_done_on_files_not_on_our_own_objects(files: dict[tuple[str, str], Path]) -> None:
    again: Dataset = pydicom.dcmread(io.BytesIO(files["positive", "sr"].read_bytes()))
    expected = by_role(documents(*CASES["positive"].arguments))["sr"]
    assert [tracking(g) for g in groups(again)] == [tracking(g) for g in groups(expected)]
    assert os.fspath(files["positive", "sr"]).endswith(".dcm")
