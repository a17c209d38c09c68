"""Reports about every kind of image and of any number of findings, in software that is not ours."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import highdicom as hd
import pytest

from sr_writer.results import documents
from tests.ct_series import Series
from tests.sr_writer import cases, colour_cases, grids
from tests.sr_writer.reading import saved
from tests.sr_writer.test_many_groups import findings, with_findings
from tests.sr_writer.test_peers import PIXELMED, complaints, run

pytestmark = pytest.mark.peer


def many(base: cases.Case, count: int, frame: int | None = None) -> cases.Case:
    return with_findings(base, findings(base, count, frame))


CASES = {
    "one": many(cases.positive(outputs=("sr",)), 1),
    "hundred": many(cases.positive(outputs=("sr",)), 100),
    "ten thousand": many(cases.positive(outputs=("sr",)), 10_000),
    "slide": colour_cases.slide(outputs=("sr",)),
    "loop": colour_cases.without_pixels(colour_cases.loop(outputs=("sr",))),
    "photograph": colour_cases.microscope(outputs=("sr",)),
    "frames": many(grids.case(grids.enhanced(6, 64, 64), outputs=("sr",)), 2, frame=4),
    "oblique": many(cases.positive(Series(orientation=(0.8, 0.6, 0.0, -0.48, 0.64, 0.6)), outputs=("sr",)), 2),
}
VALIDATED = [name for name in CASES if name != "ten thousand"]  # by PixelMed, which takes 45 s for a thousand findings


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    written = {}
    for name, case in CASES.items():
        written[name] = folder / f"{name.replace(' ', '-')}.dcm"
        (document,) = documents(*case.arguments)
        written[name].write_bytes(saved(document))
    return written


def test_dciodvfy_and_dcmtk_find_no_fault_in_any_of_them(files: dict[str, Path]) -> None:
    for name, file in files.items():
        assert complaints(run("dciodvfy", file), "Error", "Warning", "Abort") == [], name
        said = run("dsrdump", "+Pl", file)
        assert complaints(said, "E:", "W:", "F:") == [], name
        told = re.findall(r'"Tracking Identifier"\)="([^"]+)"', said)
        expected = [finding.tracking_id for finding in CASES[name].analysis.findings]
        assert told[-len(expected) :] == expected, name


def test_pixelmed_finds_no_error_in_any_of_them(files: dict[str, Path]) -> None:
    with ThreadPoolExecutor(2) as pool:
        outputs = dict(zip(VALIDATED, pool.map(lambda name: run(*PIXELMED, files[name]), VALIDATED), strict=True))
    for name, output in outputs.items():
        assert "Found Root Template TID_1500 (MeasurementReport)" in output and "IOD validation complete" in output, name
        assert [line for line in output.splitlines() if "Error" in line] == [], name


@pytest.mark.parametrize("name", [name for name in CASES if name != "ten thousand"])
def test_highdicom_reads_every_group_with_its_outline(name: str, files: dict[str, Path]) -> None:
    report = hd.sr.srread(files[name])
    planar = {group.tracking_identifier: group for group in report.content.get_planar_roi_measurement_groups()}
    outlined = {f.tracking_id: f.outline for f in CASES[name].analysis.findings if f.outline is not None}
    assert outlined and set(outlined) <= set(planar)
    for identifier, outline in outlined.items():
        roi = planar[identifier].roi
        written = {(round(float(x), 3), round(float(y), 3)) for x, y in roi.value}
        assert {(round(float(x), 3), round(float(y), 3)) for x, y in outline.points.astype("f4")} <= written
        (source,) = roi.ContentSequence
        assert source.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == outline.sop_instance_uid
        assert source.ReferencedSOPSequence[0].get("ReferencedFrameNumber") == outline.frame
