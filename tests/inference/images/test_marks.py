"""Marks of things at the edge of an image stay inside it: a viewer or archive may refuse the whole object otherwise."""

from types import SimpleNamespace

import numpy as np
import pytest

from inference.images import pictures
from inference.images.report import corners
from inference.objects.table import plain


def test_boxes_are_cut_off_at_the_edges_and_those_inside_stay_as_they_are() -> None:
    boxes = np.array([[-4.0, -2.0, 10.0, 8.0], [90.0, 40.0, 105.0, 61.0], [20.0, 20.0, 30.0, 35.0]])
    things = plain(0, np.array([1, 1, 1]), np.array([0.9, 0.8, 0.7]), boxes)
    found = corners(things, np.arange(3), "box", (60, 100))
    assert found.shape == (3, 4, 2) and found.min() >= 0
    assert found[..., 0].max() == 100 and found[..., 1].max() == 60
    inside = np.flatnonzero((things.box == boxes[2]).all(axis=1))[0]
    np.testing.assert_array_equal(found[inside], [[20, 20], [30, 20], [30, 35], [20, 35]])


@pytest.mark.parametrize(("shown", "region"), [((768, 1024), (0, 0, 1536, 1152)), ((1152, 1536), None)])
def test_a_reduced_picture_says_how_much_of_the_image_it_shows(shown: tuple[int, int], region: object) -> None:
    image = SimpleNamespace(uid="1.2.3", rows=1152, columns=1536, frame=None)
    reading = SimpleNamespace(tally=SimpleNamespace(images=[image]), indices=[0])
    views = SimpleNamespace(view=lambda *_: np.zeros((*shown, 3), np.uint8))
    assert pictures._whole(reading, views, 0, "", True).region == region  # type: ignore[arg-type]
