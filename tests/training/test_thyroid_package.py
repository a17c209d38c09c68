"""The thyroid package that ships: sealed, honest about its figures, right on its golden cases and on its sample study."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

from inference import package
from inference.images.package import ImagePackage
from training.sample_study import thyroid
from training.thyroid_us_nodule import evaluate
from training.thyroid_us_nodule.tirads import POINTS, RISK
from training.thyroid_us_nodule.where import PACKAGE

FIGURES = json.loads(evaluate.FIGURES.read_text())
SAMPLE = Path(__file__).resolve().parents[2] / "node" / "sample" / "thyroid-us-nodule.zip"


@pytest.fixture(scope="module")
def shipped() -> ImagePackage:
    found = package.load(PACKAGE)
    assert isinstance(found, ImagePackage)
    return found


def test_the_package_is_sealed_and_small(shipped):
    assert shipped.id == "thyroid-us-nodule"
    assert all(len(content) < 8_000_000 for content in shipped.files.values())


def test_the_thresholds_measured_with_are_those_shipped(shipped):
    (rule,) = shipped.manifest.objects
    assert (rule.min_area, rule.min_score, rule.threshold) == (evaluate.LEAST_AREA, evaluate.LEAST_SCORE, evaluate.THRESHOLD)


def test_points_of_the_report_and_of_the_graph_are_the_same(shipped):
    report = json.loads(shipped.files["report.json"])
    table = {item["feature"]: item["points"] for item in report["quantities"]["points"]["features"]}
    margins = ("smooth", "ill-defined", "irregular", "extrathyroidal")
    assert [table["margin"].get(name, 0) for name in margins] == list(POINTS["margin"])
    foci = ("comet-tail", "macrocalcification", "rim-calcification", "punctate-foci")
    assert [table.get(name, {}).get("yes", 0) for name in foci] == list(POINTS["foci"])


def test_the_risk_rises_with_the_points_and_meets_the_published_levels():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'train')")
    from training.thyroid_us_nodule.crop_network import risk

    at = torch.tensor([[0.0], [2.0], [3.0], [5.0], [8.0], [20.0]])
    assert risk(at).flatten().tolist() == pytest.approx([0.003, 0.015, 0.048, 0.091, 0.35, RISK[-1][1]])


def test_a_spongiform_nodule_has_no_points_whatever_else_it_shows():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'train')")
    from training.thyroid_us_nodule.crop_network import points

    one = {name: torch.eye(len(values))[-1:] for name, values in POINTS.items() if name not in ("foci", "shape")}
    rest = {"foci": torch.ones(1, 4), "shape": torch.ones(1, 1)}
    spongiform = {**one, **rest, "composition": torch.tensor([[0.0, 1.0, 0.0, 0.0]])}
    assert points(spongiform).item() == 0
    assert points({**one, **rest}).item() == 2 + 3 + 3 + 6 + 3


def test_the_sample_is_a_valid_small_study_of_nobody():
    assert SAMPLE.stat().st_size < 3_000_000
    with zipfile.ZipFile(SAMPLE) as archive:
        images = [pydicom.dcmread(archive.open(name)) for name in archive.namelist()]
    assert [int(ds.get("NumberOfFrames", 1)) for ds in images] == [1, 1, thyroid.FRAMES]
    assert {str(ds.PatientName) for ds in images} == {"Synthetic^Thyroid"}
    assert all("ynthetic" in ds.ImageComments for ds in images)
    first = images[0].pixel_array
    assert first.shape == thyroid.SCREEN and np.ptp(first) > 100


def test_dice_of_equal_masks_is_one_and_the_area_under_a_perfect_curve_too():
    mask = np.eye(4, dtype=bool)
    assert evaluate.dice(mask, mask) == 1
    assert evaluate.auc(np.array([0.1, 0.2, 0.9]), np.array([False, False, True])) == 1
    assert evaluate.auc(np.array([0.5, 0.5]), np.array([False, True])) == 0.5
