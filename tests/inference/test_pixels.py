"""Decoding: every transfer syntax, every way to write a CT value, and no belief in claims."""

import io
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from domain.errors import Reason, UnsuitableError
from inference.codestream import claimed, is_lossless_jpeg
from inference.decoders import decoded
from inference.pixels import read_hu
from inference.source import open_source
from tests.ct_series import Series, part10


def one(**tags: object) -> Dataset:
    return Series(slices=4, size=32, tags=tags).datasets()[2]


def expected() -> npt.NDArray[np.int16]:
    return np.maximum(Series(slices=4, size=32).hu()[2], -1024)


def read(content: bytes, shape: tuple[int, int] = (32, 32)) -> npt.NDArray[np.int16]:
    out = np.full(shape, 12345, np.int16)
    read_hu(open_source(content), out)
    return out


def reason(content: bytes, shape: tuple[int, int] = (32, 32)) -> Reason:
    with pytest.raises(UnsuitableError) as error:
        read(content, shape)
    return error.value.reason


def written(ds: Dataset, syntax: str) -> bytes:
    ds.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = np.frombuffer(ds.PixelData, "<i2").astype(">i2").tobytes()
        ds["PixelData"].VR = "OW"
    pydicom.dcmwrite(stream, ds, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    return stream.getvalue()


def test_explicit_little_endian() -> None:
    assert np.array_equal(read(part10(one())), expected())


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_other_native_transfer_syntaxes(syntax: str) -> None:
    assert np.array_equal(read(written(one(), syntax)), expected())


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_compressed_transfer_syntaxes(syntax: str) -> None:
    ds = one()
    ds.compress(syntax, generate_instance_uid=False)
    assert np.array_equal(read(part10(ds)), expected())


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_jpeg_of_every_predictor_comes_back_exactly(predictor: int, bits: int) -> None:
    """Also as the second decoder reads it, so that which of them is taken makes no difference."""
    values = np.random.default_rng(bits).integers(0, 1 << bits, (40, 56)).astype(np.uint8 if bits == 8 else np.uint16)
    frame = imagecodecs.jpeg8_encode(values, lossless=True, predictor=predictor, bitspersample=bits)
    assert is_lossless_jpeg(frame) and is_lossless_jpeg(frame + b"\0")
    for stream in (frame, frame + b"\0"):
        found = decoded(stream, JPEGLosslessSV1, (40, 56), 16 if bits > 8 else 8, bits, False)
        assert found is not None and np.array_equal(found, values)
    assert np.array_equal(imagecodecs.jpegsof3_decode(frame), values)


def test_lossless_jpeg_that_is_cut_off_is_not_filled_up() -> None:
    values = np.random.default_rng(1).integers(0, 4096, (64, 64)).astype(np.uint16)
    frame = imagecodecs.ljpeg_encode(values, bitspersample=12)
    for cut in (len(frame) // 2, len(frame) - 40):
        assert not is_lossless_jpeg(frame[:cut])
        assert decoded(frame[:cut], JPEGLosslessSV1, (64, 64), 16, 12, False) is None


def test_a_jpeg_of_another_kind_is_not_lossless() -> None:
    baseline = imagecodecs.jpeg8_encode(np.zeros((16, 16), np.uint8))
    assert not is_lossless_jpeg(baseline) and not is_lossless_jpeg(b"\xff\xd8") and not is_lossless_jpeg(b"")
    assert decoded(baseline, JPEGLosslessSV1, (16, 16), 8, 8, False) is None


def test_a_real_lossless_jpeg_series(real_images: Path) -> None:
    paths = sorted((real_images / "chest_ct" / "covid_ct_md_normal001").rglob("*.dcm"))[:3]
    assert paths
    for path in paths:
        ds = pydicom.dcmread(path)
        assert ds.file_meta.TransferSyntaxUID == JPEGLosslessSV1
        hu = read(path.read_bytes(), (ds.Rows, ds.Columns))
        plain = ds.pixel_array.astype(float) * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        assert np.array_equal(hu, np.maximum(plain, -1024))


def test_the_header_holds_no_pixels_and_the_data_is_a_view() -> None:
    content = memoryview(part10(one()))
    source = open_source(content)
    assert "PixelData" not in source.header
    assert source.data.obj is content.obj
    assert struct.unpack_from("<HH", source.data) == (0x7FE0, 0x0010)


def test_slopes_that_are_no_whole_numbers_are_rounded() -> None:
    ds = one(RescaleSlope="0.5", RescaleIntercept="-1024.25")
    stored = np.frombuffer(ds.PixelData, "<i2").reshape(32, 32)
    assert np.array_equal(read(part10(ds)), np.maximum(np.rint(stored * 0.5 - 1024.25), -1024))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("intercept", [-1024, 0, 40000, -40000, 1024])
def test_whole_shifts_are_exact_to_the_ends_of_sixteen_bits(signed: bool, intercept: int) -> None:
    """Both within int16 and beyond it, where values end at 32767 and at air."""
    for low, high in ((0, 4095), (-32768, 32767) if signed else (0, 65535), (-2000, 3000) if signed else (60000, 65535)):
        stored = np.linspace(low, high, 32 * 32).reshape(32, 32).astype("<i2" if signed else "<u2")
        ds = one(RescaleIntercept=str(intercept), PixelRepresentation=int(signed))
        ds.BitsStored, ds.HighBit, ds.PixelData = 16, 15, stored.tobytes()
        assert np.array_equal(read(part10(ds)), np.clip(stored.astype(np.int64) + intercept, -1024, 32767))


def test_padding_is_air_whatever_sign_it_is_written_with() -> None:
    ds = one()
    stored = np.frombuffer(ds.PixelData, "<i2").reshape(32, 32).copy()
    stored[:4] = -2000
    stored[4:6] = -1990
    ds.PixelData = stored.tobytes()
    ds.add_new("PixelPaddingValue", "SS", -2000)
    ds.add_new("PixelPaddingRangeLimit", "SS", -1990)
    ds.RescaleIntercept = "1500"  # so that padding would be tissue
    hu = read(part10(ds))
    assert (hu[:6] == -1024).all()
    assert np.array_equal(hu[6:], stored[6:] + 1500)
    ds.add_new("PixelPaddingValue", "US", 65536 - 2000)
    assert np.array_equal(read(part10(ds)), hu)


def test_bits_beyond_the_stored_ones_are_dropped_and_the_sign_is_extended() -> None:
    stored = (np.frombuffer(one().PixelData, "<i2") - 1000).clip(-2048, 2047)
    for signed, values in ((1, stored), (0, np.maximum(stored, 0))):
        ds = one(BitsStored=12, HighBit=11, PixelRepresentation=signed)
        ds.PixelData = ((values.astype("<u2") & 0x0FFF) | 0xA000).astype("<u2").tobytes()
        assert np.array_equal(read(part10(ds)).ravel(), np.maximum(values - 1024, -1024))


def test_unsigned_pixels() -> None:
    ds = one(PixelRepresentation=0)
    assert np.array_equal(read(part10(ds)), expected())


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({"RescaleSlope": None}, Reason.RESCALE),
        ({"RescaleSlope": "0"}, Reason.RESCALE),
        ({"RescaleType": "OD"}, Reason.RESCALE),
        ({"SamplesPerPixel": 3}, Reason.DECODE),
        ({"BitsAllocated": 32}, Reason.DECODE),
        ({"BitsStored": 17}, Reason.DECODE),
        ({"HighBit": 3}, Reason.DECODE),
    ],
)
def test_values_that_cannot_become_hounsfield_units_are_declined(tags: dict[str, object], why: Reason) -> None:
    assert reason(part10(one(**tags))) is why


