"""Real training slices: grey levels become Hounsfield units, lungs are told apart, what is held out stays out."""

from pathlib import Path

import numpy as np
import pytest

from training.chest_ct_opacity import pool, real


def test_joined_lungs_are_cut_where_they_are_thinnest():
    mask = np.zeros((40, 100), bool)
    mask[5:35, 10:45] = mask[5:35, 55:90] = True
    mask[5:8, 45:55] = True
    sides = real.split_sides(mask, 50.0)
    assert (sides[:, :45][mask[:, :45]] == 2).all()
    assert (sides[:, 56:][mask[:, 56:]] == 1).all()


def test_grey_levels_become_hounsfield_units():
    grey = np.full((50, 50), 200.0, np.float32)
    grey[:20] = 20
    hu = real.to_hu(grey)
    assert hu[0, 0] == pytest.approx(-950)
    assert hu[-1, -1] == pytest.approx(40, abs=10)


def test_painted_opacities_keep_the_labels_of_the_source():
    lungs, opacity = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    lungs[10:50, 5:60] = 1
    opacity[10:20, 5:20] = 2
    hu = np.where(lungs > 0, -850.0, 40.0).astype(np.float32)
    stack = pool.with_lesions(real.Slice(hu, lungs, opacity, 2.0), np.random.default_rng(1), 4)
    assert (stack.opacity[:, 10:20, 5:20] > 0).all()
    assert (stack.opacity > 0).sum() > 3 * (opacity > 0).sum()
    assert not stack.opacity[:, lungs == 0].any()


def test_a_stack_survives_the_disk(tmp_path: Path):
    made = pool.Stack(np.zeros((3, 4, 4), np.int16), np.ones((3, 4, 4), np.uint8), np.full((3, 4, 4), 255, np.uint8))
    made.save(tmp_path / "a-1.npz")
    again = pool.load(tmp_path / "a-1.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["a-1.npz"]
    assert all(np.array_equal(getattr(made, k), getattr(again, k)) for k in ("hu", "lungs", "opacity"))


@pytest.mark.data
def test_held_out_slices_and_patients_are_not_trained_on(real_images: Path):
    held = {int(name.split("-")[1]) for name, _ in real.semiseg(real_images, held_out=True)}
    assert held == set(real.semiseg_numbers(real_images)[-real.TEST_SLICES :])
    assert len(real.trained_numbers(real_images)) == 40
    assert not held & set(real.trained_numbers(real_images))
    assert len(real.trained_ct(real_images)) == 13
    assert not [n for n in real.trained_ct(real_images) if n.startswith(real.TEST_PATIENTS)]


@pytest.mark.data
def test_annotated_lesions_lie_in_the_lungs_made_for_them(real_images: Path):
    for name, slice_ in real.semiseg(real_images, held_out=True):
        lesion = slice_.opacity > 0
        assert (slice_.lungs[lesion] > 0).mean() > 0.97, name
