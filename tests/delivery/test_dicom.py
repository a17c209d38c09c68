"""C-STORE to real archives: every file gets its answer, in its own transfer syntax, bit by bit."""

from pathlib import Path

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from delivery.dicom import echo, is_transient, send
from domain.destinations import Destination
from domain.errors import PermanentError, TransientError
from sr_writer.results import documents
from tests import peers
from tests.ct_series import Series, part10
from tests.sr_writer import cases, colour_cases
from tests.sr_writer.reading import saved

CT_ONLY = """
[[TransferSyntaxes]]
[Plain]
TransferSyntax1 = LittleEndianExplicit
[[PresentationContexts]]
[CT]
PresentationContext1 = CTImageStorage\\Plain
[[Profiles]]
[CT]
PresentationContexts = CT
"""


def to(port: int, ae_title: str = "ANY", **other: object) -> Destination:
    return Destination("pacs", "dicom", "127.0.0.1", port, ae_title, "ANCILLA", timeout_seconds=5.0, **other)  # type: ignore[arg-type]


def written(folder: Path, series: Series) -> list[Path]:
    files = []
    for number, ds in enumerate(series.datasets()):
        files.append(folder / f"{series.seed}-{number}.dcm")
        files[-1].write_bytes(part10(ds))
    return files


def data_set(file: bytes) -> bytes:
    """What stands behind the file meta information."""
    length = int.from_bytes(file[140:144], "little")
    return file[144 + length :]


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return written(tmp_path, Series(slices=5))


@pytest.mark.peer
def test_every_instance_reaches_dcmtk_bit_by_bit_on_one_association(images: list[Path]) -> None:
    with peers.storescp("+B") as scp:
        sent = send(to(scp.port), images)
        log = (scp.folder.parent / "log").read_text()
        kept = {pydicom.dcmread(file).SOPInstanceUID: data_set(file.read_bytes()) for file in scp.files()}
    assert [one.status for one in sent] == [0] * 5
    assert log.count("Association Acknowledged") == 1
    assert log.count("Association Release") == 1
    assert kept == {pydicom.dcmread(file).SOPInstanceUID: data_set(file.read_bytes()) for file in images}


@pytest.mark.peer
def test_orthanc_keeps_what_was_sent(images: list[Path]) -> None:
    with peers.orthanc() as pacs:
        echo(to(pacs.port, pacs.ae_title))
        sent = send(to(pacs.port, pacs.ae_title), images)
        kept = pacs.datasets("CT")
    assert all(one.accepted for one in sent)
    assert {ds.SOPInstanceUID for ds in kept} == {one.sop_instance_uid for one in sent}
    original = {(ds := pydicom.dcmread(file)).SOPInstanceUID: ds.PixelData for file in images}
    assert all(original[ds.SOPInstanceUID] == ds.PixelData for ds in kept)


@pytest.mark.peer
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless])
def test_a_file_goes_in_the_transfer_syntax_it_is_written_in(tmp_path: Path, syntax: pydicom.uid.UID) -> None:
    ds = Series(slices=1).datasets()[0]
    if syntax == RLELossless:
        ds.compress(RLELossless)
    elif syntax == ExplicitVRBigEndian:
        ds["PixelData"].value = bytes(b for pair in zip(ds.PixelData[1::2], ds.PixelData[::2], strict=True) for b in pair)
    ds.file_meta.TransferSyntaxUID = syntax
    file = tmp_path / "image.dcm"
    ds.save_as(file, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian, enforce_file_format=True)
    with peers.storescp("+B") as scp:
        assert send(to(scp.port), [file])[0].status == 0
        (kept,) = scp.files()
        assert pydicom.dcmread(kept).file_meta.TransferSyntaxUID == syntax
        assert data_set(kept.read_bytes()) == data_set(file.read_bytes())


@pytest.mark.peer
@pytest.mark.data
def test_real_compressed_images_go_as_they_are(real_images: Path) -> None:
    files = sorted((real_images / "chest_ct" / "covid_ct_md_normal001").glob("*.dcm"))[:20]
    with peers.storescp("+B") as scp:
        sent = send(to(scp.port), files)
        kept = {pydicom.dcmread(file).SOPInstanceUID: data_set(file.read_bytes()) for file in scp.files()}
    assert [one.status for one in sent] == [0] * 20
    assert kept == {pydicom.dcmread(file).SOPInstanceUID: data_set(file.read_bytes()) for file in files}


