"""Measures of voxels against NumPy, SciPy and scikit-image, and through a whole package."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from inference.analyse import Analyser
from inference.measure import tallied
from inference.package import load
from inference.shapes import Voxels, components, largest_area, longest, percentile
from tests.ct_series import Series, part10
from tests.inference import small_package
from tests.inference.small_package import code

SPACING = (3.0, 0.8, 0.6)


def voxels(seed: int = 1) -> Voxels:
    """Two segments of one layer and one of another, blobs of noise."""
    random = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(random.normal(size=(2, 12, 40, 50)), (0, 1, 2, 2))
    layers = np.zeros((2, 12, 40, 50), np.uint8)
    layers[0][field[0] > 0.07] = 1
    layers[0][field[0] < -0.09] = 2
    layers[1][field[1] > 0.08] = 3
    return Voxels(layers, random.normal(100, 30, (12, 40, 50)).astype(np.float32), SPACING, {1: 0, 2: 0, 3: 1})


def mask(of: Voxels, *segments: int) -> np.ndarray:
    return np.isin(of.layers, segments).any(axis=0)


@pytest.mark.parametrize("percent", [0, 5, 50, 97.5, 100])
@pytest.mark.parametrize("segments", [(1,), (1, 3), (2, 3)])
def test_percentiles_are_numpys(segments: tuple[int, ...], percent: float) -> None:
    found = voxels()
    assert percentile(found, segments, percent) == pytest.approx(np.percentile(found.values[mask(found, *segments)], percent))


@pytest.mark.parametrize("connectivity", [1, 2, 3])
@pytest.mark.parametrize("least", [0.0, 0.05])
def test_components_are_scipys_and_small_ones_do_not_count(connectivity: int, least: float) -> None:
    found = voxels()
    numbers, _ = ndimage.label(mask(found, 1, 3), ndimage.generate_binary_structure(3, connectivity))
    sizes = np.bincount(numbers.ravel())[1:] * np.prod(SPACING) / 1000
    expected = int((sizes >= least).sum())
    assert components(found, (1, 3), least, connectivity) == expected > 1


def test_the_long_axis_is_the_greatest_feret_diameter_of_any_region_of_any_slice() -> None:
    measure = pytest.importorskip("skimage.measure", reason="scikit-image is not installed (extra 'test')")
    square = voxels()
    found = longest(Voxels(square.layers, square.values, (3.0, 1.0, 1.0), square.layer_of), (1,))
    assert found is not None
    ferets = [
        region.feret_diameter_max
        for plane in square.layers[0] == 1
        for region in measure.regionprops(measure.label(plane, connectivity=1))
    ]
    # scikit-image measures between the middles of the pixels' sides, this between their corners: at most a pixel more.
    assert max(ferets) - 0.01 <= found.long_length <= max(ferets) + 1.0
    assert 0 < found.short_length <= found.long_length


def test_axes_and_areas_count_the_true_size_of_pixels() -> None:
    layers = np.zeros((1, 5, 40, 50), np.uint8)
    layers[0, 1, 10:14, 5:35] = 1  # 4 rows of 0.8 mm, 30 columns of 0.6 mm
    layers[0, 2, 10:30, 5:15] = 1
    found = Voxels(layers, np.zeros((5, 40, 50), np.int16), SPACING, {1: 0})
    axes = longest(found, (1,))
    assert axes is not None
    assert axes.long_length == pytest.approx(np.hypot(3.2, 18.0)) and axes.short_length == pytest.approx(3.2, rel=0.8)
    assert largest_area(found, (1,)) == pytest.approx(200 * 0.48)


def test_nothing_there_has_no_axis_no_percentile_and_counts_nought() -> None:
    empty = Voxels(np.zeros((1, 3, 8, 8), np.uint8), np.zeros((3, 8, 8), np.int16), SPACING, {1: 0})
    assert longest(empty, (1,)) is None and percentile(empty, (1,), 50) is None
    assert components(empty, (1,), 0.0, 1) == 0 and largest_area(empty, (1,)) == 0


def named(text: str) -> dict[str, str]:
    return code((text, "99TEST", text))


MEASURED: dict[str, Any] = small_package.REPORT | {
    "quantities": small_package.REPORT["quantities"]
    | {
        "p95": {"measure": "Percentile", "segments": [1, 2], "percent": 95.0},
        "lungs": {"measure": "Count", "segments": [1, 2], "min_volume_ml": 1.0, "connectivity": 3},
        "long": {"measure": "LongAxis", "segments": [1]},
        "short": {"measure": "ShortAxis", "segments": [1]},
        "area": {"measure": "Area", "segments": [1]},
    },
    "statements": [
        small_package.REPORT["statements"][0],
        {
            "name": "negative",
            "when": "negative",
            "finding": code(small_package.OPACITY),
            "measurements": [
                {"quantity": "p95", "name": named("p95")},
                {"quantity": "lungs", "name": named("lungs")},
                {"quantity": "long"},
                {"quantity": "short"},
                {"quantity": "area"},
            ],
        },
    ],
}


def test_a_report_says_them_with_their_units(tmp_path: Path) -> None:
    from inference.source import open_source

    package = load(small_package.build(tmp_path / "p", report=MEASURED))
    series = Series(slices=12)
    found = Analyser(package).analyse([open_source(part10(ds)) for ds in series.datasets()])  # type: ignore[arg-type]
    said = {m.name.value: (m.value, m.unit.value) for m in found.statements[0].measurements}
    assert said["p95"] == (-850.0, "[hnsf'U]") and said["lungs"] == (2.0, "{objects}")
    assert said["103339001"][1] == said["103340004"][1] == "mm" and said["42798000"][1] == "mm2"
    left = (series.hu() == -850)[:, :, 32:].sum(axis=(1, 2)).max() * 25.0
    assert said["42798000"][0] == pytest.approx(left, rel=0.05)
    # The lung is an ellipse of 0.42 by 0.28 half the width of the field (32 pixels of 5 mm).
    assert said["103339001"][0] == pytest.approx(2 * 0.42 * 31.5 * 5, abs=10)
    assert said["103340004"][0] == pytest.approx(2 * 0.28 * 31.5 * 5, abs=10)


def test_a_table_without_voxels_has_no_such_measures() -> None:
    found = voxels()
    with_voxels = tallied(found.layers, found.values, SPACING, found.layer_of)
    assert with_voxels.voxels is not None and with_voxels.voxel_ml == pytest.approx(np.prod(SPACING) / 1000)
