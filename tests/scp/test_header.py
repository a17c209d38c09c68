"""The header of an object: found in any encoding, from any fragment, with any damage."""

import struct
import zlib
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from domain.errors import UnnameableError
from scp.header import HEAD_LIMIT, HeadReader, read_header, usable_uid
from scp.part10 import split
from tests.scp.objects import dataset, encoded, image
from tests.scp.wire import CT, EXPLICIT, IMPLICIT

BIG, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
SYNTAXES = [
    pytest.param(EXPLICIT, {}, id="explicit"),
    pytest.param(IMPLICIT, {"implicit": True}, id="implicit"),
    pytest.param(BIG, {"big": True}, id="big"),
    pytest.param(DEFLATED, {"deflated": True}, id="deflated"),
]


def with_sequences() -> Dataset:
    """Sequences of every kind before the UIDs, private elements among them."""
    ds = dataset()
    inner = Dataset()
    inner.ReferencedSOPInstanceUID, inner.StudyInstanceUID = "9.9.9", "9.9.8"  # not the ones of this object
    outer = Dataset()
    outer.ReferencedSeriesSequence = Sequence([inner, inner])
    outer.is_undefined_length_sequence_item = True
    ds.ReferencedImageSequence = Sequence([outer, Dataset(), outer])
    ds["ReferencedImageSequence"].is_undefined_length = True
    ds.RequestAttributesSequence = Sequence([inner])
    block = ds.private_block(0x0009, "Vendor", create=True)
    block.add_new(1, "OB", b"x" * 30)
    block.add_new(2, "UN", b"y" * 30)
    return ds


@pytest.mark.parametrize(("syntax", "how"), SYNTAXES)
def test_a_header_is_found_behind_sequences_and_private_elements(syntax: str, how: dict[str, bool]) -> None:
    header = read_header(encoded(with_sequences(), **how), syntax)
    assert (header.sop_class_uid, header.sop_instance_uid) == (CT, "1.2.3.4.1")
    assert (header.study_uid, header.series_uid, header.modality) == ("1.2.3.1", "1.2.3.2", "CT")
    assert header.transfer_syntax_uid == syntax