@pytest.mark.peer
def test_what_the_pacs_does_not_take_is_answered_and_the_rest_still_goes(tmp_path: Path, images: list[Path]) -> None:
    profile = tmp_path / "ct-only.cfg"
    profile.write_text(CT_ONLY)
    (other,) = written(tmp_path, Series(slices=1, seed="mr", tags={"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}))
    (implicit,) = written(tmp_path, Series(slices=1, seed="implicit"))
    ds = pydicom.dcmread(implicit)
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    ds.save_as(implicit, implicit_vr=True, little_endian=True)
    with peers.storescp("-xf", str(profile), "CT") as scp:
        sent = send(to(scp.port), [images[0], other, images[1], implicit])
        assert len(scp.files()) == 2
    assert [one.status for one in sent] == [0, 0x0122, 0, 0x0122]
    assert sent[1].comment == "not accepted: MR Image Storage in Explicit VR Little Endian"
    assert "Implicit VR Little Endian" in sent[3].comment
    assert not sent[1].accepted


@pytest.mark.peer
def test_an_archive_that_takes_implicit_vr_only_gets_it_and_the_same_content(tmp_path: Path, images: list[Path]) -> None:
    with peers.storescp("+xi", "+B") as scp:
        sent = send(to(scp.port), images)
        kept = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, scp.files())}
    assert [one.status for one in sent] == [0] * 5
    assert {ds.file_meta.TransferSyntaxUID for ds in kept.values()} == {ImplicitVRLittleEndian}
    for file in images:
        original = pydicom.dcmread(file)
        ds = kept[original.SOPInstanceUID]
        assert [element.tag for element in ds] == [element.tag for element in original]
        assert ds.PixelData == original.PixelData and ds.PatientName == original.PatientName


@pytest.mark.peer
def test_results_of_every_kind_survive_the_way_into_implicit_vr(tmp_path: Path) -> None:
    files = []
    for case in (cases.positive(outputs=("sr", "seg", "sc", "gsps", "pdf", "kos")), colour_cases.microscope(outputs=("ann",))):
        for document in documents(*case.arguments):
            files.append(tmp_path / f"{document.role}.dcm")
            files[-1].write_bytes(saved(document))
    with peers.storescp("+xi", "+B") as scp:
        assert [one.status for one in send(to(scp.port), files)] == [0] * len(files)
        kept = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, scp.files())}
    for file in files:
        original = pydicom.dcmread(file)
        found, expected = kept[original.SOPInstanceUID].to_json_dict(), original.to_json_dict()
        for pixels in (found.get("7FE00010", {}), expected.get("7FE00010", {})):
            pixels.pop("vr", None)  # implicit VR has none: the reader takes OW (PS3.5 A.1)
        assert found == expected, file.name


@pytest.mark.peer
def test_more_kinds_than_an_association_can_negotiate_take_a_second_one(tmp_path: Path) -> None:
    files = written(tmp_path, Series(slices=150, size=2))
    for number, file in enumerate(files):
        ds = pydicom.dcmread(file)
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = f"1.2.3.4.{number}"
        ds.save_as(file, enforce_file_format=True)
    with peers.storescp("--promiscuous") as scp:
        sent = send(to(scp.port), files)
        log = (scp.folder.parent / "log").read_text()
        assert len(scp.files()) == 150
    assert [one.status for one in sent] == [0] * 150
    assert log.count("Association Acknowledged") == 2


@pytest.mark.peer
@pytest.mark.parametrize("pdu", ["4096", "131072"])
def test_the_pdu_length_of_the_peer_is_respected(images: list[Path], pdu: str) -> None:
    with peers.storescp("-pdu", pdu) as scp:
        assert all(one.status == 0 for one in send(to(scp.port), images))
        assert len(scp.files()) == 5


@pytest.mark.peer
@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--refuse", "rejected the association"),
        ("--abort-after", "aborted|closed|broke"),
        ("--abort-during", "aborted|closed|broke"),
    ],
)
def test_a_peer_that_refuses_or_aborts_is_tried_again_later(images: list[Path], option: str, words: str) -> None:
    with peers.storescp(option) as scp, pytest.raises(TransientError, match=words):
        send(to(scp.port), images)


@pytest.mark.peer
def test_a_wrong_called_ae_title_is_named_in_the_error(images: list[Path]) -> None:
    with peers.orthanc() as pacs, pytest.raises(TransientError, match="called AE title not recognised"):
        send(to(pacs.port, "SOMEBODY"), images)


def test_nobody_there_is_transient_and_says_who(images: list[Path]) -> None:
    port = peers.free_port()
    with pytest.raises(TransientError, match=rf"pacs \(ANY at 127.0.0.1:{port}\) cannot be reached: connection refused"):
        send(to(port), images)
    with pytest.raises(TransientError, match="cannot be reached"):
        echo(to(port))


def test_a_file_that_is_not_dicom_is_named_by_its_number_alone(tmp_path: Path, images: list[Path]) -> None:
    bad = tmp_path / "Doe^Jane.dcm"
    bad.write_bytes(b"no image")
    with pytest.raises(PermanentError, match="file 2 is not a DICOM file") as caught:
        send(to(peers.free_port()), [images[0], bad])
    assert "Doe" not in str(caught.value)


def test_only_a_lack_of_resources_and_failures_of_processing_are_worth_another_attempt() -> None:
    assert [is_transient(status) for status in (0xA700, 0xA7FF, 0x0110, 0x0213)] == [True] * 4
    assert [is_transient(status) for status in (0, 0xB000, 0x0122, 0x0124, 0xA900, 0xC000)] == [False] * 6
