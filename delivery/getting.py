"""Studies of a PACS: which there are (C-FIND), and all of one as it is kept there (C-GET); PS3.4 C.4."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelGet  # type: ignore[attr-defined]

from delivery.query import associated, find, for_queries
from domain.destinations import Destination
from domain.errors import PermanentError, TransientError

# Each in a context of its own: the other side chooses one transfer syntax per context, and would convert what is kept in another.
_SYNTAXES: Final[tuple[tuple[str, ...], ...]] = (
    (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
    *((uid,) for uid in (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)),
    *((uid,) for uid in (JPEGLSLossless, JPEGLSNearLossless, JPEG2000Lossless, JPEG2000)),
    *((uid,) for uid in (HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K, RLELossless, DeflatedExplicitVRLittleEndian)),
)
_MOST_CLASSES: Final = 127 // len(_SYNTAXES)  # presentation contexts of one association (PS3.8 7.1.1.13), one is for C-GET
_NOTHING: Final = "{} gives nothing back by C-GET; use its DICOMweb service, or export a folder from it"
_SUCCESS, _OUT_OF_RESOURCES, _CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000


def studies(destination: Destination, query: Sequence[tuple[str, str]] = ()) -> list[str]:
    """Study Instance UIDs; ``query`` are keywords and values to match. Raises TransientError."""
    asked = Dataset()
    asked.QueryRetrieveLevel, asked.StudyInstanceUID = "STUDY", ""
    for keyword, value in query:
        setattr(asked, keyword, value)
    association = for_queries(destination)
    try:
        return [_uid(destination, answer, "StudyInstanceUID") for answer in find(association, destination, asked)]
    finally:
        association.release()


def instances(destination: Destination, study_uid: str) -> dict[str, str]:
    """SOP Instance UID -> SOP Class UID ("": the PACS does not say). Raises TransientError."""
    association = for_queries(destination)
    found: dict[str, str] = {}
    try:
        for series in _series(association, destination, study_uid):
            asked = Dataset()
            asked.QueryRetrieveLevel = "IMAGE"
            asked.StudyInstanceUID, asked.SeriesInstanceUID = study_uid, series
            asked.SOPInstanceUID, asked.SOPClassUID = "", ""
            for answer in find(association, destination, asked):
                sop_class = str(answer.get("SOPClassUID", "") or "").strip(" \0")
                found[_uid(destination, answer, "SOPInstanceUID")] = sop_class if UID(sop_class).is_valid else ""
    finally:
        association.release()
    return found


def get(destination: Destination, study_uid: str, wanted: Mapping[str, str], folder: Path) -> list[Path]:
    """All instances of a study as PS3.10 files under numbers in ``folder``; ``wanted`` is what ``instances`` has found.

    Raises TransientError when the PACS breaks off or gives back less than it lists, PermanentError when it gives nothing back.
    """
    received = _Received(folder)
    stored = [(uid, syntaxes) for uid in _classes(destination, wanted) for syntaxes in _SYNTAXES]
    handlers: list[Any] = [(evt.EVT_C_STORE, received.keep)]
    words = "a retrieval"
    association = associated(destination, StudyRootQueryRetrieveInformationModelGet, words, handlers, stored)
    if not association.is_established:
        raise PermanentError(_NOTHING.format(destination.name))
    asked = Dataset()
    asked.QueryRetrieveLevel, asked.StudyInstanceUID = "STUDY", study_uid
    try:
        statuses = [status.get("Status", None) for status, _ in _asked(association, destination, asked)]
    finally:
        association.release()
    if received.error:
        raise received.error
    missing = wanted.keys() - received.uids
    if missing:
        said = f" and ended with 0x{statuses[-1]:04X}" if statuses and statuses[-1] is not None else ""
        raise TransientError(f"{destination.name} gave back {len(wanted) - len(missing)} of {len(wanted)} instances{said}")
    return received.files


class _Received:
    """What the other side stores to us. A fault is kept for the caller: the handler runs in a thread of pynetdicom."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: list[Path] = []
        self.uids: set[str] = set()
        self.error: OSError | None = None

    def keep(self, event: Any) -> int:
        """One C-STORE sub-operation."""
        target = self._folder / f"{len(self.files):06d}.dcm"
        try:
            uid = str(event.request.AffectedSOPInstanceUID)
            target.write_bytes(event.encoded_dataset())
        except OSError as error:
            self.error = error
            return _OUT_OF_RESOURCES
        except (ValueError, AttributeError, TypeError):
            return _CANNOT_UNDERSTAND
        self.files.append(target)
        self.uids.add(uid)
        return _SUCCESS


def _asked(association: Any, destination: Destination, asked: Dataset) -> Iterator[Any]:
    try:
        yield from association.send_c_get(asked, StudyRootQueryRetrieveInformationModelGet)
    except (ValueError, RuntimeError):  # the association ended, or the service was not accepted
        raise PermanentError(
            f"{destination.name} gives nothing back by C-GET; use its DICOMweb service, or send from it"
        ) from None


def _classes(destination: Destination, wanted: Mapping[str, str]) -> list[str]:
    """SOP Classes of a study. Raises PermanentError when nobody says, or there are more than fit into one association."""
    counted = Counter(wanted.values())
    if "" in counted or not counted:
        raise PermanentError(f"{destination.name} does not say of which SOP Classes a study is; use its DICOMweb service")
    if len(counted) > _MOST_CLASSES:
        raise PermanentError(f"a study of more than {_MOST_CLASSES} SOP Classes cannot be taken by C-GET at once")
    return sorted(counted)


def _series(association: Any, destination: Destination, study_uid: str) -> list[str]:
    asked = Dataset()
    asked.QueryRetrieveLevel, asked.StudyInstanceUID, asked.SeriesInstanceUID = "SERIES", study_uid, ""
    return [_uid(destination, answer, "SeriesInstanceUID") for answer in find(association, destination, asked)]


def _uid(destination: Destination, answer: Dataset, keyword: str) -> str:
    uid = str(answer.get(keyword, "") or "").strip(" \0")
    if not uid or len(uid) > 64 or set(uid) - set("0123456789."):
        raise TransientError(f"{destination.name} lists something without a usable UID")
    return uid
