"""Contours cover exactly what the mask covers."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw

from sr_writer.contour import loops


def area(points: np.ndarray) -> float:
    """By the shoelace formula, positive for clockwise on the screen."""
    x, y = points.T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_areas_add_up_to_the_mask_and_every_loop_is_closed(mask: np.ndarray) -> None:
    found = loops(mask)
    assert sum(area(points) for points in found) == mask.sum()
    assert all((points[0] == points[-1]).all() and len(points) >= 5 for points in found)
    assert all((points >= 0).all() and (points <= mask.shape[::-1]).all() for points in found)


def test_a_ring_has_an_outer_and_an_inner_boundary_of_corners_alone() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2:18, 3:17] = True
    mask[8:12, 8:12] = False
    outer, inner = sorted(loops(mask), key=area, reverse=True)
    assert (area(outer), area(inner)) == (16 * 14, -16)
    assert len(outer) == len(inner) == 5


def test_a_filled_polygon_is_the_mask_again() -> None:
    y, x = np.mgrid[:60, :60]
    mask = (x - 30) ** 2 / 400 + (y - 25) ** 2 / 200 < 1
    (points,) = loops(mask)
    image = Image.new("1", (600, 600))
    ImageDraw.Draw(image).polygon([tuple(p * 10) for p in points], fill=1)
    np.testing.assert_array_equal(np.asarray(image)[5::10, 5::10], mask)
