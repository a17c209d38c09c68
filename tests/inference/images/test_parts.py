"""The parts between a picture and a number: fitting, tiles, blending, quality, calibration, grades."""

from collections.abc import Callable

import numpy as np
import pytest
from monai.data.utils import compute_importance_map
from PIL import Image
from pydicom.dataset import Dataset

from domain.results import Code
from inference.images import calibration, fit
from inference.images.calibration import Region
from inference.images.collect import Collector
from inference.images.contract import Network, ObjectRule, Output, Quality
from inference.images.quality import look, unfit
from inference.images.quantity import Level, level
from inference.images.read import whole_of
from tests import image_objects as objects

RNG = np.random.default_rng(5)
CODE = Code("1", "99TEST", "One")


def test_a_letterbox_keeps_the_aspect_and_knows_its_place() -> None:
    image = RNG.integers(0, 255, (100, 300, 3), np.uint8)
    found, place = fit.letterbox(image, (64, 96))
    inner = np.asarray(Image.fromarray(image).resize((96, 32), Image.Resampling.BOX))
    np.testing.assert_array_equal(found[16:48], inner)
    assert not found[:16].any()
    assert not found[48:].any()
    corners = place.to_image(np.array([[0, 16, 96, 48]], np.float32))
    np.testing.assert_allclose(corners, [[0, 0, 300, 100]])


def test_a_view_of_a_part_is_told_in_pixels_of_the_whole() -> None:
    _, place = fit.letterbox(np.zeros((50, 50, 3), np.uint8), (100, 100), (30.0, 20.0))
    np.testing.assert_allclose(place.to_image(np.array([[0, 0, 100, 100]], np.float32)), [[30, 20, 80, 70]])


