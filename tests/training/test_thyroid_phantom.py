"""The ultrasound phantom: its truth must be right, because the networks believe it."""

import numpy as np
import pytest

from training.thyroid_us_nodule import crops, phantom, pool, sound
from training.thyroid_us_nodule.field import ellipse, make_grid
from training.thyroid_us_nodule.nodule import Nodule, paint
from training.thyroid_us_nodule.tirads import MARGIN, SIDE
from training.thyroid_us_nodule.tissue import gland, ground

SEEDS = range(500, 505)
EMPTY_SEED = 521


@pytest.fixture(scope="module")
def drawn() -> list[phantom.Phantom]:
    return [phantom.make(seed) for seed in SEEDS]


def _painted(composition: int, echo: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Grey levels of a plain lobe with one nodule in the middle, and the nodule's mask."""
    rng = np.random.default_rng(seed)
    grid = make_grid((160, 160), 0.2, 8.0, 0.0, rng)
    tissue = ground(grid, rng)
    gland(tissue, ellipse(grid, (0.0, 24.0), (40.0, 40.0)), 0.0, rng)
    nodule = Nodule((0.0, 22.0), (7.0, 5.0), 0.0, composition, echo, 0, (False, False, False, False), False)
    mask = paint(tissue, nodule, rng) > 0
    return sound.insonify(tissue, rng), mask


def test_pictures_and_labels_have_one_size(drawn):
    for made in drawn:
        assert made.pixels.shape == made.labels.shape == (phantom.SIZE, phantom.SIZE)
        assert made.pixels.dtype == made.labels.dtype == np.uint8
        assert made.labels.max() <= len(made.nodules)


def test_most_pictures_show_a_nodule_and_some_none(drawn):
    assert sum(bool(made.labels.any()) for made in drawn) >= 3
    empty = phantom.make(EMPTY_SEED)
    assert not empty.labels.any() and empty.pixels.any()


def test_equal_seeds_give_equal_pictures_and_others_do_not():
    first, again, other = (phantom.make(seed).pixels for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_cyst_is_darker_than_the_gland_and_what_lies_behind_it_is_brighter_than_beside():
    darker, brighter = [], []
    for seed in range(6):
        grey, mask = _painted(0, 0, seed)
        columns = np.nonzero(mask.any(0))[0]
        behind = np.zeros_like(mask)
        last = len(mask) - 1 - mask[::-1].argmax(0)
        for column in columns[len(columns) // 4 : -len(columns) // 4]:
            behind[last[column] + 4 : last[column] + 24, column] = True
        darker.append(grey[mask].mean() / grey[~mask].mean())
        brighter.append(grey[behind].mean() - grey[np.roll(behind, 60, 1)].mean())
    assert np.mean(darker) < 0.6
    assert np.mean(brighter) > 0


def test_a_hypoechoic_nodule_is_darker_and_a_hyperechoic_one_not():
    for echo, darker in ((3, True), (1, False)):
        grey, mask = _painted(3, echo)
        assert bool(grey[mask].mean() < 0.8 * grey[~mask].mean()) is darker


def test_speckle_of_even_tissue_has_the_statistics_of_a_rayleigh_envelope():
    power = sound._power(np.ones((256, 256), np.float32), np.random.default_rng(1))
    ratio = float(np.sqrt(power).mean() / np.sqrt(power).std())
    assert ratio > 1.7, "1.91 for one look (Wagner 1983), more with compounding"


def test_features_are_told_for_each_nodule():
    chunk = pool.draw(range(20, 23))
    for k in range(3):
        count = int((chunk.features[k, :, 0] >= 0).sum())
        assert chunk.labels[k].max() <= count
    assert chunk.features.max() <= 3 and chunk.features.min() >= -1


def test_a_crop_is_a_square_about_the_nodule_with_its_mask():
    pixels = np.zeros((100, 200), np.uint8)
    pixels[40:60, 80:120] = 200
    grey, mask = crops.cut(pixels, pixels > 0)
    assert grey.shape == mask.shape == (SIDE, SIDE)
    assert (mask > 127).mean() == pytest.approx(40 * 20 / (40 * MARGIN) ** 2, rel=0.1)
    assert grey[mask > 127].mean() > 190 and grey[0].max() == 0
