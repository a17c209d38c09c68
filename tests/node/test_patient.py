"""Who is the same patient is told by a digest that no other installation can make."""

from pathlib import Path

from domain.instances import Instance
from node.patient import identity
from tests.ct_series import Series
from tests.node.test_work import received


def first(folder: Path, **tags: object) -> Instance:
    return received(folder, Series(slices=1, seed=str(tags), tags=tags))[0]


def test_the_same_patient_has_the_same_mark_in_one_installation_only(tmp_path: Path) -> None:
    one = first(tmp_path, PatientID="P 17", StudyDate="20260101")
    two = first(tmp_path, PatientID="P 17 ", StudyDate="20260301")
    found, again = identity(tmp_path, one, "here"), identity(tmp_path, two, "here")
    assert found is not None and again is not None
    assert found.mark == again.mark and (found.study_date, again.study_date) == ("20260101", "20260301")
    elsewhere = identity(tmp_path, one, "there")
    assert elsewhere is not None and elsewhere.mark != found.mark


def test_the_same_identifier_of_another_issuer_is_another_patient(tmp_path: Path) -> None:
    marks = set()
    for issuer in ("NORTH", "SOUTH"):
        found = identity(tmp_path, first(tmp_path, PatientID="17", IssuerOfPatientID=issuer), "here")
        assert found is not None
        marks.add(found.mark)
    assert len(marks) == 2


def test_without_an_identifier_nobody_is_recognised(tmp_path: Path) -> None:
    assert identity(tmp_path, first(tmp_path, PatientID=""), "here") is None
