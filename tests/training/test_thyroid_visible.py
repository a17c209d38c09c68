"""The limit of visibility: what stands out of speckle passes, what only the generator knows of does not."""

import numpy as np
import pytest

from training.thyroid_us_nodule import phantom, visible

SIDE = 128


def _disk(radius: float, row: float = 64, column: float = 64) -> np.ndarray:
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    return np.asarray((y - row) ** 2 + (x - column) ** 2 < radius**2)


def _speckle(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asarray(55 * rng.rayleigh(0.8, (SIDE, SIDE)))


def _stored(grey: np.ndarray) -> np.ndarray:
    return np.clip(grey, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("gain", [0.35, 2.6])
def test_a_nodule_darker_or_brighter_than_what_is_around_it_is_seen(gain):
    mask = _disk(22)
    assert visible.border(_stored(np.where(mask, _speckle() * gain, _speckle())), mask) > 0.9


def test_a_nodule_that_changes_nothing_is_not_seen():
    for seed in range(4):
        assert visible.border(_stored(_speckle(seed)), _disk(22)) < visible.LEAST_SHARE


def test_a_halo_alone_is_seen():
    mask = _disk(22)
    ring = _disk(23.5) & ~_disk(20.5)
    assert visible.border(_stored(np.where(ring, 0.15, 1.0) * _speckle()), mask) > 0.9


def test_an_edge_of_the_tissue_through_the_middle_is_no_border():
    half = np.arange(SIDE)[:, None] < 64
    picture = _stored(_speckle() * np.where(half, 0.4, 1.0))
    assert visible.border(picture, _disk(22)) < visible.LEAST_SHARE


def test_a_sliver_is_not_a_nodule():
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[0:3, 20:40] = 1
    assert not visible.all_seen(_stored(np.where(labels > 0, 10.0, 200.0)), labels)
    assert visible.all_seen(_stored(_speckle()), np.zeros_like(labels))


def test_every_nodule_of_a_phantom_can_be_seen_and_equal_numbers_stay_equal_without_the_limit():
    again = 0
    for seed in range(706, 712):
        made, free = phantom.make(seed), phantom.make(seed, unseen=True)
        assert visible.all_seen(made.pixels, made.labels)
        same = np.array_equal(made.pixels, free.pixels)
        assert same == visible.all_seen(free.pixels, free.labels)
        again += not same
    assert 0 < again < 6
