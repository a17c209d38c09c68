"""What the web server asks of the node behind it: who may send, and where a file goes. Made by node, like the intake."""

from dataclasses import dataclass
from typing import Protocol

from domain.instances import Caller


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file. ``status`` is that of a C-STORE response (0x0000: durable and indexed); UIDs are empty while they
    are not known; ``words`` has no patient data."""

    status: int = 0
    words: str = ""
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    conflict: bool = False  # another object with this UID, and other content, was there before
    too_large: bool = False


class Part(Protocol):
    """One file on its way. Exactly one of ``finish`` and ``discard`` ends it; neither they nor ``write`` ever raise."""

    def write(self, fragment: bytes) -> None:
        """Append bytes of a PS3.10 file."""

    def finish(self) -> Outcome:
        """The file is complete: make it durable."""

    def discard(self) -> None:
        """The sender will not finish."""


class Transfer(Protocol):
    """All files of one request: an association of its own in the store."""

    def begin(self) -> Part:
        """The next file."""

    def refuse(self, status: int, words: str) -> Outcome:
        """Record a part that cannot be a DICOM file."""

    def close(self, how: str) -> None:
        """The request ended: "released", "aborted" (by us or after a breach of the rules) or "lost". Never raises."""


class Desk(Protocol):
    """Called from several threads at once; what it does may wait for the disk."""

    def admit(self, address: str, token: str) -> Caller | None:
        """Who this is; None when it may not send (which is recorded). ``token`` is empty when none was given."""

    def open(self, caller: Caller, study_uid: str) -> Transfer:
        """A request begins; ``study_uid`` is the study it is for, or empty. Raises TransientError."""
