"""Each step against the reference it is named after."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from inference.steps.grid import Grid
from inference.steps.post import closing, fill_holes, keep_largest, remove_small, restrict_to
from inference.steps.pre import normalize_intensity, scale_intensity_range
from inference.steps.resize import enlarge, nearest, resize

LAYER_OF = {1: 0, 2: 0, 3: 1, 4: 1}


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


def grid(*layers: npt.NDArray[np.generic], spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Grid:
    return Grid(np.stack(layers).astype(np.uint8), spacing, LAYER_OF)


def blobs(random: np.random.Generator, shape: tuple[int, int, int] = (9, 30, 33)) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = ndimage.gaussian_filter(random.normal(size=shape), 1.2) > 0.08
    return found


def test_scale_intensity_range_maps_and_clips() -> None:
    image = np.array([[-1000, -350, 300, 600]], np.int16)
    assert np.allclose(scale_intensity_range(image, -1000, 300, 0, 1, True), [[0, 0.5, 1, 1]])
    assert scale_intensity_range(image, -1000, 300, 0, 1, False)[0, 3] == pytest.approx(1.2308, abs=1e-4)


def test_normalize_intensity_subtracts_and_divides() -> None:
    assert np.allclose(normalize_intensity(np.array([[10, 30]], np.int16), 10, 4), [[0, 5]])


def test_area_resize_of_a_whole_factor_is_the_mean_of_blocks(random: np.random.Generator) -> None:
    image = random.integers(-1024, 3000, (64, 96)).astype(np.int16)
    expected = image.reshape(32, 2, 24, 4).mean(axis=(1, 3))
    assert np.allclose(resize(image, (32, 24), "area"), expected, atol=1e-3)


def test_area_resize_of_any_factor_keeps_the_mean(random: np.random.Generator) -> None:
    image = random.normal(size=(61, 100))
    fine = np.repeat(np.repeat(image, 7, axis=0), 9, axis=1)  # every pixel cut up: 7 and 9 output rows and columns fit evenly
    expected = fine.reshape(7, 61, 9, 100).mean(axis=(1, 3))
    assert np.allclose(resize(image, (7, 9), "area"), expected, atol=1e-5)


def test_bilinear_resize_takes_pixel_centres() -> None:
    ramp = np.tile(np.arange(8.0), (8, 1))
    assert np.allclose(resize(ramp, (8, 16), "bilinear")[0, :4], [0, 0.25, 0.75, 1.25])
    assert np.allclose(resize(ramp, (8, 4), "bilinear")[0], [0.5, 2.5, 4.5, 6.5])


def test_nearest_takes_the_pixel_that_covers_the_centre() -> None:
    assert nearest(2, 4).tolist() == [0, 0, 1, 1]
    assert nearest(3, 3).tolist() == [0, 1, 2]
    assert nearest(4, 6).tolist() == [0, 1, 1, 2, 3, 3]


@pytest.mark.parametrize("size", [(10, 14), (5, 7), (15, 21), (10, 7), (12, 9)], ids=str)
def test_labels_are_enlarged_into_any_view_by_nearest_neighbour(random: np.random.Generator, size: tuple[int, int]) -> None:
    labels = random.integers(0, 256, (7, 5), dtype=np.uint8).T
    expected = labels[nearest(5, size[0])][:, nearest(7, size[1])]
    turned, spaced = np.zeros(size[::-1], np.uint8).T[::-1], np.zeros((size[0], 2 * size[1]), np.uint8)[:, ::2]
    for out in (np.zeros(size, np.uint8), turned, spaced):
        enlarge(labels, out)
        assert np.array_equal(out, expected)


@pytest.mark.parametrize("connectivity", [1, 2, 3])
def test_keep_largest_keeps_what_scipy_calls_the_largest(random: np.random.Generator, connectivity: int) -> None:
    mask = blobs(random)
    numbers, _ = ndimage.label(mask, ndimage.generate_binary_structure(3, connectivity))
    sizes = np.bincount(numbers.ravel())[1:]
    order = np.argsort(-sizes, kind="stable")
    for count in (1, 3):
        found = grid(mask * 2, mask * 0)
        keep_largest(found, (1, 2), count, connectivity)
        assert np.array_equal(found.layers[0] == 2, np.isin(numbers, order[:count] + 1))


def test_each_segment_keeps_its_own_largest_component() -> None:
    layer = np.zeros((1, 5, 9), np.uint8)
    layer[0, 1:3, 0:2], layer[0, 4, 0] = 1, 1
    layer[0, 1:4, 5:8], layer[0, 0, 8] = 2, 2
    found = grid(layer, layer * 0)
    keep_largest(found, (1, 2))
    assert ((found.layers[0] == 1).sum(), (found.layers[0] == 2).sum()) == (4, 9)


def test_remove_small_objects_counts_millilitres(random: np.random.Generator) -> None:
    mask = blobs(random)
    numbers, _ = ndimage.label(mask)
    sizes = np.bincount(numbers.ravel()) * 5.0 * 2.0 * 2.0 / 1000
    found = grid(mask * 0, mask * 3, spacing=(5.0, 2.0, 2.0))
    remove_small(found, (3, 4), 0.5)
    assert np.array_equal(found.layers[1] == 3, mask & (sizes[numbers] >= 0.5))
    assert 0 < (found.layers[1] == 3).sum() < mask.sum()


def test_segments_together_are_one_object() -> None:
    layer = np.zeros((1, 4, 8), np.uint8)
    layer[0, 0:2, 0:3], layer[0, 0:2, 3:6] = 3, 4
    apart, together = grid(layer * 0, layer), grid(layer * 0, layer)
    remove_small(apart, (3, 4), 0.010)
    remove_small(together, (3, 4), 0.010, together=True)
    assert not apart.layers.any()
    assert np.array_equal(together.layers[1], layer)


@pytest.mark.parametrize("per_slice", [True, False])
def test_fill_holes_fills_what_scipy_fills(random: np.random.Generator, per_slice: bool) -> None:
    mask = ndimage.binary_dilation(blobs(random))
    expected = np.stack([ndimage.binary_fill_holes(s) for s in mask]) if per_slice else ndimage.binary_fill_holes(mask)
    found = grid(mask * 1, mask * 0)
    fill_holes(found, (1, 2), per_slice)
    assert np.array_equal(found.layers[0] == 1, expected)
    assert expected.sum() > mask.sum() or not per_slice


def test_fill_holes_never_takes_another_segment() -> None:
    layer = np.ones((1, 7, 7), np.uint8)
    layer[0, 2:5, 2:5] = 0
    layer[0, 3, 3] = 2
    found = grid(layer, layer * 0)
    fill_holes(found, (1,))
    assert (found.layers[0] == 1).sum() == 48 and found.layers[0, 0, 3, 3] == 2


@pytest.mark.parametrize("radii", [(0, 0), (1, 1), (2, 3), (5, 4), (7, 0)])
def test_closing_is_that_of_an_image_without_borders(random: np.random.Generator, radii: tuple[int, int]) -> None:
    mask = random.random((3, 24, 26)) > 0.9
    structure = np.ones((1, 2 * radii[0] + 1, 2 * radii[1] + 1), bool)
    wide = np.pad(mask, ((0, 0), (10, 10), (10, 10)))
    expected = ndimage.binary_closing(wide, structure)[:, 10:-10, 10:-10]
    assert np.array_equal(closing(mask, radii), expected)


def test_lesions_outside_organs_go_and_those_in_their_bays_stay_and_belong_to_the_organ() -> None:
    lungs = np.zeros((1, 12, 20), np.uint8)
    lungs[0, 2:10, 2:8], lungs[0, 2:10, 12:18] = 1, 2
    lungs[0, 5:7, 2:4] = 0  # a bay of 2 x 2 pixels
    opacity = np.zeros_like(lungs)
    opacity[0, 5:7, 2:6] = 3
    opacity[0, 0:1, 9:11] = 4
    found = grid(lungs, opacity)
    restrict_to(found, (3, 4), (1, 2), closing_mm=1.0)
    assert (found.layers[1] == 3).sum() == 8 and not (found.layers[1] == 4).any()
    assert np.array_equal(found.layers[0], lungs)
    restrict_to(found, (3, 4), (1, 2), closing_mm=1.0, extend=True)
    assert (found.layers[0] == 1).sum() == 48
    strict = grid(lungs, opacity)
    restrict_to(strict, (3, 4), (1, 2))
    assert (strict.layers[1] == 3).sum() == 4


def test_steps_leave_empty_layers_alone() -> None:
    empty = np.zeros((2, 4, 4), np.uint8)
    found = grid(empty, empty)
    keep_largest(found, (1, 2))
    remove_small(found, (3, 4), 1.0, together=True)
    fill_holes(found, (1, 2))
    restrict_to(found, (3, 4), (1, 2), 5.0, True)
    assert not found.layers.any()


def test_a_resized_slice_does_not_change_when_the_next_one_is_resized(random: np.random.Generator) -> None:
    image = random.integers(-1000, 1000, (64, 64)).astype(np.int16)
    first = resize(image, (32, 32), "area")
    before = first.copy()
    resize(-image, (32, 32), "area")
    assert np.array_equal(first, before)


def test_values_near_the_ends_of_their_type_are_averaged_without_overflow() -> None:
    assert np.array_equal(resize(np.full((4, 4), 32767, np.int16), (1, 1), "area"), [[32767.0]])
