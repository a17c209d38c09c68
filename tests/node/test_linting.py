"""`ancilla lint` judges what anybody wrote: good results, broken ones, images beside them, and files made to hurt."""

import io
import json
import random
import zlib
from copy import deepcopy
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from node.__main__ import main
from node.linting import judge
from sr_writer.results import documents
from tests.ct_series import Series, part10
from tests.sr_writer import cases
from tests.sr_writer.reading import by_role, saved

CASE = cases.positive(numbers=(1, 2))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Images and results of one study, and a text beside them."""
    folder = tmp_path / "study"
    folder.mkdir()
    for ds in Series().datasets():
        (folder / f"image{ds.InstanceNumber}.dcm").write_bytes(part10(ds))
    for document in documents(*CASE.arguments):
        (folder / f"{document.role}.dcm").write_bytes(saved(document))
    (folder / "notes.txt").write_text("no DICOM")
    return folder


def spoil(study: Path, keyword: str, value: object) -> None:
    ds = deepcopy(by_role(documents(*CASE.arguments))["seg"])
    setattr(ds, keyword, value)
    (study / "seg.dcm").write_bytes(part10(ds))


def test_good_results_beside_their_images_end_with_0(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(study)]) == 0
    said = capsys.readouterr().out
    assert said.count(": good\n") == 3
    assert said.endswith("3 results, 0 with broken rules; 25 other files\n")


def test_an_error_is_named_with_file_rule_and_source_and_ends_with_1(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(study, "FrameOfReferenceUID", "1.2.3")
    assert main(["lint", str(study)]) == 1
    said = capsys.readouterr().out
    assert "error    frame-of-reference: Frame of Reference UID is not the images'  [PS3.3 C.8.20.3]" in said
    assert main(["lint", str(study / "seg.dcm")]) == 0  # without the images there is nothing to compare with


def test_a_warning_alone_ends_with_0(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(study, "SegmentsOverlap", "YES")
    assert main(["lint", str(study)]) == 0
    assert "warning  apart:" in capsys.readouterr().out


def test_for_programs_the_same_is_json(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(study, "SegmentsOverlap", "YES")
    assert main(["lint", "--json", str(study)]) == 0
    said = {Path(entry["file"]).name: entry for entry in json.loads(capsys.readouterr().out)}
    assert said["sr.dcm"]["broken"] == []
    (broken,) = said["seg.dcm"]["broken"]
    assert (broken["rule"], broken["level"], said["seg.dcm"]["sop_class_uid"]) == (
        "apart",
        "warning",
        "1.2.840.10008.5.1.4.1.1.66.4",
    )


def test_pixels_cut_off_are_noticed_without_reading_them(study: Path) -> None:
    ds = by_role(documents(*CASE.arguments))["seg"]
    ds.PixelData = ds.PixelData[:-100]
    (study / "seg.dcm").write_bytes(part10(ds))
    (broken,) = [each for judgement in judge([study])[0] for each in judgement.broken]
    assert broken.rule == "pixels-complete"


def test_a_named_file_that_is_no_dicom_is_an_error(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(study / "notes.txt")]) == 1
    assert "readable" in capsys.readouterr().out
    assert main(["lint", str(study / "nowhere.dcm")]) == 1


def nested(depth: int) -> bytes:
    ds = Dataset()
    for _ in range(depth):
        outer = Dataset()
        outer.ValueType, outer.ContentSequence = "CONTAINER", [ds]
        ds = outer
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.3"
    ds.file_meta = deepcopy(by_role(documents(*CASE.arguments))["sr"].file_meta)
    return part10(ds)


def bomb() -> bytes:
    ds = by_role(documents(*CASE.arguments))["sr"]
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    stream = io.BytesIO()
    write_file_meta_info(stream, ds.file_meta)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = b"".join(deflater.compress(bytes(2**24)) for _ in range(20)) + deflater.flush()
    return b"\0" * 128 + b"DICM" + stream.getvalue() + body


def test_files_made_to_hurt_are_judged_not_obeyed(tmp_path: Path) -> None:
    (tmp_path / "nested.dcm").write_bytes(nested(60))
    (tmp_path / "bomb.dcm").write_bytes(bomb())
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "head.dcm").write_bytes(b"\0" * 128 + b"DICM")
    judgements, _ = judge([tmp_path])
    assert {judgement.file.name for judgement in judgements if judgement.broken} >= {"nested.dcm", "bomb.dcm"}


def test_results_with_bytes_changed_at_random_never_stop_the_others_from_being_judged(tmp_path: Path) -> None:
    chance = random.Random(5)
    for document in documents(*CASE.arguments):
        good = saved(document)
        (tmp_path / f"{document.role}-good.dcm").write_bytes(good)
        for number in range(12):
            data = bytearray(good)
            for _ in range(chance.choice([1, 8, 200])):
                data[chance.randrange(len(data))] = chance.randrange(256)
            cut = len(data) if chance.random() < 0.7 else chance.randrange(len(data))
            (tmp_path / f"{document.role}-{number}.dcm").write_bytes(data[:cut])
    judgements, _ = judge([tmp_path])
    assert {j.file.name for j in judgements} >= {"seg-good.dcm", "sr-good.dcm", "sr-volumetric-good.dcm"}
    assert any(j.broken for j in judgements)
