"""What makes phantoms less tidy: decoys are no nodules, and machine and sound do what they say."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from training.thyroid_us_nodule import decoys, machine, nodule, screen, sound
from training.thyroid_us_nodule.field import ellipse, make_grid
from training.thyroid_us_nodule.nodule import Nodule
from training.thyroid_us_nodule.tissue import Tissue, gland, ground

SHAPE = (160, 160)


def _lobe(seed: int = 3) -> tuple[Tissue, np.random.Generator]:
    rng = np.random.default_rng(seed)
    grid = make_grid(SHAPE, 0.2, 8.0, 0.0, rng)
    tissue = ground(grid, rng)
    gland(tissue, ellipse(grid, (0.0, 24.0), (40.0, 40.0)), 0.0, rng)
    return tissue, rng


def _shape(margin: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    one = Nodule((0.0, 22.0), (6.0, 6.0), 0.0, 3, 2, margin, (False,) * 4, False)
    return nodule.outline(make_grid(SHAPE, 0.2, 8.0, 0.0, rng), one, rng) > 0


def test_a_muscle_and_a_lymph_node_are_darker_than_the_gland_about_them():
    for paint in (
        lambda t, rng: decoys.muscle(t, (0.0, 24.0), (8.0, 5.0), rng),
        lambda t, rng: decoys.lymph_node(t, (0.0, 24.0), 5.0, rng),
    ):
        tissue, rng = _lobe()
        before = tissue.echo.copy()
        paint(tissue, rng)
        changed = np.abs(tissue.echo - before) > 3
        assert changed.any() and tissue.echo[changed].mean() < before[changed].mean() - 2


def test_colloid_stays_below_two_millimetres_and_sheets_only_add_echoes():
    tissue, rng = _lobe()
    before = tissue.echo.copy()
    decoys.colloid(tissue, rng)
    marks, count = ndimage.label(tissue.echo < before - 8)
    assert count >= 1
    assert max(np.ptp(np.nonzero(marks == k)[0]) for k in range(1, count + 1)) * tissue.grid.step < 2
    before = tissue.echo.copy()
    decoys.sheets(tissue, rng)
    assert (tissue.echo >= before).all() and (tissue.echo > before + 1).any()


def test_clusters_make_speckle_rougher_than_rayleigh():
    rng = np.random.default_rng(1)
    even = np.ones((256, 256), np.float32)
    clustered = np.mean([np.var(c) / np.mean(c) ** 2 for c in (sound._clusters(even.shape, rng) ** 2 for _ in range(6))])
    assert clustered > 0.2
    assert sound._clusters(even.shape, rng).dtype == np.float32


def test_a_reverberation_shows_a_bright_layer_again_and_weaker():
    power = np.full((200, 50), 1e-4, np.float32)
    power[20:23] = 1.0
    again = sound._repeated(power, np.random.default_rng(2))
    assert np.allclose(again[:22], power[:22], atol=1e-3)
    deeper = again[28:, 25]
    assert 3e-4 < deeper.max() < 0.1


def test_a_filter_against_speckle_calms_it_and_grey_levels_stay_between_0_and_1():
    db = 10 * np.log10(np.random.default_rng(0).exponential(1, SHAPE)).astype(np.float32)
    assert machine._calmed(db, np.random.default_rng(1)).std() < 0.9 * db.std()
    for seed in range(12):
        grey = machine.shown(db, np.random.default_rng(seed))
        assert grey.dtype == np.float32 and grey.min() >= 0 and grey.max() <= 1 and np.ptp(grey) > 0.05


def test_adaptive_gain_evens_out_a_dark_half():
    grey = np.full((128, 128), 0.7, np.float32)
    grey[:, :64] = 0.2
    grey += np.random.default_rng(0).normal(0, 0.05, grey.shape).astype(np.float32)
    even = machine._levelled(grey, np.random.default_rng(5))
    assert abs(even[:, :24].mean() - even[:, -24:].mean()) < 0.8 * abs(grey[:, :24].mean() - grey[:, -24:].mean())


def test_nodules_are_not_all_ellipses():
    spreads = []
    for seed in range(16):
        mask = _shape(0, seed)
        rows, columns = np.nonzero(mask ^ ndimage.binary_erosion(mask))
        middle = [v.mean() for v in np.nonzero(mask)]
        spreads.append(np.std(np.hypot(rows - middle[0], columns - middle[1])) / np.sqrt(mask.sum() / np.pi))
    assert max(spreads) > 0.06 and min(spreads) < 0.04


def test_a_border_may_be_lost_along_a_part_of_the_way():
    rng = np.random.default_rng(0)
    grid = make_grid(SHAPE, 0.2, 8.0, 0.0, rng)
    one = Nodule((0.0, 22.0), (6.0, 6.0), 0.0, 3, 2, 1, (False,) * 4, False)
    ratios = [float(np.ptp(nodule._blend(one, grid, rng))) for _ in range(20)]
    assert min(ratios) == 0 and max(ratios) > 0.5


def test_colour_flow_stays_in_a_part_of_the_picture():
    for seed in range(5):
        pixels = np.ones((200, 200), np.float32)
        screen._doppler(pixels, (20, 10, 180, 190), np.random.default_rng(seed))
        changed = pixels < 1
        assert not changed[:20].any() and not changed[:, :10].any() and changed.mean() < 0.25


def test_looking_again_changes_nothing_before_training():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'train')")
    from training.thyroid_us_nodule.network import Again

    again, x = Again(8).eval(), torch.rand(1, 8, 6, 6)
    with torch.no_grad():
        assert torch.equal(again(x), x)
        again.look[4].weight.fill_(1.0)
        assert not torch.equal(again(x), x)


@pytest.mark.parametrize("pixels", [0, 1])
def test_nothing_is_measured_where_there_is_at_most_a_point(pixels: int) -> None:
    mask = np.zeros((40, 40), bool)
    mask[20, 20 : 20 + pixels] = True
    picture = Image.new("L", (40, 40))
    screen._calipers(ImageDraw.Draw(picture), mask, np.random.default_rng(1))
    assert not np.asarray(picture).any()
