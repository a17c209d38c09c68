"""Every way to store a picture gives the same picture; what contradicts itself is refused before anything is allocated."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels.processing import apply_color_lut, apply_windowing
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from domain.errors import Reason, UnsuitableError
from inference.images.frames import FrameIndex
from inference.images.pixels import Layout, layout, read_rgb, windowed
from inference.source import Source, open_source
from tests import image_objects as objects
from tests.ct_series import part10

MOST = 10**8
REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "dicom" / "permissive"
COLOURS = np.random.default_rng(1).integers(0, 255, (70, 95, 3), np.uint8)
SMOOTH = np.stack([np.tile(np.linspace(0, 255, 64), (48, 1)) for _ in range(3)], axis=2).astype(np.uint8)


def opened(ds: Dataset) -> Source:
    return open_source(part10(ds))


def read(source: Source, frame: int = 0, most: int = MOST) -> np.ndarray:
    found: Layout = layout(source, most)
    return read_rgb(source, found, FrameIndex(source, found.frames, found.frame_bytes), frame)


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=str
)
def test_colours_come_back_from_every_lossless_transfer_syntax(syntax: UID) -> None:
    ds = objects.capture(COLOURS)
    if syntax.is_encapsulated:
        ds.compress(syntax, generate_instance_uid=False)
    ds.file_meta.TransferSyntaxUID = syntax
    np.testing.assert_array_equal(read(opened(ds)), COLOURS)


def test_big_endian_bytes_are_not_swapped() -> None:
    ds = objects.capture(COLOURS)
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    ds["PixelData"].VR = "OB"
    np.testing.assert_array_equal(read(opened(ds)), COLOURS)
    ds.PixelData, ds["PixelData"].VR = np.frombuffer(ds.PixelData, ">u2").astype("<u2").tobytes(), "OW"
    np.testing.assert_array_equal(read(opened(ds)), COLOURS)


def test_planes_of_colour_are_put_side_by_side() -> None:
    ds = objects.capture(COLOURS)
    ds.PlanarConfiguration, ds.PixelData = 1, COLOURS.transpose(2, 0, 1).tobytes()
    np.testing.assert_array_equal(read(opened(ds)), COLOURS)


def test_jpeg_is_near_the_original_and_near_what_pydicom_decodes() -> None:
    ds = objects.jpeg(objects.head("OT", str(objects.SecondaryCaptureImageStorage)), SMOOTH)
    found = read(opened(ds))
    assert np.abs(found.astype(int) - SMOOTH).mean() < 2
    theirs = pydicom.dcmread(pydicom.filebase.DicomBytesIO(part10(ds))).pixel_array
    assert np.abs(found.astype(int) - theirs).mean() < 2


@pytest.mark.parametrize(("fragments", "offsets"), [(1, True), (1, False), (3, True), (3, False)])
def test_frames_are_found_with_and_without_offset_table_and_in_fragments(fragments: int, offsets: bool) -> None:
    frames = np.stack([np.full((48, 64, 3), 40 * i, np.uint8) for i in range(5)])
    ds = objects.jpeg(objects.head("US", str(objects.UltrasoundMultiFrameImageStorage)), frames, 95, fragments, offsets)
    source = opened(ds)
    for i in (0, 3, 4):
        assert np.abs(read(source, i).astype(int) - frames[i]).max() <= 3


def test_frames_are_found_by_the_extended_offset_table() -> None:
    frames = np.stack([np.full((48, 64, 3), 40 * i, np.uint8) for i in range(5)])
    ds = objects.jpeg(objects.head("US", str(objects.UltrasoundMultiFrameImageStorage)), frames)
    streams = list(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=5))
    ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(streams)
    ds["PixelData"].is_undefined_length = True
    assert np.abs(read(opened(ds), 3).astype(int) - frames[3]).max() <= 3


def test_a_palette_is_looked_up() -> None:
    indices = np.arange(16, dtype=np.uint8).reshape(4, 4)
    ds = objects.set_pixels(objects.head("US", str(objects.UltrasoundImageStorage)), indices, "PALETTE COLOR")
    for number, name in enumerate(("Red", "Green", "Blue")):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [16, 0, 16])
        setattr(ds, f"{name}PaletteColorLookupTableData", (np.arange(16, dtype="<u2") * 256 * (number + 1)).tobytes())
    found = read(opened(ds))
    np.testing.assert_array_equal(found, (apply_color_lut(indices, ds) >> 8).astype(np.uint8))
    assert found[0, 3].tolist() == [3, 6, 9]


@pytest.mark.parametrize("function", ["", "LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_are_those_of_pydicom(function: str) -> None:
    values = np.arange(0, 4095, 7, dtype=np.uint16).reshape(-1, 5)
    ds = objects.radiograph(values)
    ds.WindowCenter, ds.WindowWidth = 1500, 900
    if function:
        ds.VOILUTFunction = function
    theirs = apply_windowing(values, ds) / 4095 * 255
    np.testing.assert_allclose(windowed(values, 1500, 900, function), theirs, atol=0.51)


def test_monochrome1_is_shown_the_other_way_round() -> None:
    values = np.linspace(0, 4095, 600).astype(np.uint16).reshape(20, 30)
    shown = {}
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        ds = objects.radiograph(values, photometric)
        ds.WindowCenter, ds.WindowWidth = "2048", "4096"
        shown[photometric] = read(opened(ds))
    np.testing.assert_array_equal(shown["MONOCHROME1"], 255 - shown["MONOCHROME2"])
    assert shown["MONOCHROME2"][0, 0].tolist() == [0, 0, 0]


def test_without_a_window_a_radiograph_is_shown_from_its_darkest_to_its_brightest() -> None:
    found = read(opened(objects.radiograph(np.linspace(100, 900, 600).astype(np.uint16).reshape(20, 30))))
    assert (found.min(), found.max()) == (0, 255)


def test_a_voi_lut_comes_before_a_window() -> None:
    values = np.arange(256, dtype=np.uint16).reshape(16, 16)
    ds = objects.radiograph(values)
    ds.WindowCenter, ds.WindowWidth = "10", "2"
    lut = Dataset()
    lut.LUTDescriptor, lut.LUTData = [256, 0, 8], list(range(255, -1, -1))
    lut.add_new(0x00283002, "US", [256, 0, 8])
    lut.add_new(0x00283006, "US", list(range(255, -1, -1)))
    ds.VOILUTSequence = [lut]
    assert read(opened(ds))[:, :, 0].ravel().tolist() == list(range(255, -1, -1))


def broken(**changes: object) -> Dataset:
    ds = objects.capture(COLOURS)
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        (broken(Rows=65535, Columns=65535), Reason.TOO_LARGE),
        (broken(Rows=0), Reason.DECODE),
        (broken(Rows=71), Reason.DECODE),
        (broken(NumberOfFrames="100000000"), Reason.DECODE),
        (broken(NumberOfFrames="-1"), Reason.DECODE),
        (broken(SamplesPerPixel=4), Reason.DECODE),
        (broken(PhotometricInterpretation="CMYK"), Reason.DECODE),
        (broken(BitsStored=9), Reason.DECODE),
        (broken(BitsAllocated=32), Reason.DECODE),
    ],
    ids=lambda value: str(value) if isinstance(value, Reason) else "",
)
def test_what_contradicts_itself_is_refused(dataset: Dataset, reason: Reason) -> None:
    with pytest.raises(UnsuitableError) as caught:
        read(opened(dataset))
    assert caught.value.reason is reason


def test_a_code_stream_that_claims_another_size_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    ds = objects.jpeg(objects.head("OT", str(objects.SecondaryCaptureImageStorage)), SMOOTH)
    stream = bytearray(next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1)))
    at = stream.index(b"\xff\xc0")
    stream[at + 5 : at + 9] = b"\xff\xff\xff\xff"  # 65535 by 65535
    ds.PixelData = encapsulate([bytes(stream)])
    ds["PixelData"].is_undefined_length = True
    monkeypatch.setattr("inference.images.pixels.simplejpeg.decode_jpeg", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr("inference.images.pixels.get_decoder", lambda *_: pytest.fail("decoded"))
    with pytest.raises(UnsuitableError):
        read(opened(ds))


@pytest.mark.parametrize("cut", [10, 100, 1000])
def test_pixels_that_are_cut_off_are_no_picture(cut: int) -> None:
    for ds in (objects.capture(COLOURS), objects.jpeg(objects.head("OT", str(objects.SecondaryCaptureImageStorage)), SMOOTH)):
        whole = part10(ds)
        with pytest.raises(UnsuitableError):
            read(open_source(whole[: len(whole) - cut]))


def _real() -> list[Path]:
    found = []
    for path in sorted(REAL.rglob("*")) if REAL.is_dir() else []:
        if not path.is_file() or path.stat().st_size > 8_000_000:
            continue
        try:
            ds = pydicom.dcmread(path, stop_before_pixels=True)
        except Exception:  # noqa: BLE001 - not every file there is DICOM
            continue
        if ds.get("Modality") in ("US", "OT", "XC", "SM", "MG", "DX", "CR") and "Rows" in ds and "BitsStored" in ds:
            found.append(path)
    return found


@pytest.mark.data
def test_real_images_of_every_kind_look_as_pydicom_shows_them() -> None:
    paths = _real()
    if not paths:
        pytest.skip("the real images of ../shared/data are not here")
    compared = 0
    for path in paths:
        source = open_source(path.read_bytes())
        try:
            found = read(source)
            theirs = pydicom.dcmread(path)
            expected = theirs.pixel_array
        except UnsuitableError:
            continue
        except (AttributeError, RuntimeError, ValueError, NotImplementedError):
            continue  # pydicom itself cannot
        first = expected[0] if layout(source, MOST).frames > 1 else expected
        if layout(source, MOST).samples == 3 and first.ndim == 3 and "YBR" not in theirs.PhotometricInterpretation:
            bits = theirs.BitsStored - 8
            assert np.abs(found.astype(int) - (first >> max(bits, 0))).mean() < 2, path.name
            compared += 1
        elif theirs.PhotometricInterpretation == "PALETTE COLOR":
            coloured = apply_color_lut(first, theirs)
            assert np.abs(found.astype(int) - (coloured[..., :3] >> 8 * (coloured.dtype.itemsize - 1))).max() <= 1, path.name
            compared += 1
    assert compared > 20


@pytest.mark.data
def test_most_real_images_can_be_read() -> None:
    paths = _real()
    if not paths:
        pytest.skip("the real images of ../shared/data are not here")
    unread = {}
    for path in paths:
        try:
            read(open_source(path.read_bytes()))
        except UnsuitableError as error:
            unread[path.name] = str(error)
    assert len(unread) < len(paths) / 5, unread