def test_shrinking_takes_area_means_and_growing_is_bilinear() -> None:
    image = RNG.integers(0, 255, (64, 96, 3), np.uint8)
    means = image.reshape(16, 4, 24, 4, 3).mean(axis=(1, 3))
    assert np.abs(fit.resized(image, 16, 24) - means).max() <= 1  # each of its two passes rounds
    grown = np.asarray(Image.fromarray(image).resize((192, 128), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(fit.resized(image, 128, 192), grown)


@pytest.mark.parametrize(("rows", "columns", "overlap"), [(150, 200, 16), (64, 64, 16), (10, 500, 32), (641, 130, 0)])
def test_tiles_cover_the_image_and_their_cores_are_it_without_overlap(rows: int, columns: int, overlap: int) -> None:
    image = RNG.integers(1, 255, (rows, columns, 3), np.uint8)
    seen, owned = np.zeros((rows, columns), int), np.zeros((rows, columns), int)
    for pixels, place in fit.tiles(image, (64, 64), overlap, 1.0):
        left, top = (int(v) for v in place.shift)
        assert left % 32 == top % 32 == 0
        part = image[top : top + 64, left : left + 64]
        np.testing.assert_array_equal(pixels[: part.shape[0], : part.shape[1]], part)
        assert not pixels[part.shape[0] :].any()
        seen[top : top + 64, left : left + 64] += 1
        core = [round(v) for v in place.core]
        owned[core[1] : core[3], core[0] : core[2]] += 1
    assert (seen >= 1).all()
    assert (owned == 1).all()


def network(kind: str, blend: str) -> Network:
    return Network("n.xml", "image", (64, 64), "tiles", 1.0, 0.0, 16, blend, (Output("out", kind, (1,), ()),))


def stitched(kind: str, blend: str, answer: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """What tiles of a picture come to when the network gives a function of each tile."""
    image = RNG.integers(0, 255, (150, 200, 3), np.uint8)
    pieces = list(fit.tiles(image, (64, 64), 16, 1.0))
    whole, canvas = whole_of([place for _, place in pieces], (64, 64))
    collector = Collector(network(kind, blend), (), 0, whole, canvas)
    for pixels, place in pieces:
        collector.add(place, {"out": answer(pixels)})
    found = collector.found().maps["out"]
    assert found.cell == (2.0, 2.0, 0.0, 0.0)
    return np.asarray(found.values)[..., :75, :100], image[:150, :200]


@pytest.mark.parametrize("blend", ["gaussian", "constant"])
def test_a_map_of_tiles_is_the_map_of_the_whole(blend: str) -> None:
    def mean(pixels: np.ndarray) -> np.ndarray:
        return (pixels[..., 0].reshape(32, 2, 32, 2).mean(axis=(1, 3)) / 255)[np.newaxis].astype(np.float32)

    found, image = stitched("probability", blend, mean)
    whole = image[..., 0].reshape(75, 2, 100, 2).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(found[0], whole, atol=1e-5)


def test_labels_of_tiles_are_those_of_the_whole() -> None:
    found, image = stitched("labels", "constant", lambda pixels: (pixels[::2, ::2, 0] > 128).astype(np.uint8))
    np.testing.assert_array_equal(found, image[::2, ::2, 0] > 128)


def test_the_weights_of_a_tile_are_those_of_monai() -> None:
    from inference.images.collect import _weights

    theirs = compute_importance_map((48, 64), mode="gaussian", sigma_scale=0.125, device="cpu").numpy()
    np.testing.assert_allclose(_weights(48, 64, "gaussian"), theirs.clip(1e-3), atol=2e-3)


RULE = ObjectRule("out", "boxes", (1, 2), 0.4, 0.0, 0.5, 16.0, 0.5, 0.0, False, 0, 1, 10_000)


def test_boxes_lose_what_is_weak_upside_down_unknown_or_seen_twice() -> None:
    table = np.array(
        [
            [10, 10, 20, 20, 0.9, 0],
            [11, 10, 21, 20, 0.8, 0],  # the same
            [11, 10, 21, 20, 0.7, 1],  # the same place, another class
            [40, 40, 50, 50, 0.3, 0],  # weak
            [30, 30, 20, 40, 0.9, 0],  # upside down
            [40, 10, 50, 20, 0.9, 7],  # unknown class
            [0, 0, 0, 0, 0, 0],
        ],
        np.float32,
    )
    whole = fit.Place((1.0, 1.0), (0.0, 0.0), (0.0, 0.0, 64.0, 64.0))
    boxed = Network("n.xml", "image", (64, 64), "whole", 1.0, 0.0, 0, "constant", (Output("out", "boxes", (1, 2), ()),))
    collector = Collector(boxed, (RULE,), 0, whole, (64, 64))
    collector.add(whole, {"out": table})
    found = collector.found().objects
    assert found.score.tolist() == pytest.approx([0.9, 0.7])
    assert found.kind.tolist() == [1, 2]


def test_blur_is_less_focus_and_an_even_picture_is_blank() -> None:
    sharp = RNG.integers(0, 255, (120, 160, 3), np.uint8)
    soft = np.asarray(Image.fromarray(sharp).resize((20, 15), Image.Resampling.BOX).resize((160, 120), Image.Resampling.BICUBIC))
    rule = Quality(min_focus=100, min_contrast=3, brightness=(30, 220))
    assert look(sharp).focus > 10 * look(soft).focus
    assert unfit(look(sharp), rule) == ""
    assert unfit(look(soft), rule) == "blurred"
    assert unfit(look(np.full((90, 90, 3), 128, np.uint8)), rule) == "blank"
    assert unfit(look((sharp // 10).astype(np.uint8)), rule) == "badly exposed"
    assert unfit(look(np.zeros((1, 1, 3), np.uint8)), rule) == "blank"
    assert unfit(look(sharp), None) == ""


def test_focus_does_not_depend_on_gain() -> None:
    sharp = RNG.integers(100, 200, (120, 160, 3)).astype(np.uint8)
    assert look((sharp - 100) * 2 // 2 + 20).focus == pytest.approx(look(sharp).focus, rel=0.01)


def regions(*items: Dataset) -> tuple[Region, ...]:
    ds = objects.ultrasound(np.zeros((100, 200, 3), np.uint8), list(items))
    return calibration.regions(ds, 100, 200)


def test_each_place_has_the_calibration_of_the_smallest_region_that_holds_it() -> None:
    found = regions(
        objects.region((0, 0, 199, 99), (0.02, 0.03)),
        objects.region((100, 0, 199, 99), (-0.01, 0.01)),
        objects.region((0, 0, 50, 20), (0.5, 0.5), units=4, kind=3),
    )
    assert len(found) == 2
    assert calibration.at(found, 20, 20) == pytest.approx((0.2, 0.3))
    assert calibration.at(found, 150, 20) == pytest.approx((0.1, 0.1))
    view = calibration.tissue_view(found)
    assert view is not None
    assert (view.right, view.bottom) == (200, 100)


@pytest.mark.parametrize(
    ("box", "cm"),
    [((0, 0, 199, 99), (0.0, 0.01)), ((300, 0, 400, 99), (0.01, 0.01)), ((50, 50, 10, 10), (0.01, 0.01))],
)
def test_regions_that_cannot_be_are_no_calibration(box: tuple[int, int, int, int], cm: tuple[float, float]) -> None:
    assert regions(objects.region(box, cm)) == ()


def test_a_detector_is_reduced_to_the_patient_by_its_magnification() -> None:
    ds = objects.radiograph(np.zeros((20, 30)))
    assert calibration.at(calibration.regions(ds, 20, 30), 5, 5) == pytest.approx((0.2, 0.2))
    ds.EstimatedRadiographicMagnificationFactor = "1.25"
    assert calibration.at(calibration.regions(ds, 20, 30), 5, 5) == pytest.approx((0.16, 0.16))
    ds.PixelSpacing = ["0.1", "0.3"]
    assert calibration.at(calibration.regions(ds, 20, 30), 5, 5) == pytest.approx((0.3, 0.1))


def test_a_grade_is_the_last_that_is_reached() -> None:
    # IUATLD (2000): none, 1-9 in 100 fields scanty, 10-99 one, 1-10 a field two, more than 10 a field three.
    bands = (
        Level(0, False, CODE), Level(0, True, CODE), Level(10, False, CODE), Level(100, False, CODE), Level(1000, True, CODE),
    )  # fmt: skip
    values = {0: 0, 1: 1, 9: 1, 10: 2, 99: 2, 100: 3, 1000: 3, 1001: 4}
    assert {value: bands.index(found) for value in values if (found := level(bands, value))} == values
    assert level(bands, None) is None
