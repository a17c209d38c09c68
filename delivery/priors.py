"""Earlier reports of a patient from a PACS: C-FIND for studies and series of reports, C-GET for the reports (PS3.4 C.4).

A PACS is asked for little: the newest few studies before a date, and of each only series of reports that a model may have made.
"""

import io
import logging
import time
from collections.abc import Iterator
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)

from delivery.answers import keep_answers
from delivery.tls import tls_args
from domain.destinations import Destination
from domain.errors import TransientError

STUDIES: Final = 5
SERIES: Final = 8  # of reports in one study
LARGEST: Final = 32 * 1024**2  # bytes of one report
REPORTS: Final = (Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage)
_PENDING: Final = (0xFF00, 0xFF01)
_OUT_OF_RESOURCES: Final = 0xA700


def studies_of_reports(
    destination: Destination, patient_id: str, issuer: str, before: str, title: str
) -> Iterator[list[Dataset]]:
    """For each earlier study of the patient, the newest first, its reports whose series description contains ``title``.

    ``before`` is the Study Date of the study at hand (YYYYMMDD). Ask for the next study only while it is needed: every one costs
    a query. Raises TransientError when the PACS cannot be asked now.
    """
    if not patient_id or not before or set(patient_id) & set("*?\\"):  # wildcards would match other patients (PS3.4 C.2.2.2.4)
        return
    received: list[bytes] = []
    association = _associate(destination, received)
    deadline = time.monotonic() + 4 * destination.timeout_seconds
    try:
        for study in _studies(association, patient_id, issuer, before):
            received.clear()
            for series in _series(association, study, title):
                _get(association, study, series)
            yield [report for data in received if (report := _readable(data)) is not None and _of(report, patient_id, study)]
            if time.monotonic() > deadline:
                return
    finally:
        association.release()


def _associate(destination: Destination, received: list[bytes]) -> Association:
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it quotes what it receives
    _config.LOG_HANDLER_LEVEL = "none"
    ae = AE(destination.calling_ae)
    seconds = destination.timeout_seconds
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = seconds
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
    for uid in REPORTS:
        ae.add_requested_context(uid, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    handlers: list[Any] = [(evt.EVT_C_STORE, _keep, [received])]
    roles: list[Any] = [build_role(uid, scp_role=True) for uid in REPORTS]
    try:
        association = ae.associate(
            destination.host,
            destination.port,
            ae_title=destination.ae_title,
            ext_neg=roles,
            evt_handlers=handlers,
            tls_args=tls_args(destination),
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise TransientError(f"{destination.name} cannot be asked for earlier reports: {type(error).__name__}") from None
    if not association.is_established:
        raise TransientError(f"{destination.name} took no association for earlier reports")
    return keep_answers(association)


def _keep(event: Any, received: list[bytes]) -> int:
    """C-STORE sub-operation: the report as a file, if it is one of moderate size."""
    data = event.encoded_dataset()
    if len(data) > LARGEST or len(received) >= SERIES:
        return _OUT_OF_RESOURCES
    received.append(data)
    return 0x0000


def _studies(association: Association, patient_id: str, issuer: str, before: str) -> list[str]:
    asked = Dataset()
    asked.QueryRetrieveLevel, asked.PatientID, asked.IssuerOfPatientID = "STUDY", patient_id, issuer
    asked.StudyDate, asked.ModalitiesInStudy, asked.StudyInstanceUID = f"-{before}", "SR", ""
    found = {}
    for answer in _find(association, asked):
        date, study = _text(answer, "StudyDate"), _text(answer, "StudyInstanceUID")
        if study and date and date < before and _text(answer, "PatientID") == patient_id:
            found[study] = date
    return sorted(found, key=lambda study: found[study], reverse=True)[:STUDIES]


def _series(association: Association, study: str, title: str) -> list[str]:
    asked = Dataset()
    asked.QueryRetrieveLevel, asked.StudyInstanceUID, asked.Modality = "SERIES", study, "SR"
    asked.SeriesInstanceUID, asked.SeriesDescription = "", ""
    answers = [answer for answer in _find(association, asked) if title in _text(answer, "SeriesDescription")]
    return [uid for answer in answers if (uid := _text(answer, "SeriesInstanceUID"))][:SERIES]


def _find(association: Association, asked: Dataset) -> Iterator[Dataset]:
    try:
        for status, identifier in association.send_c_find(asked, StudyRootQueryRetrieveInformationModelFind):
            code = status.get("Status", None)
            if code in _PENDING and identifier is not None:
                yield identifier
            elif code not in _PENDING and code != 0x0000:
                raise TransientError("the PACS did not answer the query for earlier reports")
    except (ValueError, RuntimeError):  # the association ended, or the service was not accepted
        raise TransientError("the PACS takes no queries") from None


def _get(association: Association, study: str, series: str) -> None:
    asked = Dataset()
    asked.QueryRetrieveLevel, asked.StudyInstanceUID, asked.SeriesInstanceUID = "SERIES", study, series
    try:
        for status, _ in association.send_c_get(asked, StudyRootQueryRetrieveInformationModelGet):
            if status.get("Status", None) is None:
                raise TransientError("the PACS broke off while it gave back earlier reports")
    except (ValueError, RuntimeError):
        raise TransientError("the PACS gives nothing back (C-GET)") from None


def _readable(data: bytes) -> Dataset | None:
    try:
        return dcmread(io.BytesIO(data))
    except (InvalidDicomError, ValueError, OSError, EOFError, RecursionError, LookupError, NotImplementedError):
        return None


def _of(report: Dataset, patient_id: str, study: str) -> bool:
    """A PACS that answers with another patient's report is not believed."""
    return _text(report, "PatientID") == patient_id and _text(report, "StudyInstanceUID") == study


def _text(answer: Dataset, keyword: str) -> str:
    try:
        return str(answer.get(keyword, "") or "").strip(" \0")
    except (ValueError, TypeError, LookupError, OverflowError, NotImplementedError):
        return ""
