"""How many images of a study a PACS has: one C-FIND at study level (PS3.4 C.6.2, Number of Study Related Instances)."""

import logging
import socket
from typing import Any, Final

from pydicom.dataset import Dataset
from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from domain.destinations import Destination
from domain.errors import TransientError

_PENDING: Final = (0xFF00, 0xFF01)
_MOST: Final = 10_000_000  # a larger number is none


def count(destination: Destination, study_uid: str) -> int | None:
    """The number the PACS gives; 0 when it does not know the study, None when it does not count.

    Raises TransientError when it cannot be asked now.
    """
    association = _associate(destination)
    try:
        return _counted(_answers(association, destination, study_uid))
    finally:
        association.release()


def _associate(destination: Destination) -> Association:
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it quotes what it receives
    _config.LOG_HANDLER_LEVEL = "none"
    ae = AE(destination.calling_ae)
    seconds = destination.timeout_seconds
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = seconds
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
    try:
        host = socket.gethostbyname(destination.host)
        association = ae.associate(host, destination.port, ae_title=destination.ae_title)
    except (OSError, ValueError, RuntimeError) as error:
        raise TransientError(f"{destination.name} cannot be asked: {type(error).__name__}") from None
    if not association.is_established:
        raise TransientError(f"{destination.name} took no association for a query")
    return association


def _answers(association: Association, destination: Destination, study_uid: str) -> list[Dataset]:
    asked = Dataset()
    asked.QueryRetrieveLevel = "STUDY"
    asked.StudyInstanceUID = study_uid
    asked.NumberOfStudyRelatedInstances = None
    found: list[Dataset] = []
    try:
        for status, identifier in association.send_c_find(asked, StudyRootQueryRetrieveInformationModelFind):
            code = status.get("Status", None)
            if code in _PENDING and identifier is not None:
                if str(identifier.get("StudyInstanceUID", study_uid)).strip(" \0") == study_uid:
                    found.append(identifier)
            elif code != 0x0000:
                raise TransientError(f"{destination.name} did not answer the query")
    except (ValueError, RuntimeError):  # the association ended, or the service was not accepted
        raise TransientError(f"{destination.name} takes no queries") from None
    return found


def _counted(answers: list[Dataset]) -> int | None:
    """Integer String (PS3.5 6.2), or what a PACS makes of it."""
    if not answers:
        return 0
    numbers = [_number(answer.get("NumberOfStudyRelatedInstances")) for answer in answers]
    known = [number for number in numbers if number is not None]
    return max(known) if known else None


def _number(value: Any) -> int | None:
    try:
        number = int(str(value))
    except ValueError:
        return None
    return number if 0 <= number <= _MOST else None
