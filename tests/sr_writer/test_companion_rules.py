"""Each rule of the companions finds what it is there for, and nothing in good objects."""

from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataset import Dataset

from sr_writer.companion_rules import COMPANION_RULES
from sr_writer.results import documents
from sr_writer.rules import check
from tests.sr_writer import cases, colour_cases
from tests.sr_writer.reading import by_role

Change = Callable[[Dataset], None]
CASE = cases.positive(outputs=("sc", "gsps", "pdf", "kos"))
BULK = colour_cases.microscope(count=5, outputs=("ann",))


def fresh(role: str) -> tuple[Dataset, list[Dataset]]:
    case = BULK if role == "ann-1" else CASE
    return by_role(documents(*case.arguments))[role], case.headers


def sets(keyword: str, value: object) -> Change:
    return lambda ds: setattr(ds, keyword, value)


def lacks(keyword: str) -> Change:
    return lambda ds: ds.pop(keyword)


def other_layer(ds: Dataset) -> None:
    ds.GraphicAnnotationSequence[0].GraphicLayer = "NOWHERE"


def no_area(ds: Dataset) -> None:
    ds.DisplayedAreaSelectionSequence[0].ReferencedImageSequence = []


def other_image(ds: Dataset) -> None:
    ds.GraphicAnnotationSequence[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def outside(ds: Dataset) -> None:
    ds.GraphicAnnotationSequence[0].GraphicObjectSequence[0].GraphicData = [0, 0, 65, 10, 0, 0]


def one_more(ds: Dataset) -> None:
    ds.AnnotationGroupSequence[0].NumberOfAnnotations = 6


def far_away(ds: Dataset) -> None:
    ds.AnnotationGroupSequence[0].PointCoordinatesData = np.full(10, 900, "<f4").tobytes()


def no_colour(ds: Dataset) -> None:
    del ds.AnnotationGroupSequence[1].RecommendedDisplayCIELabValue


def rejected(ds: Dataset) -> None:
    ds.ConceptNameCodeSequence[0].CodeValue = "113001"


MUTANTS: list[tuple[str, str, Change]] = [
    ("sc-1", "plain-colour", sets("NumberOfFrames", 2)),
    ("sc-1", "no-ruler", sets("PixelSpacing", [1, 1])),
    ("sc-1", "series-description", sets("SeriesDescription", "Picture")),
    ("sc-1", "contributing-equipment", lacks("ContributingEquipmentSequence")),
    ("pdf", "page-readable", sets("EncapsulatedDocumentLength", 10)),
    ("pdf", "page-titled", lacks("ConceptNameCodeSequence")),
    ("gsps-1", "use-in-state", sets("ContentDescription", "Findings")),
    ("gsps-1", "layer", other_layer),
    ("gsps-1", "displayed-area", no_area),
    ("gsps-1", "related", other_image),
    ("gsps-1", "graphics-inside", outside),
    ("gsps-1", "rescale", sets("RescaleSlope", 2)),
    ("ann-1", "bulk-counted", one_more),
    ("ann-1", "bulk-inside", far_away),
    ("ann-1", "bulk-colour", no_colour),
    ("kos", "selection-evidence", lacks("CurrentRequestedProcedureEvidenceSequence")),
    ("kos", "selection-title", rejected),
    ("kos", "study", sets("StudyInstanceUID", "1.2.3")),
]


@pytest.mark.parametrize(("role", "rule", "change"), MUTANTS, ids=[rule for _, rule, _ in MUTANTS])
def test_a_rule_finds_its_fault_and_no_other_rule_complains(role: str, rule: str, change: Change) -> None:
    ds, headers = fresh(role)
    assert check(ds, headers) == []
    change(ds)
    assert [broken.rule for broken in check(ds, headers)] == [rule]


def test_a_picture_that_does_not_say_what_it_is_for_is_found() -> None:
    ds, headers = fresh("sc-1")
    ds.ImageComments = ds.DerivationDescription = "A finding"
    assert [broken.rule for broken in check(ds, headers)] == ["use-in-picture"]


def test_every_rule_has_a_reason_a_source_and_a_name_of_its_own() -> None:
    assert len({rule.name for rule in COMPANION_RULES}) == len(COMPANION_RULES)
    assert all(rule.reason and rule.source for rule in COMPANION_RULES)
