"""Studies of images and slides through a whole order: the objects pass the validators, and every answer is written."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from domain.jobs import Answer, Order, Outcome
from inference.package import load
from inference.source import open_source
from node import work
from tests import image_objects as objects
from tests.ct_series import part10
from tests.inference import image_package
from tests.inference.image_package import field, scan
from tests.node.test_work import AT
from tests.sr_writer.test_peers import NOISE, PIXELMED, complaints, run

pytestmark = pytest.mark.peer

# Dicom3tools of 2022 does not know it in reports; it is copied with what else is known of the study.
QUIET = (*NOISE, "Burned In Annotation")
Analyse = Callable[..., tuple[Answer, dict[str, Path]]]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("packages")
    spots, blob = image_package.write_spots(root / "spots"), image_package.write_blob(root / "blob")
    slide = image_package.write_spots(root / "slide", image_package.SLIDE_TOML)
    return {folder.name: image_package.sealed(folder) for folder in (spots, blob, slide)}


@pytest.fixture
def analyse(packages: dict[str, Path], tmp_path: Path) -> Analyse:
    def answer(package: str, *datasets: Dataset, outputs: tuple[str, ...] = ("seg", "sr")) -> tuple[Answer, dict[str, Path]]:
        order = Order(
            job_id=1,
            token=1,
            study_uid=str(datasets[0].StudyInstanceUID),
            revision=1,
            package=str(packages[package]),
            package_digest=load(packages[package]).digest,
            input_digest="ab" * 32,
            instances=(),
            spool_dir="",
            out_dir=str(tmp_path / "results"),
            data_dir=str(tmp_path),
            started_at=AT,
            institution="Test",
            device_uid="2.25.1",
            outputs=outputs,
            threads=1,
        )
        given = work.respond(order, lambda: [open_source(part10(ds)) for ds in datasets])
        return given, {artifact.role: tmp_path / artifact.path for artifact in given.artifacts}

    return answer


def assert_valid(files: dict[str, Path], pixelmed: bool = True) -> None:
    """By dciodvfy, and the report by PixelMed too, which takes seconds."""
    for role, path in files.items():
        if path.suffix != ".dcm":
            continue
        found = [line for line in complaints(run("dciodvfy", path), "Error", "Warning", "Abort") if not _quiet(line)]
        assert (role, found) == (role, [])
    if not pixelmed:
        return
    said = run(*PIXELMED, files["sr"])
    assert "IOD validation complete" in said
    assert [line for line in said.splitlines() if "Error" in line] == []


def _quiet(line: str) -> bool:
    return any(noise in line for noise in QUIET)


def test_a_cine_with_a_nodule_becomes_an_outline_and_a_segmentation_of_its_frames(analyse: Analyse) -> None:
    frames = np.stack([scan((80 + i, 60, 30, 20), seed=i) for i in range(4)])
    answer, files = analyse("blob", objects.ultrasound(frames, [objects.region((0, 0, 191, 127), (0.02, 0.02))]))
    assert answer.outcome is Outcome.POSITIVE
    assert_valid(files)
    seg = pydicom.dcmread(files["seg"])
    sources = [g.DerivationImageSequence[0].SourceImageSequence[0] for g in seg.PerFrameFunctionalGroupsSequence]
    assert [int(source.ReferencedFrameNumber) for source in sources] == [1, 2, 3, 4]
    assert {source.ReferencedSOPClassUID.name for source in sources} == {"Ultrasound Multi-frame Image Storage"}
    told = run("dsrdump", "+Pc", files["sr"])
    assert '(103339001,SCT,"Long Axis")="1' in told
    assert '(composition,99TEST,"Composition")=(solid,99TEST,"Solid")' in told


def test_a_smear_is_graded_and_its_best_fields_are_named(analyse: Analyse) -> None:
    images = [objects.field(field(spots), number) for number, spots in enumerate(([(30, 30), (90, 90)], [], [(60, 60)]), 1)]
    answer, files = analyse("spots", *images)
    assert answer.outcome is Outcome.POSITIVE
    assert_valid(files, pixelmed=False)
    told = run("dsrdump", "+Pc", files["sr"])
    assert '(grade,99TEST,"Smear grade")=(2plus,99TEST,"2+")' in told
    evidence = pydicom.dcmread(files["sr"]).CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    named = {str(item.ReferencedSOPInstanceUID) for series in evidence for item in series.ReferencedSOPSequence}
    assert {str(images[0].SOPInstanceUID), str(images[2].SOPInstanceUID)} <= named


def test_the_coordinates_on_a_slide_are_those_of_its_total_pixel_matrix(analyse: Analyse) -> None:
    pixels = field([(20, 30), (255, 200)], 300, 400)
    answer, files = analyse("slide", objects.level(pixels, 128, 0.5, 1), objects.level(pixels[::4, ::4], 128, 2.0, 2))
    assert answer.outcome is Outcome.POSITIVE
    assert_valid(files)
    scoords = list(_scoords(pydicom.dcmread(files["sr"])))
    assert {item.get("PixelOriginInterpretation") for item in scoords} == {"VOLUME"}
    columns = [float(v) for item in scoords for v in item.GraphicData[::2]]
    assert max(columns) == 400


def _scoords(dataset: Dataset) -> Iterator[Dataset]:
    for item in dataset.get("ContentSequence", ()):
        if item.ValueType == "SCOORD":
            yield item
        yield from _scoords(item)


@pytest.mark.parametrize(
    ("package", "dataset", "outcome"),
    [
        ("blob", objects.ultrasound(scan(None)), Outcome.NEGATIVE),
        ("blob", objects.ultrasound(np.zeros((128, 192, 3), np.uint8)), Outcome.NOT_ANALYSED),
        ("spots", objects.field(field([])), Outcome.NEGATIVE),
        ("slide", objects.field(field([])), Outcome.NOT_ANALYSED),
        ("slide", objects.level(np.full((300, 400, 3), 245, np.uint8), 128, 0.5), Outcome.NOT_ANALYSED),
    ],
    ids=["no nodule", "blank", "no bacilli", "no slide", "no tissue"],
)
def test_every_other_answer_is_a_valid_report_too(package: str, dataset: Dataset, outcome: Outcome, analyse: Analyse) -> None:
    answer, files = analyse(package, dataset)
    assert answer.outcome is outcome
    assert [role for role in files if role == "seg"] == []
    assert_valid(files, pixelmed=dataset.Modality == "US" and outcome is Outcome.NEGATIVE)
