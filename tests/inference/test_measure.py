"""Quantities from the tally, against the same counted the plain way."""

import numpy as np
import pytest

from inference.measure import (
    Tally,
    combinations,
    mean,
    percent_affected,
    percent_of_zone,
    slices_affected,
    tally,
    volume,
    zonal_severity,
)

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


def zones(*given: int) -> Tally:
    """Left and right alternating, feet to head: one slice of 100 pixels a side per zone."""
    percents = given or (0,) * 6
    layers = np.zeros((2, 5, 2, 100), np.uint8)
    for zone in range(3):
        for side in range(2):
            layers[0, 1 + zone, side] = 1 + side
            layers[1, 1 + zone, side, : percents[2 * zone + side]] = 3
    return tally(layers, np.zeros((5, 2, 100), np.int16), 1.0, LAYER_OF)


def severity(*percents: int) -> float | None:
    return zonal_severity(zones(*percents), (3, 4), (1, 2), 3, (25, 50, 75))


def test_zone_one_is_the_highest_and_its_percentage_is_its_own() -> None:
    counted = zones(10, 30, 0, 0, 50, 70)
    assert [percent_of_zone(counted, (3, 4), (1, 2), 3, zone, (1, 2)) for zone in (1, 2, 3)] == [60, 0, 20]
    assert percent_of_zone(counted, (3, 4), (2,), 3, 1, (1, 2)) == 70
    assert percent_of_zone(zones(), (3, 4), (1,), 3, 1, (4,)) is None


def test_slices_are_affected_from_the_share_asked_for() -> None:
    counted = zones(10, 30, 0, 0, 1, 0)
    assert slices_affected(counted, (3, 4), (1, 2), 0) == pytest.approx(200 / 3)
    assert slices_affected(counted, (3, 4), (1, 2), 20) == pytest.approx(100 / 3)
    assert slices_affected(counted, (3, 4), (1, 2), 21) == 0


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
