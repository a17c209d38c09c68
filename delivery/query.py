"""What a PACS has, by C-FIND (PS3.4 C.6.2): the number of images of a study, or which of some instances."""

import logging
import socket
from collections.abc import Sequence
from typing import Any, Final

from pydicom.dataset import Dataset
from pynetdicom import AE, _config, build_role
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from delivery.answers import keep_answers
from delivery.tls import tls_args
from domain.destinations import Destination
from domain.errors import TransientError
from domain.evidence import Member

_MOST_ANSWERS: Final = 100_000
_PENDING: Final = (0xFF00, 0xFF01)
_MOST: Final = 10_000_000  # a larger number is none


def count(destination: Destination, study_uid: str) -> int | None:
    """The number the PACS gives; 0 when it does not know the study, None when it does not count.

    Raises TransientError when it cannot be asked now.
    """
    asked = Dataset()
    asked.QueryRetrieveLevel = "STUDY"
    asked.StudyInstanceUID = study_uid
    asked.NumberOfStudyRelatedInstances = None
    association = for_queries(destination)
    try:
        answers = find(association, destination, asked)
    finally:
        association.release()
    return _counted([one for one in answers if str(one.get("StudyInstanceUID", study_uid)).strip(" \0") == study_uid])


def present(destination: Destination, study_uid: str, members: Sequence[Member]) -> set[str]:
    """Those of the instances that the PACS lists, by their series (C-FIND at image level). Raises TransientError."""
    association = for_queries(destination)
    listed: set[str] = set()
    try:
        for series in dict.fromkeys(member.series_uid for member in members):
            asked = Dataset()
            asked.QueryRetrieveLevel = "IMAGE"
            asked.StudyInstanceUID, asked.SeriesInstanceUID, asked.SOPInstanceUID = study_uid, series, ""
            answers = find(association, destination, asked)
            listed |= {str(answer.get("SOPInstanceUID", "")).strip(" \0") for answer in answers}
    finally:
        association.release()
    return listed & {member.sop_instance_uid for member in members}


def for_queries(destination: Destination) -> Association:
    """An association for C-FIND. Raises TransientError."""
    association = associated(destination, StudyRootQueryRetrieveInformationModelFind, "a query")
    if not association.is_established:
        raise TransientError(f"{destination.name} took no association for a query")
    return association


def associated(
    destination: Destination,
    sop_class: str,
    words: str,
    handlers: Sequence[Any] = (),
    stored: Sequence[tuple[str, Sequence[str]]] = (),
) -> Association:
    """An association for one service; the caller looks whether it was accepted. ``stored``: SOP Classes, with transfer syntaxes,
    that the other side may store to us on it (C-GET). Raises TransientError, naming the association by ``words``."""
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it quotes what it receives
    _config.LOG_HANDLER_LEVEL = "none"
    ae = AE(destination.calling_ae)
    seconds = destination.timeout_seconds
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = seconds
    ae.add_requested_context(sop_class)
    for uid, syntaxes in stored:
        ae.add_requested_context(uid, list(syntaxes))
    roles: list[Any] = [build_role(uid, scp_role=True) for uid in dict.fromkeys(uid for uid, _ in stored)]
    try:
        host = socket.gethostbyname(destination.host)
        association = ae.associate(
            host,
            destination.port,
            ae_title=destination.ae_title,
            ext_neg=roles or None,
            evt_handlers=list(handlers),
            tls_args=tls_args(destination),
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise TransientError(f"{destination.name} cannot be asked: {type(error).__name__}") from None
    if not association.is_established and not association.rejected_contexts:
        raise TransientError(f"{destination.name} took no association for {words}")
    return keep_answers(association)


def find(association: Association, destination: Destination, asked: Dataset) -> list[Dataset]:
    """All answers to one question. Raises TransientError."""
    found: list[Dataset] = []
    try:
        for status, identifier in association.send_c_find(asked, StudyRootQueryRetrieveInformationModelFind):
            code = status.get("Status", None)
            if code in _PENDING and identifier is not None:
                found.append(identifier)
                if len(found) > _MOST_ANSWERS:
                    raise TransientError(f"{destination.name} answers a query without end")
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
