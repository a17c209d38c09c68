"""The cervical package that ships: sealed, honest about its figures, right on its golden cases."""

import json

import numpy as np
import pytest

from inference import package
from inference.images.package import ImagePackage
from training.cervical_lbc import evaluate, fields, nucleus, singles, slides, synthetic
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
    assert (rule.min_score, rule.iou) == (fields.LEAST, fields.IOU)


def test_the_limit_is_the_one_found_on_the_slides_it_was_set_with():
    measured = FIGURES["slides"]
    found = slides.limit(measured["setting"]["indices"], measured["setting"]["truth"])
    assert found == pytest.approx(LEAST_INDEX, abs=0.0006)
    assert measured["judged"]["slides"] >= 16


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


def test_the_limit_lies_in_the_widest_of_the_gaps_that_part_slides_best():
    assert slides.limit([0.01, 0.02, 0.08, 0.09], [False, False, True, True]) == pytest.approx(0.05)
    assert slides.limit([0.01, 0.05, 0.06, 0.3], [False, True, False, True]) == pytest.approx(0.18)


def test_an_interval_over_pictures_is_wider_than_one_over_cells_when_cells_of_a_picture_go_together():
    right = np.repeat(np.arange(20) % 2 == 0, 10)
    low, high = singles.interval(right)["ci95"]
    wide_low, wide_high = singles.interval(right, [str(n // 10) for n in range(200)])["ci95"]
    assert wide_high - wide_low > 2 * (high - low)


def test_a_study_of_sure_cells_has_a_higher_index_than_one_of_as_many_doubtful_ones():
    assert slides.index(np.array([0.99, 0.01])) > 2 * slides.index(np.array([0.5, 0.5]))
    assert slides.index(np.zeros(0)) == 0.0


def test_the_nucleus_of_a_painted_cell_is_found_and_grows_with_the_grade():
    shares = []
    for kind in (0, 1, 4):
        found = [nucleus.mask(synthetic.cell(seed, kind).pixels) for seed in range(1, 6)]
        shares.append(np.median([mask.mean() for mask in found if mask is not None]))
    assert shares[0] < shares[1] < shares[2]
