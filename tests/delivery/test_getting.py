"""Studies out of a PACS by C-FIND and C-GET, as they are kept there."""

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import JPEGLSLossless, SecondaryCaptureImageStorage

from delivery import getting
from domain.destinations import Destination
from domain.errors import PermanentError, TransientError
from tests import peers
from tests.ct_series import Series, part10

pytestmark = pytest.mark.peer


def pacs_at(port: int, ae_title: str) -> Destination:
    return Destination("pacs", "dicom", host="127.0.0.1", port=port, ae_title=ae_title, calling_ae="ANCILLA", timeout_seconds=5.0)


def uid(seed: str) -> str:
    return str(Series(slices=1, seed=seed).datasets()[0].StudyInstanceUID)


@pytest.fixture(scope="module")
def orthanc() -> Iterator[peers.Orthanc]:
    with peers.orthanc(extra={"DicomAlwaysAllowFind": True, "DicomAlwaysAllowGet": True}) as pacs:
        yield pacs


@pytest.fixture(scope="module")
def pacs(orthanc: peers.Orthanc) -> Destination:
    """Two studies: one of January with a compressed image and a Secondary Capture, one of March."""
    for seed, date in (("a", "20250110"), ("b", "20250301")):
        for ds in Series(slices=3, seed=seed, tags={"StudyDate": date}).datasets():
            orthanc.post("/instances", part10(ds))
    packed, capture = Series(slices=5, seed="a", tags={"StudyDate": "20250110"}).datasets()[3:]
    packed.compress(JPEGLSLossless)
    packed.SOPInstanceUID = packed.file_meta.MediaStorageSOPInstanceUID = "2.25.7"
    capture.SOPClassUID = capture.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    for ds in (packed, capture):
        orthanc.post("/instances", part10(ds))
    return pacs_at(orthanc.port, orthanc.ae_title)


def test_studies_are_listed_as_they_match(pacs: Destination) -> None:
    assert sorted(getting.studies(pacs)) == sorted([uid("a"), uid("b")])
    assert getting.studies(pacs, [("StudyDate", "20250101-20250131"), ("ModalitiesInStudy", "CT")]) == [uid("a")]
    assert getting.studies(pacs, [("StudyDate", "20240101-20241231")]) == []


def test_a_study_comes_whole_and_in_the_transfer_syntax_it_is_kept_in(
    pacs: Destination, orthanc: peers.Orthanc, tmp_path: Path
) -> None:
    wanted = getting.instances(pacs, uid("a"))
    assert len(wanted) == 5 and set(wanted.values()) == {"1.2.840.10008.5.1.4.1.1.2", SecondaryCaptureImageStorage}
    files = getting.get(pacs, uid("a"), wanted, tmp_path)
    found = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, files)}
    assert set(found) == set(wanted)
    assert found["2.25.7"].file_meta.TransferSyntaxUID == JPEGLSLossless
    kept = {ds.SOPInstanceUID: ds for ds in orthanc.datasets("CT")}
    assert all(found[name] == kept[name] for name in found)


def test_what_is_listed_and_not_given_back_is_no_study(pacs: Destination, tmp_path: Path) -> None:
    wanted = getting.instances(pacs, uid("b"))
    with pytest.raises(TransientError, match="gave back 3 of 4 instances"):
        getting.get(pacs, uid("b"), wanted | {"1.2.3.4": next(iter(wanted.values()))}, tmp_path)


def test_a_disk_that_is_full_is_not_the_archives_fault(pacs: Destination, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        getting.get(pacs, uid("b"), getting.instances(pacs, uid("b")), tmp_path / "gone")


@pytest.mark.parametrize(
    ("wanted", "words"),
    [({"1.2": ""}, "does not say"), ({}, "does not say"), ({f"1.{n}": f"1.2.840.{n}" for n in range(20)}, "SOP Classes")],
)
def test_a_study_that_cannot_be_asked_for_is_said_to_be(
    pacs: Destination, tmp_path: Path, wanted: dict[str, str], words: str
) -> None:
    with pytest.raises(PermanentError, match=words):
        getting.get(pacs, uid("b"), wanted, tmp_path)


def test_a_peer_without_these_services_is_said_to_have_none(tmp_path: Path) -> None:
    with peers.storescp() as other:
        here = pacs_at(other.port, other.ae_title)
        with pytest.raises(PermanentError, match="gives nothing back by C-GET"):
            getting.get(here, uid("b"), {"1.2": "1.2.840.10008.5.1.4.1.1.2"}, tmp_path)
        with pytest.raises(TransientError):
            getting.studies(here)