@pytest.mark.parametrize(("syntax", "how"), SYNTAXES)
@given(cuts=st.lists(st.integers(1, 60), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None)
def test_a_header_is_the_same_however_the_data_set_is_cut(syntax: str, how: dict[str, bool], cuts: list[int]) -> None:
    data = encoded(with_sequences(), **how)
    reader, at, done, turn = HeadReader(syntax), 0, False, 0
    while at < len(data) and not done:
        step = cuts[turn % len(cuts)]
        piece = bytearray(data[at : at + step])
        done = reader.feed(memoryview(piece))
        piece[:] = bytes(len(piece))  # the receiver's buffer is used again
        at, turn = at + step, turn + 1
    assert reader.header() == read_header(data, syntax)


def test_pixels_are_never_waited_for() -> None:
    data = encoded(dataset(pixels=100_000))
    reader = HeadReader(EXPLICIT)
    assert reader.feed(memoryview(data)[:400]) and not reader.held


@pytest.mark.parametrize("name", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_a_missing_uid_is_named(name: str) -> None:
    words = pydicom.datadict.dictionary_description(name)
    with pytest.raises(UnnameableError, match=f"no {words}"):
        read_header(image(**{name: None}), EXPLICIT)
    with pytest.raises(UnnameableError, match=f"no {words}"):
        read_header(image(**{name: ""}), EXPLICIT)


@pytest.mark.parametrize(
    "uid", ["1.2.a", "1..2", ".1", "1.", "../../etc/passwd", "1.2\\1.3", "1" * 65, "1." * 600 + "1", "1.2 .3"]
)
def test_a_uid_that_is_none_is_refused_and_not_quoted(uid: str) -> None:
    with pydicom.config.disable_value_validation(), pytest.raises(UnnameableError, match="is not 1-64 digits and dots") as caught:
        read_header(image(StudyInstanceUID=uid), EXPLICIT)
    assert uid not in str(caught.value) and len(str(caught.value)) <= 64


@pytest.mark.parametrize("uid", ["1.2.003", "0.1", "1", "1.2\0", " 1.2 ", "1" * 64])
def test_a_uid_with_padding_or_leading_zeros_is_taken(uid: str) -> None:
    assert usable_uid(uid.encode()) == uid.strip("\0 ")


def test_a_modality_outside_its_repertoire_is_left_out() -> None:
    with pydicom.config.disable_value_validation():
        assert read_header(image(Modality="ct'; drop"), EXPLICIT).modality == ""
        assert read_header(image(Modality=None), EXPLICIT).modality == ""


def nested(depth: int, closed: bool = True) -> bytes:
    opening = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    closing = struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    return opening * depth + closing * (depth if closed else 0)


def test_a_sequence_20000_deep_is_only_a_long_walk() -> None:
    head, tail = image().split(b"\x20\x00\x0d\x00UI", 1)
    data = head + nested(20_000) + b"\x20\x00\x0d\x00UI" + tail
    assert read_header(data, EXPLICIT).study_uid == "1.2.3.1"
    with pytest.raises(UnnameableError, match="no Study Instance UID"):
        read_header(head + nested(20_000, closed=False) + tail, EXPLICIT)


def test_a_sequence_of_unknown_vr_is_implicit_inside() -> None:
    """PS3.5 6.2.2 note 2."""
    head, tail = image().split(b"\x20\x00\x0d\x00UI", 1)
    inside = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + struct.pack("<HHL", 0x0020, 0x000D, 4) + b"9.9\0"
    closing = struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    unknown = struct.pack("<HH2sHL", 0x0019, 0x1010, b"UN", 0, 0xFFFFFFFF) + inside + closing
    assert read_header(head + unknown + b"\x20\x00\x0d\x00UI" + tail, EXPLICIT).study_uid == "1.2.3.1"


def test_the_other_of_implicit_and_explicit_than_negotiated_is_read_all_the_same() -> None:
    assert read_header(encoded(dataset(), implicit=True), EXPLICIT).study_uid == "1.2.3.1"
    assert read_header(encoded(dataset()), IMPLICIT).study_uid == "1.2.3.1"


def test_a_header_without_end_is_given_up_at_8_mib() -> None:
    reader = HeadReader(EXPLICIT)
    fragment = struct.pack("<HH2sHL", 0x0009, 0x1010, b"OB", 0, 0xFFFFFFF0) + bytes(1 << 20)
    with pytest.raises(UnnameableError, match="first 8 MiB"):
        for _ in range(10):
            reader.feed(fragment)
    assert len(reader.held) <= HEAD_LIMIT + len(fragment)


def test_a_deflate_bomb_costs_8_mib() -> None:
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    head = struct.pack("<HH2sHL", 0x0009, 0x1010, b"OB", 0, 0xFFFFFFF0)
    bomb = packer.compress(head + bytes(200 << 20)) + packer.flush()
    reader = HeadReader(DEFLATED)
    with pytest.raises(UnnameableError, match="first 8 MiB"):
        reader.feed(bomb)
    assert len(reader._inflated) <= HEAD_LIMIT + 1


def test_what_is_not_deflated_is_refused() -> None:
    with pytest.raises(UnnameableError, match="cannot be inflated"):
        read_header(b"\xff" * 100, DEFLATED)


@given(noise=st.binary(max_size=400), syntax=st.sampled_from([EXPLICIT, IMPLICIT, BIG, DEFLATED]))
@settings(max_examples=300, deadline=None)
def test_noise_gives_a_reason_and_nothing_else(noise: bytes, syntax: str) -> None:
    with pytest.raises(UnnameableError) as caught:
        read_header(noise, syntax)
    assert len(str(caught.value)) <= 64 and str(caught.value).isascii()


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_header_gives_a_header_or_a_reason(data: st.DataObject) -> None:
    image_bytes = bytearray(encoded(with_sequences()))
    for _ in range(data.draw(st.integers(1, 8))):
        image_bytes[data.draw(st.integers(0, len(image_bytes) - 1))] = data.draw(st.integers(0, 255))
    try:
        header = read_header(bytes(image_bytes), EXPLICIT)
    except UnnameableError as error:
        assert len(str(error)) <= 64
    else:
        assert all(
            usable_uid(uid) for uid in (header.sop_class_uid, header.sop_instance_uid, header.study_uid, header.series_uid)
        )


def truth(data_set: memoryview, syntax: str) -> list[str]:
    """The four UIDs and the modality as pydicom reads them from the same bytes."""
    ts = pydicom.uid.UID(syntax)
    data = bytes(data_set)
    if ts.is_deflated:
        data = zlib.decompress(data, -zlib.MAX_WBITS)
    ds = pydicom.filereader.read_dataset(
        pydicom.filebase.DicomBytesIO(data),
        ts.is_implicit_VR,
        ts.is_little_endian,
        stop_when=lambda tag, _vr, _length: tag >= 0x7FE00000,
    )
    names = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality")
    return [str(ds.get(name) or "") for name in names]


@pytest.mark.data
@pytest.mark.filterwarnings("ignore")
def test_every_real_file_reads_as_pydicom_reads_it(real_images: Path) -> None:
    compared = 0
    for path in sorted((real_images / "dicom" / "permissive").rglob("*")):
        try:
            syntax, data_set = split(path.read_bytes()) if path.is_file() else ("", memoryview(b""))
            header = read_header(data_set, syntax)
        except UnnameableError:
            continue
        found = [header.sop_class_uid, header.sop_instance_uid, header.study_uid, header.series_uid, header.modality]
        assert found == truth(data_set, syntax), path.name
        compared += 1
    assert compared > 300
