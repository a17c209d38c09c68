"""Maps of whole slides: the right pixels of the right level, in memory that does not follow the size of the slide."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from domain.jobs import Outcome
from domain.results import Analysis
from inference.images.analyse import ImageAnalyser
from inference.images.collect import Map
from inference.objects.table import empty
from inference.slides import drawing
from inference.slides.drawing import Drawing, sampled
from inference.slides.pyramid import Slide, choose
from inference.slides.raster import Part, Raster, raster_within
from inference.source import open_source
from tests import image_objects as objects
from tests.ct_series import part10
from tests.inference import image_package
from tests.inference.image_package import tissue_of
from tests.inference.images.conftest import loaded

BOX = (130, 90, 170, 120)


def made(folder: Path, toml: str = image_package.AREA_TOML, least: float = 1.0) -> ImageAnalyser:
    return ImageAnalyser(loaded(image_package.sealed(image_package.write_area(folder, toml, least))), threads=1)


@pytest.fixture(scope="module")
def analyser(tmp_path_factory: pytest.TempPathFactory) -> ImageAnalyser:
    return made(tmp_path_factory.mktemp("area") / "package")


def answer(analyser: ImageAnalyser, pixels: np.ndarray, *reductions: int) -> tuple[Analysis, list[str]]:
    """The answer to a slide of 0.5 micrometres with further levels, and the instances of its levels."""
    levels = [objects.level(pixels, 128, 0.5, 1)]
    levels += [objects.level(pixels[::n, ::n], 64, 0.5 * n, i) for i, n in enumerate(reductions, 2)]
    found = analyser.analyse([open_source(part10(ds)) for ds in levels])
    return found, [str(ds.SOPInstanceUID) for ds in levels]


def is_red(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(pixels[..., 0] == 250)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_a_segmentation_of_a_slide_lies_on_the_level_that_is_no_finer_than_the_networks_input(analyser: ImageAnalyser) -> None:
    pixels = tissue_of(300, 400, BOX)
    found, uids = answer(analyser, pixels, 4)
    assert found.outcome is Outcome.POSITIVE and found.labels is not None
    assert found.labels.sop_instance_uids == (uids[0],) and found.labels.layers.shape == (1, 1, 300, 400)
    assert dice(found.labels.layers[0, 0] == 1, is_red(pixels)) > 0.98
    [heat] = found.fields
    assert (heat.segment, heat.sop_instance_uids, heat.values.shape) == (1, (uids[0],), (1, 300, 400))
    assert heat.values[0, 150, 215] == pytest.approx(230 / 255, abs=0.01) and heat.values[0, 10, 10] == 0
    assert [segment.number for segment in found.segments] == [1]


def test_a_slide_too_large_is_drawn_on_a_coarser_level(analyser: ImageAnalyser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "MOST_LABELS", 20_000)
    monkeypatch.setattr(drawing, "MOST_HEAT", 2_000)
    pixels = tissue_of(300, 400, BOX)
    found, uids = answer(analyser, pixels, 4, 10)
    assert found.labels is not None
    assert (found.labels.sop_instance_uids, found.labels.layers.shape) == ((uids[1],), (1, 1, 75, 100))
    assert dice(found.labels.layers[0, 0] == 1, is_red(pixels[2::4, 2::4])) > 0.97
    [heat] = found.fields
    assert heat.values.shape == (1, 30, 40)
    mean = is_red(pixels).reshape(30, 10, 40, 10).mean(axis=(1, 3)) * 230 / 255
    assert np.abs(heat.values[0] - mean).max() < 0.06


def test_a_slide_without_a_small_level_gets_reduced_maps_at_the_same_place(
    analyser: ImageAnalyser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "MOST_LABELS", 20_000)
    monkeypatch.setattr(drawing, "MOST_HEAT", 2_000)
    pixels = tissue_of(302, 402, BOX)
    found, uids = answer(analyser, pixels)
    assert found.outcome is Outcome.POSITIVE and found.labels is not None and found.notes == ()
    assert (found.labels.sop_instance_uids, found.labels.reduced, found.labels.layers.shape) == ((uids[0],), 4, (1, 1, 76, 101))
    true = is_red(pixels)
    assert dice(np.kron(found.labels.layers[0, 0] == 1, np.ones((4, 4), bool))[:302, :402], true) > 0.97
    [heat] = found.fields
    assert (heat.sop_instance_uids, heat.reduced, heat.values.shape) == ((uids[0],), 8, (1, 38, 51))
    mean = np.pad(true, ((0, 2), (0, 6)), mode="edge").reshape(38, 8, 51, 8).mean(axis=(1, 3)) * 230 / 255
    assert np.abs(heat.values[0] - mean).max() < 0.08


@pytest.mark.parametrize(
    "keyword",
    ["FrameOfReferenceUID", "ImageOrientationSlide", "TotalPixelMatrixOriginSequence", "SharedFunctionalGroupsSequence"],
)
def test_a_slide_that_does_not_say_where_it_lies_is_read_without_maps_and_says_so(analyser: ImageAnalyser, keyword: str) -> None:
    ds = objects.level(tissue_of(300, 400, BOX), 128, 0.5)
    del ds[keyword]
    found = analyser.analyse([open_source(part10(ds))])
    assert (found.outcome, found.labels, found.fields) == (Outcome.POSITIVE, None, ())
    assert found.notes == ("The slide does not say where its pixels lie: there is no segmentation or heat map.",)


def test_a_negative_slide_without_a_small_level_has_its_heat_map_reduced(
    analyser: ImageAnalyser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "MOST_HEAT", 30_000)
    found, _ = answer(analyser, tissue_of(300, 400, (100, 100, 12, 12)))
    assert (found.outcome, found.labels) == (Outcome.NEGATIVE, None)
    assert found.fields[0].reduced == 2 and found.fields[0].values[0, 53, 53] > 0.8


def test_objects_are_drawn_on_a_reduced_map_too_up_to_the_edge_of_the_slide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "MOST_LABELS", 2_000)
    pixels = tissue_of(298, 394, None)
    pixels[280:, 370:] = (250, 20, 60)
    found, uids = answer(made(tmp_path / "p", image_package.SHAPES_TOML, 0.1), pixels)
    assert found.labels is not None and (found.labels.sop_instance_uids, found.labels.reduced) == ((uids[0],), 8)
    expected = np.zeros((38, 50), bool)
    expected[35:, 46:] = True
    expected[-1, -1] = False  # outlines are smoothed: a corner is round
    assert np.array_equal(found.labels.layers[0, 0] == 1, expected)


def test_maps_that_no_level_is_small_enough_for_reduce_the_level_that_is_read(analyser: ImageAnalyser) -> None:
    _, slide = choose([open_source(part10(objects.level(tissue_of(64, 64, None), 64, 0.5)))], analyser.package.contract)
    assert isinstance(slide, Slide)
    level = slide.levels[0]
    fine = replace(level, rows=90_001, columns=120_000, um=(0.25, 0.25))
    middle = replace(level, rows=45_001, columns=60_000, um=(0.5, 0.5))
    small = replace(level, rows=703, columns=937, um=(32.0, 32.0))
    for levels, most, um, read, expected in (
        ((fine,), 32_000_000, 0.5, 0, (fine, 2813, 3750, 32)),
        ((fine, middle), 32_000_000, 0.5, 1, (middle, 2813, 3750, 16)),
        ((fine, middle), 8_000_000, 0.5, 1, (middle, 1407, 1875, 32)),
        ((fine,), 32_000_000, 10.0, 0, (fine, 1407, 1875, 64)),  # no finer than the network's input
        ((fine, middle, small), 8_000_000, 0.5, 1, (small, 703, 937, 1)),
    ):
        slide.levels = levels
        found = raster_within(slide, um, most, read)
        assert (found.level, found.rows, found.columns, found.reduced) == expected
        assert found.scale == pytest.approx((120_000 / (60_000 if found.level is middle else found.level.columns) * found.reduced,
                                             90_001 / found.level.rows * found.reduced))  # fmt: skip


def test_the_pixels_of_tiles_side_by_side_are_those_of_the_map_each_once(analyser: ImageAnalyser) -> None:
    _, slide = choose([open_source(part10(objects.level(tissue_of(64, 64, None), 64, 0.5)))], analyser.package.contract)
    assert isinstance(slide, Slide)
    base = replace(slide.levels[0], rows=1001, columns=1537)
    for reduced in (1, 2, 8, 64):
        raster = Raster.of(base, base, reduced)
        counted = np.zeros((raster.rows, raster.columns), int)
        for top in range(0, 1001, 100):
            for left in range(0, 1537, 100):
                part = raster.part((left, top, min(left + 100, 1537), min(top + 100, 1001)))
                counted[part.rows, part.columns] += 1
        assert (counted == 1).all()


def test_more_heat_maps_than_there_is_room_for_are_left_out(analyser: ImageAnalyser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "MOST_FIELDS", 0)
    found, _ = answer(analyser, tissue_of(300, 400, BOX))
    assert found.outcome is Outcome.POSITIVE and found.labels is not None and found.fields == ()


def test_a_negative_slide_has_no_segments_but_its_heat_map(analyser: ImageAnalyser) -> None:
    found, _ = answer(analyser, tissue_of(300, 400, (100, 100, 12, 12)))
    assert (found.outcome, found.labels, found.segments) == (Outcome.NEGATIVE, None, ())
    assert found.fields[0].values.max() > 0.8


def test_objects_made_of_a_map_are_what_is_drawn_small_ones_left_out(tmp_path: Path) -> None:
    """An object below ``min_area`` is none, and so no segment either."""
    large, small = (is_red(tissue_of(300, 400, box)) for box in ((14, 16, 30, 24), (200, 200, 8, 8)))
    pixels = tissue_of(300, 400, None)
    pixels[large | small] = (250, 20, 60)
    found, _ = answer(made(tmp_path / "p", image_package.SHAPES_TOML, 0.1), pixels)
    assert found.labels is not None
    assert dice(found.labels.layers[0, 0] == 1, large) > 0.95 and not found.labels.layers[0, 0][small].any()


def test_objects_smaller_than_a_pixel_of_the_level_are_a_pixel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "MOST_LABELS", 2_000)
    pixels = tissue_of(300, 400, None)
    spots = [is_red(tissue_of(300, 400, box)) for box in ((13, 13, 6, 6), (214, 113, 6, 6))]
    pixels[spots[0] | spots[1]] = (250, 20, 60)
    toml = image_package.SHAPES_TOML.replace("min_area = 300", "min_area = 10")
    found, _ = answer(made(tmp_path / "p", toml, 0.01), pixels, 10)
    assert found.labels is not None
    assert sorted(zip(*np.nonzero(found.labels.layers[0, 0]), strict=True)) == [(1, 1), (11, 21)]


def test_scores_of_tiles_become_an_even_heat_map_of_what_the_values_after_the_first_say(tmp_path: Path) -> None:
    analyser = ImageAnalyser(loaded(image_package.sealed(image_package.write_patches(tmp_path / "p"))), threads=1)
    pixels = tissue_of(300, 400, BOX)
    found, uids = answer(analyser, pixels, 4)
    assert found.labels is None
    [heat] = found.fields
    assert (heat.name.value, heat.name.meaning, heat.segment) == ("p-tumour", "Probability of tumour", 0)
    assert heat.sop_instance_uids == (uids[0],)
    inside, outside = heat.values[0, 130:170, 190:240].mean(), heat.values[0, :40, :60].mean()
    assert inside > 0.7 and outside < 0.1


@pytest.mark.parametrize("factor", [1.0, 2.0, 4.0, 7.5])
def test_a_map_on_a_coarser_level_keeps_its_mean_and_on_a_finer_one_its_cells(factor: float) -> None:
    values = np.random.default_rng(1).random((60, 60)).astype(np.float32)
    n = int(60 / factor)
    part = Part(slice(0, n), slice(0, n), (factor * 3.0, factor * 3.0))
    _, _, found = sampled(values, (3.0, 3.0, 0.0, 0.0), part, mean=True)
    assert found.shape == (n, n)
    if factor == int(factor):
        step = int(factor)
        assert np.allclose(found, values.reshape(n, step, n, step).mean(axis=(1, 3)), atol=1e-5)
    else:
        assert found.mean() == pytest.approx(values.mean(), abs=0.01)
    fine = Part(slice(0, 120), slice(0, 120), (1.5, 1.5))
    assert np.array_equal(sampled(values, (3.0, 3.0, 0.0, 0.0), fine)[2], np.kron(values, np.ones((2, 2), np.float32)))


def test_memory_is_that_of_the_level_not_of_the_slide(analyser: ImageAnalyser) -> None:
    """Tiles of a slide of 12,800 x 12,800 pixels are drawn; all that is held is the level of 800 x 800."""
    _, slide = choose([open_source(part10(objects.level(tissue_of(64, 64, None), 64, 0.5)))], analyser.package.contract)
    assert isinstance(slide, Slide)
    level = slide.levels[0]
    slide.levels = (replace(level, rows=12_800, columns=12_800), replace(level, rows=800, columns=800, um=(8.0, 8.0)))
    values = np.full((1, 256, 256), 0.75, np.float32)
    tracemalloc.start()
    try:
        canvas = Drawing(analyser.package.manifest, slide, (1.0, 1.0))
        for row in range(0, 12_800, 512):
            for column in range(0, 12_800, 512):
                found = {"area": Map(values, (2.0, 2.0, float(column), float(row)))}
                canvas.paint(found, {}, (column, row, column + 512, row + 512))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000
    drawn = canvas.finished(empty())
    assert drawn is not None and drawn.labels is not None and (drawn.labels.layers == 1).all()
    reduced = raster_within(slide, 0.5, 600_000)
    assert (reduced.rows, reduced.columns, reduced.reduced) == (400, 400, 32)
