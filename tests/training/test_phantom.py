"""The phantom: its truth must be right, because the network and the golden cases believe it."""

import numpy as np
import pytest

from training.chest_ct_opacity import body, lesions, scan, trees

LEVELS = np.arange(-80, 340, 14, dtype=np.float32)
SEEDS = (1, 2, 3)


@pytest.fixture(scope="module", params=SEEDS)
def study(request: pytest.FixtureRequest):
    return scan.study(request.param, 96, lesion_count=6, z=LEVELS, fov_mm=420.0)


def test_images_and_truth_have_one_shape(study):
    hu, lungs, opacity, spacing = study
    assert hu.shape == lungs.shape == opacity.shape == (len(LEVELS), 96, 96)
    assert (hu.dtype, lungs.dtype, opacity.dtype) == (np.int16, np.uint8, np.uint8)
    assert spacing == pytest.approx((14.0, 4.375, 4.375))


def test_the_left_lung_is_in_the_right_half_of_the_picture(study):
    _, lungs, _, _ = study
    assert np.nonzero(lungs == 1)[2].min() >= 48 > np.nonzero(lungs == 2)[2].max()


def test_the_lungs_have_the_size_of_an_adult(study):
    _, lungs, _, spacing = study
    ml = (lungs > 0).sum() * np.prod(spacing) / 1000
    assert 1200 < ml < 9000
    assert 0.5 < (lungs == 1).sum() / (lungs == 2).sum() < 1.6


def test_no_lung_in_the_abdomen_or_the_neck(study):
    _, lungs, _, _ = study
    assert not lungs[LEVELS < -5].any()
    assert not lungs[LEVELS > 305].any()


def test_opacities_lie_in_lungs_and_are_denser_than_them(study):
    hu, lungs, opacity, _ = study
    assert opacity.any()
    assert not opacity[lungs == 0].any()
    assert np.median(hu[opacity > 0]) > np.median(hu[(lungs > 0) & (opacity == 0)]) + 100


def test_gas_outside_the_lungs_is_not_lung(study):
    hu, lungs, _, _ = study
    middle = hu[(LEVELS > 150) & (LEVELS < 190)][:, 30:70, 44:52]
    assert (middle < -600).any(), "there is a windpipe"
    assert not lungs[(LEVELS > 290)].any()


def test_equal_seeds_give_equal_studies_and_others_do_not():
    first, again, other = (scan.study(seed, 48, z=LEVELS, fov_mm=400.0)[0] for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_normal_study_has_no_opacity():
    assert not scan.study(9, 48, lesion_count=0, z=LEVELS, fov_mm=400.0)[2].any()


def test_vessels_grow_only_in_lungs():
    volume = body.paint(body.Grid(LEVELS, 96, 400.0), np.random.default_rng(4))
    vessels = trees.fill_lungs(volume, np.random.default_rng(5))
    assert vessels.max() <= 1
    assert (vessels > 0.5).sum() > 50
    assert not vessels[volume.lungs == 0].any()


def test_vessels_show_through_ground_glass():
    rng = np.random.default_rng(3)
    hu = np.full((6, 64, 64), -850.0, np.float32)
    hu[:, 30:34] = 40.0
    truth = lesions.add(hu, np.ones(hu.shape, np.uint8), (5.0, 2.0, 2.0), rng, 1, diffuse=0.0)
    assert truth.any()
    assert hu[:, 30:34].min() >= 40.0
    assert hu[truth == lesions.GROUND_GLASS].mean() > -840


def test_normal_dorsal_density_is_added_at_the_back_only():
    hu = np.full((4, 64, 64), -850.0, np.float32)
    lungs = np.zeros(hu.shape, np.uint8)
    lungs[:, 10:54, 36:60] = 1
    lesions.dependent(hu, lungs, (5.0, 2.0, 2.0), np.random.default_rng(1))
    changed = np.nonzero(hu > -849)[1]
    assert changed.size
    assert changed.min() > 40
