"""Rules over the header of a series: tolerant of how scanners write, strict about what is missing."""

import pytest
from pydicom.dataset import Dataset

from domain.errors import ConfigurationError
from node.rules import parse_rule


def header(**values: object) -> Dataset:
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


CT = header(
    Modality="CT",
    BodyPartExamined=" Chest ",
    SliceThickness="2.5",
    ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
    SeriesDescription="Thorax LUNG b70",
    SeriesNumber="4",
    PixelSpacing=["0.7", "0.8"],
)


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ({}, True),
        ({"Modality": "CT"}, True),
        ({"Modality": " ct "}, True),
        ({"Modality": "MR"}, False),
        ({"Modality": ["MR", "CT"]}, True),
        ({"BodyPartExamined": ["CHEST", "LUNG"]}, True),
        ({"BodyPartExamined": "ABDOMEN"}, False),
        ({"Modality": "CT", "BodyPartExamined": "ABDOMEN"}, False),
        ({"ImageType": "axial"}, True),
        ({"SeriesNumber": 4}, True),
        ({"SeriesNumber": 5}, False),
        ({"SliceThickness": {"max": 3.0}}, True),
        ({"SliceThickness": {"max": 2.5, "min": 2.5}}, True),
        ({"SliceThickness": {"max": 2}}, False),
        ({"SliceThickness": {"min": 3}}, False),
        ({"PixelSpacing": {"max": 0.75}}, False),
        ({"PixelSpacing": {"max": 0.8}}, True),
        ({"Modality": {"max": 3}}, False),
        ({"ImageType": {"contains": "AXIAL", "excludes": "LOCALIZER"}}, True),
        ({"ImageType": {"contains": ["DERIVED", "PRIMARY"]}}, True),
        ({"ImageType": {"excludes": ["LOCALIZER", "primary"]}}, False),
        ({"SeriesDescription": {"contains": "lung"}}, True),
        ({"SeriesDescription": {"matches": r"lung\b"}}, True),
        ({"SeriesDescription": {"matches": "^lung"}}, False),
        ({"ProtocolName": "X"}, False),
        ({"ProtocolName": {"contains": "X"}}, False),
        ({"ProtocolName": {"max": 1}}, False),
        ({"ProtocolName": {"matches": ""}}, False),
        ({"ProtocolName": {"excludes": "X"}}, True),
    ],
)
def test_a_rule_wants_a_series(rule: dict[str, object], wanted: bool) -> None:
    assert parse_rule(rule, "when").wants(CT) is wanted


def test_an_empty_value_counts_as_missing() -> None:
    rule = parse_rule({"BodyPartExamined": "CHEST"}, "when")
    assert not rule.wants(header(BodyPartExamined=""))
    assert not rule.wants(header(BodyPartExamined=None))
    assert rule.unmet(Dataset()) == "BodyPartExamined"


def test_a_value_that_pydicom_cannot_convert_counts_as_missing() -> None:
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    broken = Dataset()
    tag = Tag("SliceThickness")
    broken._dict[tag] = RawDataElement(tag, "DS", 3, b"abc", 0, False, True)
    assert not parse_rule({"SliceThickness": {"max": 3}}, "when").wants(broken)
    assert parse_rule({"SliceThickness": {"excludes": "9"}}, "when").wants(broken)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"Modalities": "CT"}, "when.Modalities is not a DICOM keyword"),
        ({"BodyPartExamine": "CT"}, 'did you mean "BodyPartExamined"'),
        ({"ImageType": {"contain": "A"}}, 'when.ImageType.contain is not one of: .*; did you mean "contains"'),
        ({"ImageType": {}}, "when.ImageType is empty"),
        ({"ImageType": True}, "when.ImageType must be a text, a number"),
        ({"ImageType": []}, "when.ImageType must be a text, a number"),
        ({"SliceThickness": {"max": "3"}}, "when.SliceThickness.max must be a number"),
        ({"SeriesDescription": {"matches": "("}}, "when.SeriesDescription.matches is not a regular expression"),
        ({"SeriesDescription": {"contains": ""}}, "when.SeriesDescription.contains must be a text"),
    ],
)
def test_a_mistake_in_a_rule_names_its_key(rule: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        parse_rule(rule, "when")
