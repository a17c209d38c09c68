"""Procedure Reported comes from the group that validators know; the exact code of the package is not lost."""

from dataclasses import replace

import pytest
from pydicom.dataset import Dataset

from domain.results import Code
from sr_writer.procedure import reported
from sr_writer.results import documents
from tests.sr_writer import cases
from tests.sr_writer.reading import by_role, named

CHEST = Code("24627-2", "LN", "CT Chest")


@pytest.mark.parametrize(
    ("own", "modality", "code"),
    [
        (CHEST, "CT", "25045-6"),
        (CHEST, "MR", "25056-3"),
        (CHEST, "US", "363679005"),
        (CHEST, None, "363679005"),
        (Code("39142-5", "LN", "CT perfusion head with contrast IV"), "CT", "39142-5"),
    ],
)
def test_a_code_outside_the_context_group_gives_way_to_that_of_the_modality(own: Code, modality: str | None, code: str) -> None:
    image = Dataset()
    if modality:
        image.Modality = modality
    assert reported(replace(cases.ALGORITHM, procedure=own), image).value == code


def test_the_exact_code_of_the_package_stands_in_the_header() -> None:
    case = cases.positive(outputs=("sr",))
    made = by_role(documents(case.analysis, replace(case.algorithm, procedure=CHEST), case.headers, case.context))["sr"]
    assert named(made, "121058")[0].ConceptCodeSequence[0].CodeValue == "25045-6"
    assert [item.CodeValue for item in made.PerformedProcedureCodeSequence] == ["24627-2"]
