"""Whole slides made in tests: every kind of tiling and compression gives the pixels back, and every spot is found once."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless

from domain.errors import Reason, UnsuitableError
from domain.jobs import Outcome
from inference.images.analyse import ImageAnalyser
from inference.images.contract import Tissue
from inference.slides import pyramid
from inference.slides.pyramid import Slide, choose
from inference.slides.read import _middle, view
from inference.slides.tissue import is_tissue, tissue_map
from inference.source import Source, open_source
from tests import image_objects as objects
from tests.ct_series import part10
from tests.inference import image_package
from tests.inference.image_package import field
from tests.inference.images.conftest import loaded

SPOTS = [(20, 30), (63, 64), (130, 100), (255, 200), (300, 31), (390, 290)]


@pytest.fixture(scope="module")
def analyser(tmp_path_factory: pytest.TempPathFactory) -> ImageAnalyser:
    folder = tmp_path_factory.mktemp("slides") / "package"
    image_package.write_spots(folder, image_package.SLIDE_TOML)
    return ImageAnalyser(loaded(image_package.sealed(folder)), threads=1)


def sources(*datasets: Dataset) -> list[Source]:
    return [open_source(part10(ds)) for ds in datasets]


def picture(rows: int = 300, columns: int = 400) -> np.ndarray:
    return field(SPOTS, rows, columns)


def opened(analyser: ImageAnalyser, *datasets: Dataset) -> Slide:
    _, slide = choose(sources(*datasets), analyser.package.contract)
    assert isinstance(slide, Slide)
    return slide


@pytest.mark.parametrize("syntax", ["", JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("order", [None, [11, 0, 5, 4, 3, 2, 1, 6, 7, 8, 9, 10]], ids=["full", "sparse"])
def test_any_part_of_a_slide_is_read_as_it_was_written(syntax: str, order: list[int] | None, analyser: ImageAnalyser) -> None:
    pixels = np.random.default_rng(3).integers(0, 255, (300, 400, 3), np.uint8)
    slide = opened(analyser, objects.level(pixels, 100, 0.5, syntax=syntax, order=order))
    for left, top, columns, rows in ((0, 0, 400, 300), (95, 99, 12, 3), (250, 180, 150, 120)):
        np.testing.assert_array_equal(slide.read(0, left, top, columns, rows), pixels[top : top + rows, left : left + columns])


def test_beyond_the_slide_is_black_and_where_there_is_no_tile_is_white(analyser: ImageAnalyser) -> None:
    slide = opened(analyser, objects.level(picture(), 100, 0.5, order=[0, 5]))
    found = slide.read(0, -10, 290, 30, 30)
    assert (found[:, :10] == 0).all()
    assert (found[10:] == 0).all()
    assert (found[:10, 10:] == 255).all()


def places(answer: object) -> list[tuple[float, float]]:
    return [tuple(point[0] - 0.5) for marks in answer.marks for point in marks.points]  # type: ignore[attr-defined]


@pytest.mark.parametrize("syntax", ["", JPEGBaseline8Bit])
def test_every_spot_of_a_slide_is_found_once_in_pixels_of_its_finest_level(syntax: str, analyser: ImageAnalyser) -> None:
    pixels = picture()
    coarse = pixels[::4, ::4]
    levels = (objects.level(pixels, 128, 0.5, 1, syntax), objects.level(coarse, 128, 2.0, 2, syntax))
    answer = analyser.analyse(sources(*levels))
    assert answer.outcome is Outcome.POSITIVE
    found = places(answer)
    assert len(found) == len(SPOTS)
    for spot in SPOTS:
        assert min(np.hypot(spot[0] - x, spot[1] - y) for x, y in found) <= 1
    assert {marks.sop_instance_uid for marks in answer.marks} == {levels[0].SOPInstanceUID}


def test_the_level_nearest_to_the_wanted_resolution_is_read_and_scaled(analyser: ImageAnalyser) -> None:
    # The network wants 0.5 micrometres: the middle level has 0.4, and the finest is twice as fine as that.
    pixels = np.kron(picture(240, 320)[:, :, 0], np.ones((2, 2))).astype(np.uint8)
    fine = np.repeat(pixels[:, :, None], 3, axis=2)
    fine[..., 1:] = np.where(fine[..., :1] == 250, 20, 220)
    slide = opened(analyser, objects.level(fine, 128, 0.2, 1), objects.level(fine[::2, ::2], 128, 0.4, 2))
    assert slide.levels[slide.level_for(0.5)].um[0] == pytest.approx(0.4)
    spots = [(2 * x + 0.5, 2 * y + 0.5) for x, y in SPOTS if x < 310 and y < 230]
    found = places(analyser.analyse(sources(objects.level(fine, 128, 0.2, 1), objects.level(fine[::2, ::2], 128, 0.4, 2))))
    assert len(found) == len(spots)
    for spot in spots:
        assert min(np.hypot(spot[0] - x, spot[1] - y) for x, y in found) <= 4


def test_empty_glass_is_not_looked_at(analyser: ImageAnalyser) -> None:
    pixels = np.full((600, 1600, 3), 245, np.uint8)
    pixels[100:160, 100:160] = field([(30, 30)], 60, 60)
    pixels[130, 130] = (250, 20, 60)
    answer = analyser.analyse(sources(objects.level(pixels, 256, 0.5), objects.level(pixels[::3, ::3], 256, 1.5, 2)))
    assert answer.outcome is Outcome.POSITIVE
    told = {m.name.meaning: m.value for m in answer.statements[0].measurements}
    # Fields of 0.01 square millimetres: the slide has 24 of them, of which the tiles with tissue are few.
    assert 0 < told["Fields examined"] < 4
    glass = np.full((600, 800, 3), 245, np.uint8)
    nothing = analyser.analyse(sources(objects.level(glass, 256, 0.5)))
    assert (nothing.outcome, nothing.summary) == (Outcome.NOT_ANALYSED, "There is no tissue on the slide.")


def test_tissue_is_colour_or_darkness_but_not_black() -> None:
    rule = Tissue(min_saturation=15, max_brightness=220, min_fraction=0.01)
    row = np.array([[[245, 245, 245], [200, 200, 200], [240, 220, 240], [0, 0, 0], [90, 90, 90]]], np.uint8)
    assert is_tissue(row, rule).tolist() == [[False, True, True, False, True]]


def test_the_share_of_tissue_is_that_of_the_rectangle(analyser: ImageAnalyser) -> None:
    pixels = np.full((400, 800, 3), 245, np.uint8)
    pixels[100:200, 200:400] = (200, 40, 90)
    tissue = tissue_map(opened(analyser, objects.level(pixels, 256, 0.5)), Tissue(15, 220, 0.01))
    assert tissue is not None
    assert tissue.fraction(200, 100, 400, 200) == 1
    assert tissue.fraction(100, 100, 300, 200) == pytest.approx(0.5)
    assert tissue.fraction(500, 0, 800, 400) == 0


def test_the_gallery_and_the_overview_are_parts_of_the_slide(analyser: ImageAnalyser) -> None:
    pixels = picture()
    keys = analyser.analyse(sources(objects.level(pixels, 128, 0.5))).key_images
    assert keys[0].region is None
    np.testing.assert_array_equal(keys[0].pixels, pixels)
    for key in keys[1:]:
        assert key.region is not None
        left, top, columns, rows = key.region
        np.testing.assert_array_equal(key.pixels, pixels[top : top + rows, left : left + columns])


def _wrong(keyword: str, value: object) -> Dataset:
    ds = objects.level(picture(), 100, 0.5)
    setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        (_wrong("TotalPixelMatrixColumns", 4_000_000_000), Reason.TOO_LARGE),
        (_wrong("TotalPixelMatrixRows", 1000), Reason.GEOMETRY),
        (_wrong("TotalPixelMatrixRows", 0), Reason.GEOMETRY),
        (_wrong("SharedFunctionalGroupsSequence", []), Reason.GEOMETRY),
        (_wrong("Rows", 65535), Reason.TOO_LARGE),
        (_wrong("NumberOfFrames", 2_000_000_000), Reason.DECODE),
        (objects.level(picture(), 100, 4.0), Reason.GEOMETRY),
        (objects.field(field([(20, 20)])), Reason.MODALITY),
    ],
    ids=["columns", "rows", "none", "spacing", "tile", "frames", "coarse", "field"],
)
def test_slides_that_do_not_fit_are_not_analysed(dataset: Dataset, reason: Reason, analyser: ImageAnalyser) -> None:
    if dataset.get("Rows") == 65535:
        dataset.Columns = 65535
    if reason is Reason.GEOMETRY and "ImagedVolumeWidth" in dataset and not dataset.SharedFunctionalGroupsSequence:
        del dataset.ImagedVolumeWidth
    answer = analyser.analyse(sources(dataset))
    assert answer.outcome is Outcome.NOT_ANALYSED
    assert answer.reason in (reason, Reason.TOO_LARGE)


def test_a_tile_that_cannot_be_decoded_is_no_empty_tile(analyser: ImageAnalyser) -> None:
    ds = objects.level(picture(), 128, 0.5, syntax=JPEGLSLossless)
    ds.PixelData = bytes(ds.PixelData).replace(b"\xff\xd8\xff\xf7", b"\xff\xd8\xff\x00", 1)
    with pytest.raises(UnsuitableError):
        opened(analyser, ds).read(0, 0, 0, 400, 300)
    assert analyser.analyse(sources(ds)).reason is Reason.DECODE


def test_no_more_decoded_tiles_are_held_than_there_is_room_for(analyser: ImageAnalyser, monkeypatch: pytest.MonkeyPatch) -> None:
    ds = objects.level(picture(), 64, 0.5)
    whole = analyser.analyse(sources(ds))
    monkeypatch.setattr(pyramid, "_KEPT", 3 * 64 * 64 * 3)
    slide = opened(analyser, ds)
    held = []
    for top in range(0, 300, 50):
        slide.read(0, 0, top, 400, 50)
        held.append((slide._bytes, len(slide._tiles)))
    assert max(held) <= (3 * 64 * 64 * 3, 3)
    again = analyser.analyse(sources(ds))
    assert [m.points.tolist() for m in again.marks] == [m.points.tolist() for m in whole.marks]


def test_a_slide_without_low_levels_is_shown_block_by_block(analyser: ImageAnalyser, monkeypatch: pytest.MonkeyPatch) -> None:
    slide = opened(analyser, objects.level(picture(), 100, 0.5))
    whole = view(slide, 0, 0, 400, 300, 100)
    monkeypatch.setattr("inference.slides.read._BLOCK", 128)
    largest = []
    read = slide.read
    monkeypatch.setattr(slide, "read", lambda *part: (largest.append(max(part[3:])), read(*part))[1])
    np.testing.assert_array_equal(view(slide, 0, 0, 400, 300, 100), whole)
    assert (len(largest), max(largest)) == (12, 128)


def test_a_slide_without_low_levels_is_judged_by_its_middle(analyser: ImageAnalyser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its corner is bare glass."""
    monkeypatch.setattr("inference.slides.read._BLOCK", 128)
    pixels = np.full((384, 512, 3), 245, np.uint8)
    pixels[128:256, 192:320] = np.random.default_rng(1).integers(60, 180, (128, 128, 3), np.uint8)
    slide = opened(analyser, objects.level(pixels, 128, 0.5))
    np.testing.assert_array_equal(_middle(slide), pixels[128:256, 192:320])
    small = opened(analyser, objects.level(pixels[:96, :100], 128, 0.5))
    np.testing.assert_array_equal(_middle(small), pixels[:96, :100])


