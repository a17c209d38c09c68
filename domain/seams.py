"""The seams between folders that may not import each other: what the receiver asks of the storage behind it."""

from collections.abc import Sequence
from typing import Protocol

from domain.instances import Caller, Header, Receipt


class ObjectWriter(Protocol):
    """One object on its way into a pack. Exactly one of ``commit`` and ``discard`` ends it."""

    def write(self, fragment: bytes | memoryview) -> None:
        """Append a fragment of the data set. Raises OutOfSpaceError."""

    def commit(self, last: Sequence[bytes | memoryview] = ()) -> Receipt:
        """Append the ``last`` fragments, make the object durable and index it; only afterwards may 0x0000 be answered.

        Raises OutOfSpaceError.
        """

    def discard(self) -> None:
        """Forget what was written (the sender vanished in the middle); never raises."""


class Intake(Protocol):
    """Where received objects go: made by node from spool and store, given to every receiver (C-STORE, STOW-RS, folders)."""

    def opened(self, caller: Caller) -> str:
        """An association was accepted; returns its id. While it is open, no study it sent to settles."""

    def writer(self, association_id: str, caller: Caller, header: Header, meta: bytes) -> ObjectWriter:
        """Begin an object. ``meta`` is what stands before the data set in a PS3.10 file (preamble, prefix, group 0002).

        Raises OutOfSpaceError when free space is below the reserve.
        """

    def closed(self, association_id: str, how: str) -> None:
        """The association ended: ``how`` is "released", "aborted" or "lost"."""

    def refused(self, caller: Caller, association_id: str, status: int, words: str) -> None:
        """An object was answered with a failure status; ``words`` is the Error Comment, without patient data."""

    def rejected(self, caller: Caller, words: str, proposed: Sequence[str] = ()) -> None:
        """An association was rejected (unknown caller, wrong called AE title); listed for the administrator.

        ``proposed``: the SOP Class UIDs of its presentation contexts.
        """
