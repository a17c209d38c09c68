"""Quantities from the tally, against the same counted the plain way."""

import numpy as np
import pytest

from inference.measure import Tally, combinations, mean, percent_affected, tally, volume, zonal_severity

LAYER_OF = {1: 0, 2: 0, 3: 1, 4: 1}


@pytest.fixture
def labels() -> np.ndarray:
    random = np.random.default_rng(3)
    return np.stack([random.choice([0, 1, 2], (6, 9, 7)), random.choice([0, 3, 4], (6, 9, 7))]).astype(np.uint8)


@pytest.fixture
def hu() -> np.ndarray:
    return np.random.default_rng(4).integers(-1024, 2000, (6, 9, 7)).astype(np.int16)


def test_volumes_means_and_percentages_agree_with_plain_counting(labels: np.ndarray, hu: np.ndarray) -> None:
    counted = tally(labels, hu, 0.002, LAYER_OF)
    lungs, lesions = labels[0] > 0, labels[1] > 0
    assert volume(counted, (1,)) == pytest.approx((labels[0] == 1).sum() * 0.002)
    assert volume(counted, (1, 4)) == pytest.approx(((labels[0] == 1) | (labels[1] == 4)).sum() * 0.002)
    assert mean(counted, (3,)) == pytest.approx(hu[labels[1] == 3].mean())
    assert percent_affected(counted, (3, 4), (1, 2)) == pytest.approx(100 * (lungs & lesions).sum() / lungs.sum())
    left = labels[0] == 1
    assert percent_affected(counted, (4,), (1,)) == pytest.approx(100 * (left & (labels[1] == 4)).sum() / left.sum())
    assert counted.area(2).tolist() == (labels[0] == 2).sum(axis=(1, 2)).tolist()


def test_nothing_segmented_has_no_mean_and_no_percentage(hu: np.ndarray) -> None:
    counted = tally(np.zeros((2, 6, 9, 7), np.uint8), hu, 1.0, LAYER_OF)
    assert volume(counted, (1, 2)) == 0
    assert mean(counted, (3,)) is None
    assert percent_affected(counted, (3, 4), (1, 2)) is None
    assert zonal_severity(counted, (3, 4), (1, 2), 3, (25, 50, 75)) is None


def severity(*percents: int) -> float | None:
    """Left and right alternating, feet to head: one slice of 100 pixels a side per zone."""
    layers = np.zeros((2, 5, 2, 100), np.uint8)
    for zone in range(3):
        for side in range(2):
            layers[0, 1 + zone, side] = 1 + side
            layers[1, 1 + zone, side, : percents[2 * zone + side]] = 3
    counted: Tally = tally(layers, np.zeros((5, 2, 100), np.int16), 1.0, LAYER_OF)
    return zonal_severity(counted, (3, 4), (1, 2), 3, (25, 50, 75))


@pytest.mark.parametrize(
    ("percents", "score"),
    [
        ((0, 0, 0, 0, 0, 0), 0),
        ((1, 0, 0, 0, 0, 0), 1),
        ((24, 0, 0, 0, 0, 0), 1),
        ((25, 0, 0, 0, 0, 0), 2),
        ((49, 50, 0, 0, 0, 0), 5),
        ((74, 75, 0, 0, 0, 0), 7),
        ((1, 25, 50, 75, 100, 0), 14),
        ((100, 100, 100, 100, 100, 100), 24),
    ],
)
def test_the_severity_score_adds_zones(percents: tuple[int, ...], score: int) -> None:
    assert severity(*percents) == score


def test_combinations_multiply_over_layers() -> None:
    assert combinations(LAYER_OF) == 9
    assert combinations({i: i for i in range(1, 200)}) == 2**199
