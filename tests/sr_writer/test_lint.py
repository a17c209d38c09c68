"""The list of rules for people is the list of rules that are run, and objects are judged beside the others of their series."""

import re
from copy import deepcopy
from pathlib import Path

from pydicom.dataset import Dataset

from sr_writer.lint import SERIES_RULES, head, lint, lint_series
from sr_writer.results import documents
from sr_writer.rules import RULES
from tests.sr_writer import cases
from tests.sr_writer.reading import by_role

PAGE = Path(__file__).resolve().parents[2] / "docs" / "lint.md"
CASE = cases.positive(numbers=(1, 2))
GOOD = by_role(documents(*CASE.arguments))


def test_the_page_lists_every_rule_with_its_level_and_no_other() -> None:
    listed = re.findall(r"^\| `([a-z0-9-]+)` \| (error|warning) \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted((rule.name, str(rule.level)) for rule in (*RULES, *SERIES_RULES))


def images() -> dict[str, Dataset]:
    return {str(header.SOPInstanceUID): header for header in CASE.headers}


def test_an_object_is_compared_with_the_images_it_names_and_with_no_others() -> None:
    assert lint(GOOD["seg"], images()) == []
    moved = deepcopy(GOOD["seg"])
    moved.FrameOfReferenceUID = "1.2.3"
    assert [broken.rule for broken in lint(moved, images())] == ["frame-of-reference"]
    assert lint(moved, {}) == []
    others = {"1.2.840.1": cases.headers(cases.Series(seed="another study"))[0]}
    assert lint(moved, others) == []


def test_pixel_data_that_was_not_read_is_judged_by_its_length() -> None:
    bare = deepcopy(GOOD["seg"])
    length = len(bare.PixelData)
    del bare.PixelData
    assert lint(bare, images(), ("PixelData", length)) == []
    assert [broken.rule for broken in lint(bare, images(), ("PixelData", length - 2))] == ["pixels-complete"]


def test_each_rule_of_a_series_catches_its_fault() -> None:
    seg, report = head(GOOD["seg"]), head(GOOD["sr"])
    assert lint_series([seg]) == []
    assert [broken.rule for broken in lint_series([seg, seg])] == ["newest-only"]
    other = deepcopy(GOOD["seg"])
    other.StudyInstanceUID = "1.2.3"
    assert {broken.rule for broken in lint_series([seg, head(other)])} == {"newest-only", "series-of-one-study"}
    assert {broken.rule for broken in lint_series([seg, report])} == {"newest-only", "series-of-one-kind"}
