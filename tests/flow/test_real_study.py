"""The whole job with programs that are not ours: DCMTK sends a real chest CT, Orthanc receives the answer."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from tests import peers, serving
from tests.flow import lung_reference, reading

pytestmark = [pytest.mark.peer, pytest.mark.data]

LUNGS = {"Left lung", "Right lung"}


@dataclass(frozen=True)
class Answered:
    """What is in Orthanc after the job."""

    source: list[Path]
    reports: list[Dataset]
    segmentation: Dataset
    files: list[Path]
    shown: dict[str, object]


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory, real_images: Path) -> Iterator[Answered]:
    folder = tmp_path_factory.mktemp("real")
    source = sorted((real_images / "chest_ct" / "covid_ct_md_normal001").glob("*.dcm"))
    study_uid = str(pydicom.dcmread(source[0], stop_before_pixels=True).StudyInstanceUID)
    model = {"package": "chest-ct-opacity", "send_to": ["pacs"], "when": {"Modality": "CT"}}
    with peers.orthanc(web=True) as pacs:
        compute = {"threads": 0}
        node = serving.prepare(folder, models=[model], destinations=[serving.pacs(pacs)], compute=compute)
        with serving.serving(node):
            peers.storescu(node.port, source, "-xs", called="ANCILLA", calling=serving.CALLER)
            peers.wait_for(lambda: delivered(node, study_uid), "the answer", 300, node.alive)
            shown = node.ask("show", study_uid)
        reports, (segmentation,) = pacs.datasets("SR"), pacs.datasets("SEG")
        files = []
        for instance in [*pacs.instances("SR"), *pacs.instances("SEG")]:
            files.append(folder / f"{instance}.dcm")
            files[-1].write_bytes(pacs.file(instance))
        yield Answered(source, reports, segmentation, files, shown)


def delivered(node: serving.Node, study_uid: str) -> bool:
    found = {job["kind"]: job["state"] for job in node.ask("jobs") if job["study_uid"] == study_uid}
    assert "failed" not in found.values(), node.log()[-3000:]
    return found.get("deliver") == "done"


def volumes(seg: Dataset) -> dict[str, float]:
    """Litres of each segment of a BINARY SEG, counted bit by bit, by the label of the segment."""
    shared = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    distance = float(shared.get("SpacingBetweenSlices", shared.SliceThickness))
    voxel = distance * float(shared.PixelSpacing[0]) * float(shared.PixelSpacing[1])
    numbers = [
        int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber) for group in seg.PerFrameFunctionalGroupsSequence
    ]
    counts = seg.pixel_array.reshape(len(numbers), -1).sum(axis=1, dtype=np.int64)
    labels = {int(one.SegmentNumber): str(one.SegmentLabel) for one in seg.SegmentSequence}
    found = dict.fromkeys(labels.values(), 0.0)
    for number, count in zip(numbers, counts, strict=True):
        found[labels[number]] += float(count) * voxel / 1e6
    return found


def test_all_images_were_received_and_the_answer_is_one_study_with_them(answered: Answered) -> None:
    study = answered.shown["study"]
    assert isinstance(study, dict)
    assert study["instances"] == len(answered.source) == 154
    uids = {str(one.StudyInstanceUID) for one in [*answered.reports, answered.segmentation]}
    assert uids == {study["study_uid"]}
    assert answered.reports


def test_the_lungs_have_the_volume_that_threshold_and_morphology_give(answered: Answered) -> None:
    found = volumes(answered.segmentation)
    lungs = sum(found[label] for label in LUNGS)
    hu, spacing = lung_reference.read(answered.source)
    reference = lung_reference.litres(lung_reference.lungs(hu, spacing), spacing)
    assert 1.5 < lungs < 8.0
    assert min(found[label] for label in LUNGS) > 0.5
    assert lungs == pytest.approx(reference, rel=0.10)


def test_a_normal_chest_has_next_to_no_opacity(answered: Answered) -> None:
    found = volumes(answered.segmentation)
    opacity = sum(litres for label, litres in found.items() if label not in LUNGS)
    assert opacity < 0.03 * sum(found[label] for label in LUNGS)


def test_the_report_gives_the_volumes_of_the_segmentation(answered: Answered) -> None:
    said = [value for report in answered.reports for name, value, unit in reading.measured(report) if unit == "ml"]
    for label, litres in volumes(answered.segmentation).items():
        if label in LUNGS:
            assert any(value == pytest.approx(litres * 1000, rel=0.01) for value in said), label


def test_no_validator_finds_an_error(answered: Answered) -> None:
    assert {file.name: peers.dciodvfy(file) for file in answered.files} == {file.name: [] for file in answered.files}


def test_the_segmentation_lies_on_the_source_images(answered: Answered) -> None:
    sources = {str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in answered.source}
    named = {
        str(image.ReferencedSOPInstanceUID)
        for group in answered.segmentation.PerFrameFunctionalGroupsSequence
        for derivation in group.DerivationImageSequence
        for image in derivation.SourceImageSequence
    }
    assert named
    assert named <= sources
    assert (answered.segmentation.Rows, answered.segmentation.Columns) == (512, 512)