def test_one_focal_plane_of_several_is_read(analyser: ImageAnalyser) -> None:
    plain, other = picture(), np.zeros((300, 400, 3), np.uint8)
    ds = objects.level(plain, 100, 0.5)
    planes = [bytes(objects.level(pixels, 100, 0.5).PixelData) for pixels in (other, plain, other)]
    ds.PixelData, ds.NumberOfFrames, ds.TotalPixelMatrixFocalPlanes = b"".join(planes), 36, 3
    np.testing.assert_array_equal(opened(analyser, ds).read(0, 0, 0, 400, 300), plain)


def test_labels_and_overviews_of_the_glass_are_no_levels(analyser: ImageAnalyser) -> None:
    label = objects.level(np.zeros((900, 1200, 3), np.uint8), 300, 0.5, 3)
    label.ImageType = ["ORIGINAL", "PRIMARY", "LABEL", "NONE"]
    slide = opened(analyser, label, objects.level(picture(), 100, 0.5))
    assert (len(slide.levels), slide.base.columns) == (1, 400)
    assert analyser.analyse(sources(label)).reason is Reason.MODALITY


def test_a_classifier_of_tiles_is_asked_for_its_worst_tile_and_for_their_mean(tmp_path: Path) -> None:
    folder = image_package.sealed(image_package.write_patches(tmp_path / "patches"))
    pixels = field([], 256, 256)
    pixels[128:256, 128:256] = (250, 0, 0)
    answer = ImageAnalyser(loaded(folder), threads=1).analyse(sources(objects.level(pixels, 128, 0.5)))
    assert answer.outcome is Outcome.POSITIVE
    told = {m.name.meaning: m.value for m in answer.statements[0].measurements}
    assert told["worst"] == pytest.approx(250 / 255, abs=0.01)
    assert 0.1 < told["mean"] < 0.5


def test_the_share_of_a_segment_is_counted_once_though_tiles_overlap(tmp_path: Path) -> None:
    folder = image_package.sealed(image_package.write_stains(tmp_path / "stains"))
    pixels = field([], 250, 330)
    pixels[40:140, 30:231] = (250, 0, 0)
    answer = ImageAnalyser(loaded(folder), threads=1).analyse(sources(objects.level(pixels, 128, 0.5)))
    assert answer.statements[0].measurements[0].value == pytest.approx(100 * 100 * 201 / (250 * 330), rel=0.002)
