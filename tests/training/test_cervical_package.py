"""The cervical package that ships: sealed, honest about its figures, right on its golden cases."""

import json

import numpy as np
import pytest

from inference import package
from inference.images.package import ImagePackage
from training.cervical_lbc import evaluate, nucleus, synthetic
from training.cervical_lbc.where import LEAST_INDEX, PACKAGE, SURE

FIGURES = json.loads(evaluate.FIGURES.read_text())


@pytest.fixture(scope="module")
def shipped() -> ImagePackage:
    found = package.load(PACKAGE)
    assert isinstance(found, ImagePackage)
    return found


def test_the_rule_measured_with_is_the_one_shipped(shipped):
    report = json.loads(shipped.files["report.json"])
    assert report["positive"] == [
        {"quantity": "abnormal", "at_least": 1},
        {"quantity": "abnormal_index", "at_least": LEAST_INDEX},
    ]
    (rule,) = shipped.manifest.objects
    assert (rule.min_score, rule.iou) == (evaluate.LEAST, evaluate.IOU)


def test_a_cell_is_surely_abnormal_exactly_from_the_probability_the_card_names():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'train')")
    from training.cervical_lbc.classifier import Classifier, ShippedClassifier

    torch.manual_seed(0)
    network = ShippedClassifier(Classifier().eval())
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), dtype=np.uint8))
    for shift in (-4.0, 0.0, 1.0, 2.0, 4.0, 6.0):  # of all abnormal classes
        with torch.no_grad():
            network.network.last.bias[:] = torch.tensor([0.0] * 3 + [shift] * 4)
            cell, abnormal = network(image)
        assert bool(abnormal[0, 1] > abnormal[0, 0]) == bool(cell[0, 3:].sum() > SURE)


def test_the_nucleus_of_a_painted_cell_is_found_and_grows_with_the_grade():
    shares = []
    for kind in (0, 1, 4):
        found = [nucleus.mask(synthetic.cell(seed, kind).pixels) for seed in range(1, 6)]
        shares.append(np.median([mask.mean() for mask in found if mask is not None]))
    assert shares[0] < shares[1] < shares[2]
