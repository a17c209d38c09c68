"""Every status a C-STORE can be answered with here, and the errors that lead to it."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from domain.errors import OutOfSpaceError, PermanentError, UnnameableError

LONGEST_COMMENT: Final = 64  # Error Comment (0000,0902) is LO (PS3.7 E.2)


class Status(IntEnum):
    """PS3.4 table B.2-1 and PS3.7 annex C."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    OUT_OF_RESOURCES = 0xA700
    MISMATCH = 0xA900  # Data Set does not match SOP Class
    CANNOT_UNDERSTAND = 0xC000
    TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122  # STOW-RS (PS3.18 table I.2-2)
    OTHER_STUDY = 0xC409  # STOW-RS: not of the study in the URL; of the Cxxx range, as other servers answer it


@dataclass(frozen=True, slots=True)
class Reply:
    """What a C-STORE is answered; ``words`` is the Error Comment: printable ASCII, at most 64 characters, no patient data."""

    status: int = Status.SUCCESS
    words: str = ""


class RefusedError(PermanentError):
    """An object is refused with this status."""

    def __init__(self, status: Status, words: str) -> None:
        super().__init__(words)
        self.status = status


def reply_to(error: Exception) -> Reply | None:
    """The answer an error stands for; None when it is not one of those raised on purpose."""
    if isinstance(error, RefusedError):
        return Reply(error.status, str(error)[:LONGEST_COMMENT])
    if isinstance(error, OutOfSpaceError):
        return Reply(Status.OUT_OF_RESOURCES, "no space left for images on this node; send again later")
    if isinstance(error, UnnameableError):
        return Reply(Status.CANNOT_UNDERSTAND, str(error)[:LONGEST_COMMENT])
    return None