def test_pixels_that_are_cut_off_or_absent_are_declined() -> None:
    content = part10(one())
    assert reason(content[:-100]) is Reason.DECODE
    ds = one()
    del ds.PixelData
    assert reason(part10(ds)) is Reason.DECODE


def test_a_code_stream_larger_than_the_header_says_is_never_decoded() -> None:
    ds = one()
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    content = bytearray(part10(ds))
    at = content.index(b"\xff\x4f\xff\x51") + 4
    struct.pack_into(">II", content, at + 4, 60000, 60000)
    assert reason(bytes(content)) is Reason.DECODE


def test_garbage_as_a_code_stream_is_declined() -> None:
    for syntax in (JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1, RLELossless, "1.2.840.10008.1.2.4.100"):
        ds = one()
        ds.PixelData = encapsulate([b"\xff\xd8\xff\xc0" + b"\x07" * 200])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
        ds.file_meta.TransferSyntaxUID = syntax
        assert reason(part10(ds)) is Reason.DECODE


def test_claims_are_read_from_code_streams() -> None:
    ds = one()
    ds.compress(JPEGLSLossless, generate_instance_uid=False)
    frame = next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1))
    assert claimed(frame) == (32, 32, 1)
    assert claimed(b"") is None
    assert claimed(b"\xff\xd8\xff") is None


def test_a_deflated_bomb_is_not_inflated(tmp_path: Path) -> None:
    ds = one()
    ds.PixelData = bytes(300 * 1024 * 1024)
    content = written(ds, DeflatedExplicitVRLittleEndian)
    assert len(content) < 1024 * 1024
    assert "inflates" in open_source(content).fault


