"""Outlines: exact on pixel edges, closed, few points, the largest region only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from inference.outline import area, largest_region, outline, simplify, trace


def test_one_pixel_is_a_square_around_it() -> None:
    mask = np.zeros((4, 5), bool)
    mask[2, 3] = True
    assert outline(mask).tolist() == [[3, 2], [4, 2], [4, 3], [3, 3], [3, 2]]


def test_a_region_at_the_border_is_closed() -> None:
    assert outline(np.ones((3, 2), bool)).tolist() == [[0, 0], [2, 0], [2, 3], [0, 3], [0, 0]]


def test_only_the_largest_region_is_drawn_and_corners_do_not_connect() -> None:
    mask = np.zeros((6, 6), bool)
    mask[0:2, 0:2] = mask[2:5, 2:5] = True
    assert area(outline(mask)) == 9
    assert outline(mask).min(axis=0).tolist() == [2, 2]


def test_an_empty_mask_has_no_outline() -> None:
    with pytest.raises(ValueError, match="empty"):
        outline(np.zeros((3, 3), bool))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.2, 0.9))
def test_the_exact_outline_encloses_the_region_and_its_holes(seed: int, fullness: float) -> None:
    mask = np.random.default_rng(seed).random((12, 14)) < fullness
    mask[5, 5] = True
    region = largest_region(mask)
    points = trace(region)
    assert (points[0] == points[-1]).all()
    # What the outline encloses are the region and its holes; holes that touch the outside at a corner only are open.
    filled = ndimage.binary_fill_holes(region, ndimage.generate_binary_structure(2, 2))
    assert area(points) == filled.sum()
    assert (np.abs(np.diff(points, axis=0)).min(axis=1) == 0).all()


def test_a_large_ragged_region_gets_few_points_and_keeps_its_area() -> None:
    y, x = np.mgrid[:512, :512]
    angle = np.arctan2(y - 256, x - 256)
    mask = np.hypot(y - 256, x - 256) < 150 + 20 * np.sin(9 * angle)
    points = outline(mask)
    assert len(points) <= 200
    assert (points[0] == points[-1]).all()
    assert area(points) == pytest.approx(mask.sum(), rel=0.01)


def test_no_dropped_point_is_farther_away_than_the_tolerance() -> None:
    angle = np.linspace(0, 2 * np.pi, 400)
    circle = np.stack([50 + 40 * np.cos(angle), 50 + 40 * np.sin(angle)], axis=1)
    kept = simplify(circle, 0.5)
    assert len(kept) < 60
    assert np.abs(np.hypot(*(0.5 * (kept[1:] + kept[:-1]) - 50).T) - 40).max() <= 0.55
