"""A folder as destination: whole files under their UIDs, the same again when sent again."""

from pathlib import Path

import pydicom
import pytest

from delivery.folder import send
from domain.destinations import Destination
from domain.errors import PermanentError, TransientError
from tests.ct_series import Series, part10


def to(folder: Path) -> Destination:
    return Destination("results", "folder", path=str(folder))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "source.dcm"
    file.write_bytes(part10(Series(slices=1).datasets()[0]))
    return file


def test_a_file_appears_under_its_instance_uid_with_equal_bytes(tmp_path: Path, image: Path) -> None:
    uid = pydicom.dcmread(image).SOPInstanceUID
    sent = send(to(tmp_path / "out"), [image])
    assert [(one.sop_instance_uid, one.status) for one in sent] == [(uid, 0)]
    assert [file.name for file in (tmp_path / "out").iterdir()] == [f"{uid}.dcm"]
    assert (tmp_path / "out" / f"{uid}.dcm").read_bytes() == image.read_bytes()


def test_sending_again_leaves_one_file(tmp_path: Path, image: Path) -> None:
    send(to(tmp_path / "out"), [image])
    send(to(tmp_path / "out"), [image, image])
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_a_share_that_is_not_mounted_is_tried_again_later(tmp_path: Path, image: Path) -> None:
    with pytest.raises(TransientError, match="cannot be written: No such file or directory"):
        send(to(tmp_path / "absent" / "out"), [image])


def test_a_path_that_is_no_folder_is_an_error(tmp_path: Path, image: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(TransientError, match="cannot be written"):
        send(to(tmp_path / "out"), [image])


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_a_uid_that_is_a_path_never_becomes_one(tmp_path: Path) -> None:
    ds = Series(slices=1).datasets()[0]
    content = part10(ds).replace(ds.SOPInstanceUID.encode(), ("../" * 30)[: len(ds.SOPInstanceUID)].encode(), 1)
    file = tmp_path / "evil.dcm"
    file.write_bytes(content)
    with pytest.raises(PermanentError, match="unusable SOP Instance UID"):
        send(to(tmp_path / "out"), [file])
    assert not (tmp_path / "out").exists()


def test_what_is_not_dicom_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "note.txt"
    file.write_text("hello")
    with pytest.raises(PermanentError, match="file 1 is not a DICOM file"):
        send(to(tmp_path / "out"), [file])
