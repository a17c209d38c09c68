"""The package that ships: sealed, honest about its figures, and right on its golden cases."""

import json

import numpy as np
import openvino as ov
import pytest
from pydicom.sr.codedict import codes

from inference import golden, package
from training.chest_ct_opacity import card, evaluate, favour
from training.chest_ct_opacity.where import PACKAGE

FIGURES = json.loads(evaluate.FIGURES.read_text())


@pytest.fixture(scope="module")
def shipped() -> package.Package:
    return package.load(PACKAGE)


def test_the_package_is_sealed_and_small(shipped):
    assert shipped.id == "chest-ct-opacity"
    assert [s.label for s in shipped.segments] == ["Left lung", "Right lung", "Ground-glass opacity", "Consolidation"]
    assert sum(len(content) for content in shipped.files.values()) < 8_000_000


def test_the_golden_cases_agree_on_this_cpu(shipped):
    found = golden.check(shipped, "fp32")
    assert {a.case for a in found} == {"phantom-positive", "phantom-negative"}
    assert [a.words for a in found] == ["", ""]


def test_the_card_says_what_was_measured():
    text = (PACKAGE / "MODEL_CARD.md").read_text()
    assert text == card.render(FIGURES, card.TEXT.read_text())
    assert "{" not in text
    assert f"{FIGURES['annotated_slices']['infection']['pooled']:g}" in text


def test_the_figures_are_good_enough_to_ship():
    assert FIGURES["annotated_slices"]["infection"]["pooled"] > 0.7
    assert FIGURES["annotated_slices"]["lungs"]["pooled"] > 0.95
    assert abs(FIGURES["real_normal_study"]["lung_volume_error_percent"]) < 10
    assert FIGURES["real_normal_study"]["opacity_percent"] < 2
    assert max(changed["opacity_percent"] for changed in FIGURES["stress"].values()) < 2


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_each_precision_is_within_half_a_point_of_fp32(precision):
    found, reference = FIGURES["precisions"][precision], FIGURES["precisions"]["fp32"]
    assert min(found[name] - reference[name] for name in reference) >= -0.005


def test_codes_known_to_the_standard_have_its_meaning(shipped):
    types = {s.number: s.type for s in shipped.segments}
    assert (types[3].value, types[3].scheme) == (codes.DCM.GroundGlassOpacity.value, "DCM")
    assert (types[1].value, types[1].scheme, types[1].meaning) == (codes.SCT.Lung.value, "SCT", "Lung")


def test_dice_of_equal_masks_is_one_and_its_interval_too():
    assert evaluate.dice([(10, 20), (5, 10)]) == {
        "cases": 2,
        "pooled": 1.0,
        "pooled_ci95": [1.0, 1.0],
        "mean": 1.0,
        "mean_ci95": [1.0, 1.0],
    }


def test_a_case_with_nothing_to_find_and_nothing_found_does_not_count():
    assert evaluate.dice([(0, 0), (5, 20)])["cases"] == 1


def test_a_card_with_a_figure_left_out_is_noticed():
    assert "{REAL_NOTHING}" in card.render(FIGURES, "{REAL_NOTHING} {REAL_SLICES}")


def test_opacity_is_favoured_by_the_bias_alone():
    entry = ov.opset13.parameter([1, 1, 2, 2], np.float32)
    weights = ov.opset13.constant(np.zeros((6, 1, 1, 1), np.float32))
    head = ov.opset13.convolution(entry, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    made = ov.Model([ov.opset13.add(head, ov.opset13.constant(np.zeros((1, 6, 1, 1), np.float32)))], [entry])
    favour.add(made, 0.5)
    answer = ov.Core().compile_model(made, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(np.ones((1, 1, 2, 2), np.float32))[0]
    assert answer[0, :, 0, 0].tolist() == [0, 0, 0, 0, 0.5, 0.5]