def compressed(syntax: str, bits: int, signed: bool) -> Dataset:
    """One image of noise and a ramp with ``bits`` stored bits, losslessly compressed."""
    random = np.random.default_rng(bits + signed)
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    values = np.clip(random.normal(0, (high - low) / 40, (32, 32)) + np.linspace(low, high, 32), low, high).astype(np.int32)
    allocated = 8 if bits <= 8 else 16
    kind = f"{'i' if signed else 'u'}{allocated // 8}"
    ds = one(BitsAllocated=allocated, BitsStored=bits, HighBit=bits - 1, PixelRepresentation=int(signed))
    ds.PixelData = values.astype(kind).tobytes()
    ds["PixelData"].VR = "OB" if allocated == 8 else "OW"
    if syntax == JPEGLosslessSV1:
        import imagecodecs

        plain = values.astype(kind).view(f"u{allocated // 8}") & np.uint16((1 << bits) - 1)
        frame = imagecodecs.ljpeg_encode(plain.astype(f"u{allocated // 8}"), bitspersample=bits)
        ds.PixelData = encapsulate([frame])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        ds.file_meta.TransferSyntaxUID = syntax
    else:
        ds.compress(syntax, generate_instance_uid=False)
    return ds


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless, JPEGLosslessSV1])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_quick_decoders_answer_as_pydicom_does(syntax: str, bits: int, signed: bool) -> None:
    ds = compressed(syntax, bits, signed)
    hu = read(part10(ds))
    if syntax == JPEGLosslessSV1 and signed and bits < 16:
        # pydicom takes the bits of this syntax as they are; those beyond the sign are no part of the value (PS3.5 8.1.1)
        stored = ds.pixel_array.astype(np.int32) & ((1 << bits) - 1)
        stored = np.where(stored >= 1 << (bits - 1), stored - (1 << bits), stored)
    else:
        stored = ds.pixel_array.astype(np.int32)
    assert np.array_equal(hu, np.clip(stored - 1024, -1024, 32767))


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless, JPEGLosslessSV1])
def test_a_code_stream_that_is_cut_off_is_declined_or_was_always_read(syntax: str) -> None:
    ds = compressed(syntax, 12, False)
    frame = next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1))
    ds.PixelData = encapsulate([frame[: len(frame) // 2]])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    assert reason(part10(ds)) is Reason.DECODE


@pytest.mark.parametrize("segment", [b"\x81\x05", b"\x80" * 1000, b""], ids=["too little", "nothing", "empty"])
def test_an_rle_frame_whose_segments_are_shorter_than_the_picture_is_declined(segment: bytes) -> None:
    ds = compressed(RLELossless, 8, False)
    header = struct.pack("<16I", 1, 64, *[0] * 14)
    ds.PixelData = encapsulate([header + segment])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    assert reason(part10(ds)) is Reason.DECODE


def test_bytes_that_fill_up_an_rle_segment_do_no_harm() -> None:
    ds = compressed(RLELossless, 8, False)
    expected_hu = read(part10(ds))
    frame = next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1))
    ds.PixelData = encapsulate([frame + b"\0\0"])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    assert np.array_equal(read(part10(ds)), expected_hu)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, JPEGLosslessSV1])
def test_decoding_leaves_other_threads_running(syntax: str) -> None:
    """Threads do not take turns by themselves here: another one runs only when the decoder lets go of Python's lock."""
    import sys
    import threading

    import imagecodecs

    encode = {
        JPEGLSLossless: imagecodecs.jpegls_encode,
        JPEG2000Lossless: lambda values: imagecodecs.jpeg2k_encode(values, level=0),
        JPEGLosslessSV1: lambda values: imagecodecs.ljpeg_encode(values, bitspersample=16),
    }
    values = np.random.default_rng(0).normal(1000, 30, (700, 700)).astype(np.uint16)
    frame = encode[syntax](values)
    go, phase, seen = threading.Event(), ["before"], list[str]()

    def look() -> None:
        go.wait()
        seen.append(phase[0])

    other, interval = threading.Thread(target=look), sys.getswitchinterval()
    other.start()
    sys.setswitchinterval(1000)
    try:
        phase[0] = "decoding"
        go.set()
        for _ in range(100):  # on a busy machine the other thread may need some chances
            found = decoded(frame, syntax, (700, 700), 16, 16, False)
            if seen:
                break
        phase[0] = "done"
    finally:
        sys.setswitchinterval(interval)
    other.join()
    assert seen == ["decoding"]
    assert found is not None and np.array_equal(found, values)
