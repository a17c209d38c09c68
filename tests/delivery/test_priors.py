"""Earlier reports are fetched from a real PACS: of this patient, before this study, newest first, and nothing else."""

import io
from collections.abc import Iterator

import pytest
from pydicom.dataset import Dataset

from delivery.priors import studies_of_reports
from domain.destinations import Destination
from domain.errors import TransientError
from sr_writer.prior import read_prior
from sr_writer.results import documents
from tests import peers
from tests.ct_series import Series, part10
from tests.sr_writer import cases
from tests.sr_writer.reading import by_role

pytestmark = pytest.mark.peer


def examined(pacs: peers.Orthanc, patient: str, date: str) -> str:
    """A study with an image and a report; its UID."""
    series = Series(slices=8, seed=f"{patient}{date}", tags={"PatientID": patient, "StudyDate": date})
    case = cases.positive(series, numbers=(1,))
    report = by_role(documents(*case.arguments))["sr"]
    pacs.post("/instances", part10(series.datasets()[0]))
    stream = io.BytesIO()
    report.save_as(stream, enforce_file_format=True)
    pacs.post("/instances", stream.getvalue())
    return case.context.study_uid


@pytest.fixture(scope="module")
def pacs() -> Iterator[peers.Orthanc]:
    with peers.orthanc(extra={"DicomAlwaysAllowFind": True, "DicomAlwaysAllowGet": True}) as peer:
        yield peer


@pytest.fixture(scope="module")
def studies(pacs: peers.Orthanc) -> dict[str, str]:
    dates = [("P1", "20240101"), ("P1", "20250101"), ("P1", "20260101"), ("P12", "20250601")]
    return {f"{patient} {date}": examined(pacs, patient, date) for patient, date in dates}


def asked(pacs: peers.Orthanc, patient: str, before: str, title: str = "AI ") -> list[list[Dataset]]:
    target = Destination("pacs", "dicom", "127.0.0.1", pacs.port, pacs.ae_title, "ANCILLA", timeout_seconds=10)
    return list(studies_of_reports(target, patient, "", before, title))


def test_reports_of_earlier_studies_come_newest_first(pacs: peers.Orthanc, studies: dict[str, str]) -> None:
    found = asked(pacs, "P1", "20260101")
    assert [study[0].StudyInstanceUID for study in found] == [studies["P1 20250101"], studies["P1 20240101"]]
    prior = read_prior(found[0][0])
    assert prior is not None and prior.package_id == "chest-demo" and prior.answered and prior.study_date == "20250101"


@pytest.mark.parametrize("patient", ["P", "P*", "P?", "", "P1\\P12"])
def test_nobody_elses_reports_are_taken(pacs: peers.Orthanc, studies: dict[str, str], patient: str) -> None:
    assert studies and asked(pacs, patient, "20270101") == []


def test_series_of_others_are_not_fetched(pacs: peers.Orthanc, studies: dict[str, str]) -> None:
    assert studies and all(reports == [] for reports in asked(pacs, "P1", "20260101", "Radiologist"))


def test_a_pacs_that_does_not_answer_is_tried_again_later() -> None:
    target = Destination("pacs", "dicom", "127.0.0.1", peers.free_port(), "PACS", "ANCILLA", timeout_seconds=2)
    with pytest.raises(TransientError):
        list(studies_of_reports(target, "P1", "", "20260101", "AI "))
