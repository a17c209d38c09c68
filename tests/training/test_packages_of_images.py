"""Packages over images that ship: right on their golden cases, and cards that say what was measured."""

import json
from importlib import import_module
from pathlib import Path

import pytest

from inference import golden, package

MODELS = Path(__file__).resolve().parents[2] / "models"
TRAINING = {"cervical-lbc": "cervical_lbc", "thyroid-us-nodule": "thyroid_us_nodule", "tb-smear-afb": "tb_smear_afb"}


@pytest.mark.parametrize("name", TRAINING)
def test_the_golden_cases_agree_on_this_cpu(name):
    shipped = package.load(MODELS / name)
    assert [a.words for a in golden.check(shipped, "fp32")] == [""] * len(shipped.golden_cases())


@pytest.mark.parametrize("name", TRAINING)
def test_the_card_says_what_was_measured(name):
    card, evaluate = (import_module(f"training.{TRAINING[name]}.{part}") for part in ("card", "evaluate"))
    text = (MODELS / name / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert text == card.render(json.loads(evaluate.FIGURES.read_text()), card.TEXT.read_text(encoding="utf-8"))
    assert "{" not in text
