"""Opacities put into other lungs and what only looks like opacity: labels stay true, healthy lung stays healthy."""

import numpy as np
import pytest

from training.chest_ct_opacity import paste


@pytest.fixture
def slice_():
    hu = np.full((64, 64), 40.0, np.float32)
    lungs = np.zeros(hu.shape, np.uint8)
    lungs[8:56, 34:60], lungs[8:56, 4:30] = 1, 2
    hu[lungs > 0] = -850
    opacity = np.zeros(hu.shape, np.uint8)
    opacity[20:26, 40:48], opacity[40:44, 40:44], opacity[30, 50] = 1, 2, 1
    hu[opacity == 1], hu[opacity == 2] = -500, 0
    return hu, lungs, opacity


def test_pieces_are_the_opacities_that_stand_out(slice_):
    hu, lungs, opacity = slice_
    opacity[50:54, 8:14] = 1  # as dark as healthy lung
    found = paste.pieces(hu.astype(np.int16), lungs, opacity)
    assert [int((p.label > 0).sum()) for p in found] == [48, 16], "a single pixel and what does not stand out are left"
    assert [set(np.unique(p.label)) - {0} for p in found] == [{1}, {2}]
    assert found[0].rise[found[0].label > 0].mean() == pytest.approx(350)


def test_a_piece_is_put_into_healthy_lung_only_and_labelled_there(slice_):
    hu, lungs, opacity = slice_
    held = paste.pieces(hu.astype(np.int16), lungs, opacity)
    stack, before = np.repeat(hu[None], 3, 0), opacity.copy()
    for seed in range(20):
        paste.put(stack, lungs, opacity, held, np.random.default_rng(seed))
    new = (opacity > 0) & (before == 0)
    assert new.sum() > 50
    assert (lungs[new] > 0).all() and np.array_equal(opacity[before > 0], before[before > 0])
    assert (stack[:, new] > hu[new] + 50).all()
    assert np.array_equal(stack[:, lungs == 0], np.repeat(hu[None], 3, 0)[:, lungs == 0])


def test_nothing_is_put_where_no_lung_is_healthy(slice_):
    hu, lungs, opacity = slice_
    held = paste.pieces(hu.astype(np.int16), lungs, opacity)
    stack, ill = hu[None].copy(), np.full_like(opacity, 255)
    paste.put(stack, lungs, ill, held, np.random.default_rng(0))
    assert np.array_equal(stack[0], hu) and (ill == 255).all()


def test_lung_gets_denser_towards_the_back_and_nothing_else_changes(slice_):
    hu, lungs, _ = slice_
    stack = np.repeat(hu[None], 3, 0)
    paste.gravity(stack, lungs, np.random.default_rng(1))
    healthy = hu == -850
    rise = (stack[1] - hu)[:, 10]
    assert rise[50] > rise[30] > rise[12] >= 0
    assert np.array_equal(stack[1][~healthy & (hu > -500)], hu[~healthy & (hu > -500)])


def test_fluid_is_neither_lung_nor_opacity(slice_):
    hu, lungs, opacity = (np.kron(part, np.ones((3, 3), part.dtype)) for part in slice_)
    stack, area = np.repeat(hu[None], 3, 0), int((lungs > 0).sum())
    opacity[lungs > 0] = 1
    paste.effusion(stack, lungs, opacity, np.random.default_rng(2))
    fluid = (opacity == 0) & (hu < 0)
    assert fluid.sum() > 100 and (lungs > 0).sum() < area
    assert not lungs[fluid].any()
    assert -10 < np.median(stack[:, fluid]) < 40
