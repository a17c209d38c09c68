"""Each step beside the reference it is named after, or beside a plain loop that nobody can get wrong."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import draw, measure

from inference.images.contract import ObjectRule
from inference.objects import components, crops, shape, suppress, tracks
from inference.objects.table import Objects, empty, joined, plain

RNG = np.random.default_rng(7)
RULE = ObjectRule("out", "probability", (1, 2), 0.0, 0.0, 0.5, 16.0, 0.5, 0.0, False, 0, 1, 10_000)
CELL = (1.0, 1.0, 0.0, 0.0)


def rule(**changes: object) -> ObjectRule:
    return ObjectRule(**{**{name: getattr(RULE, name) for name in RULE.__slots__}, **changes})  # type: ignore[arg-type]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    inner = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    return float(inner / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inner))


def boxes(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    corners = RNG.uniform(0, 60, (n, 2))
    return (
        np.hstack([corners, corners + RNG.uniform(4, 20, (n, 2))]).astype(np.float32),
        RNG.permutation(n).astype(np.float32) / n,
        RNG.integers(1, 3, n),
    )


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_non_maximum_suppression_is_the_greedy_one_class_by_class(threshold: float) -> None:
    places, scores, classes = boxes(150)
    kept: list[int] = []
    for i in np.argsort(-scores):
        if all(classes[i] != classes[j] or iou(places[i], places[j]) <= threshold for j in kept):
            kept.append(int(i))
    assert suppress.by_overlap(places, scores, classes, threshold).tolist() == kept


def test_suppression_by_distance_keeps_the_best_of_what_is_near() -> None:
    places, scores, classes = boxes(200)
    centres = places[:, :2]
    kept: list[int] = []
    for i in np.argsort(-scores):
        if all(classes[i] != classes[j] or np.linalg.norm(centres[i] - centres[j]) >= 6 for j in kept):
            kept.append(int(i))
    assert suppress.by_distance(centres, scores, classes, 6.0).tolist() == kept


def test_equal_scores_are_ordered_by_place_not_by_who_came_first() -> None:
    centres = RNG.permutation(np.array([(x, y) for x in range(10) for y in range(10)], np.float32))
    scores, classes = np.ones(100, np.float32), np.ones(100, int)
    first = centres[suppress.by_distance(centres, scores, classes, 2.5)]
    again = RNG.permutation(centres)
    np.testing.assert_array_equal(first, again[suppress.by_distance(again, scores, classes, 2.5)])


def field(seed: int = 3) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(2, 80, 90)), (0, 3, 3))
    return ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)


@pytest.mark.parametrize("connectivity", [1, 2])
def test_components_are_those_of_scikit_image(connectivity: int) -> None:
    values = field()
    found = components.of_probability(values, (1, 2), rule(connectivity=connectivity), 0, CELL, 1.0)
    for channel, number in enumerate((1, 2)):
        regions = measure.regionprops(
            measure.label(values[channel] >= 0.5, connectivity=connectivity), intensity_image=values[channel]
        )
        mine = found.take(found.kind == number)
        assert sorted(mine.area.tolist()) == sorted(float(r.area) for r in regions)
        np.testing.assert_allclose(sorted(mine.score), sorted(r.intensity_mean for r in regions), rtol=1e-4)
        centres = sorted((round(r.centroid[1] + 0.5, 2), round(r.centroid[0] + 0.5, 2)) for r in regions)
        np.testing.assert_allclose(sorted(map(tuple, mine.centre.round(2).tolist())), centres, atol=0.02)
        edges = sorted((r.bbox[1], r.bbox[0], r.bbox[3], r.bbox[2]) for r in regions)
        assert sorted(map(tuple, mine.box.astype(int).tolist())) == edges


def test_small_components_go_holes_are_filled_and_the_largest_stay() -> None:
    labels = np.zeros((40, 60), np.uint8)
    labels[5:20, 5:20], labels[10:12, 10:12] = 1, 0  # 225 - 4
    labels[5:15, 30:40] = 1  # 100
    labels[30, 50] = 1  # 1
    areas = {
        name: sorted(components.of_labels(labels, rule(classes=(1,), **changes), 0, CELL, 1.0).area.tolist())
        for name, changes in {
            "all": {},
            "filled": {"fill_holes": True},
            "large": {"min_area": 2.0},
            "largest": {"keep_largest": 1},
        }.items()
    }
    assert areas == {"all": [1, 100, 221], "filled": [1, 100, 225], "large": [100, 221], "largest": [221]}


def test_places_and_areas_are_told_in_pixels_of_the_image() -> None:
    labels = np.zeros((10, 10), np.uint8)
    labels[2:4, 3:7] = 1
    found = components.of_labels(labels, rule(classes=(1,)), 0, (2.0, 3.0, -4.0, 1.0), 1.0)
    assert found.box[0].tolist() == [2, 7, 10, 13]
    assert found.centre[0].tolist() == [6, 10]
    assert found.area[0] == 8 * 6


def ellipse(rows: int, columns: int, angle: float) -> np.ndarray:
    mask = np.zeros((160, 160), bool)
    mask[draw.ellipse(80, 80, rows, columns, rotation=np.deg2rad(angle))] = True
    return mask


def object_of(mask: np.ndarray, cell: components.Cell = CELL) -> Objects:
    return components.of_labels(mask.astype(np.uint8), rule(classes=(1,)), 0, cell, 1.0)


@pytest.mark.parametrize("angle", [0, 20, 45, 110])
def test_the_long_axis_is_the_largest_feret_diameter_and_the_short_one_stands_on_it(angle: float) -> None:
    found = shape.axes(shape.polygon(object_of(ellipse(60, 30, angle)), 0))
    reference = measure.regionprops(ellipse(60, 30, angle).astype(int))[0]
    assert found.long_length == pytest.approx(reference.feret_diameter_max, abs=1.5)
    assert found.short_length == pytest.approx(60, abs=2.5)
    a, b = found.long[1] - found.long[0], found.short[1] - found.short[0]
    assert abs(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b)) < 0.02


def test_axes_are_right_where_pixels_are_not_square() -> None:
    found = shape.axes(shape.polygon(object_of(ellipse(30, 40, 0)), 0), (0.1, 0.2))
    assert (found.long_length, found.short_length) == (pytest.approx(12, abs=0.5), pytest.approx(8, abs=0.3))
    assert abs(found.long[0, 1] - found.long[1, 1]) == pytest.approx(60, abs=2)  # it goes down the image: pixels of 0.2 mm


def test_a_coarse_mask_is_outlined_smoothly() -> None:
    fine = ellipse(60, 30, 30)
    coarse = fine.reshape(20, 8, 20, 8).mean(axis=(1, 3)) >= 0.5
    points = shape.polygon(object_of(coarse, (8.0, 8.0, 0.0, 0.0)), 0)
    drawn = draw.polygon2mask((160, 160), points[:, ::-1] - 0.5)
    stairs = np.kron(coarse, np.ones((8, 8), bool))
    dice = [2 * (mask & fine).sum() / (mask.sum() + fine.sum()) for mask in (drawn, stairs)]
    assert dice[0] > 0.93
    assert dice[0] > dice[1]


def test_the_drawn_mask_of_an_object_on_its_own_grid_is_its_mask() -> None:
    mask = ellipse(20, 35, 15)
    rows, columns, drawn = shape.drawn(object_of(mask), 0, 160, 160)
    whole = np.zeros_like(mask)
    whole[rows, columns] = drawn
    np.testing.assert_array_equal(whole, mask)


def test_a_crop_is_the_square_around_the_box_black_beyond_the_image() -> None:
    image = RNG.integers(1, 255, (50, 60, 3), np.uint8)
    left, top, side = crops.square(np.array([50, 40, 60, 48]), 2.0, 0)
    assert (left, top, side) == (45, 34, 20)
    found = crops.cut(image, left, top, side)
    np.testing.assert_array_equal(found[:16, :15], image[34:50, 45:60])
    assert not found[16:].any()
    assert not found[:, 15:].any()


def frames(*found: tuple[int, float, float, float]) -> Objects:
    """Objects (frame, left, side, score) as squares."""
    parts = [plain(f, np.array([1]), np.array([s]), np.array([[x, 10, x + w, 10 + w]])) for f, x, w, s in found]
    return joined(parts)


def test_what_overlaps_from_frame_to_frame_is_one_thing() -> None:
    table = frames((0, 10, 20, 0.6), (1, 13, 20, 0.9), (2, 15, 22, 0.7), (0, 80, 20, 0.8), (2, 82, 20, 0.5))
    linked = tracks.linked(table, np.zeros(3, int), 0.3, gap=1)
    assert len(set(linked.track[:3].tolist())) == 1
    assert linked.track[3] == linked.track[4] != linked.track[0]
    assert sorted(tracks.representatives(linked, "score").tolist()) == [1, 3]
    assert sorted(tracks.representatives(linked, "area").tolist()) == [2, 3]
    apart = tracks.linked(table, np.zeros(3, int), 0.3, gap=0)
    assert apart.track[3] != apart.track[4]


def test_objects_of_different_cines_are_never_one_and_short_ones_can_be_left_out() -> None:
    table = frames((0, 10, 20, 0.6), (1, 10, 20, 0.9))
    assert len(set(tracks.linked(table, np.array([0, 1]), 0.3, 3).track.tolist())) == 2
    several = frames((0, 10, 20, 0.6), (1, 12, 20, 0.9), (1, 90, 20, 0.9))
    assert len(tracks.linked(several, np.zeros(2, int), 0.3, 3, min_frames=2)) == 2


def test_tables_keep_their_shapes_when_taken_and_joined() -> None:
    one, two = object_of(ellipse(20, 35, 15)), object_of(ellipse(10, 12, 0))
    both = joined([one, empty(), two, plain(0, np.array([1]), np.array([0.5]), np.array([[0, 0, 4, 4]]))])
    back = both.take(np.array([2, 1, 0]))
    assert back.masks.mask(0).size == 0
    np.testing.assert_array_equal(back.masks.mask(1), two.masks.mask(0))
    np.testing.assert_array_equal(back.masks.mask(2), one.masks.mask(0))
    assert len(set(both.track.tolist())) == 3
