"""A PS3.10 file that comes in fragments (STOW-RS part, file of a folder or archive) into the intake, as a C-STORE would."""

from collections.abc import Sequence
from typing import Final

from domain.instances import Caller, Header, Receipt
from domain.seams import Intake, ObjectWriter
from scp.boundary import attempt
from scp.deposit import Announced, Deposit, Depositor
from scp.negotiation import TRANSFER_SYNTAXES, is_storage
from scp.part10 import MetaReader
from scp.statuses import RefusedError, Reply, Status, reply_to

MAX_OBJECT: Final = 16_000_000_000  # bytes of a data set, as for C-STORE


class FileDeposit:
    """Takes fragments of one file, ends with ``finish`` or ``discard``; neither they nor ``write`` ever raise.

    What the file says about itself in group 0002 is not compared with its data set: the data set counts, and the stored
    file gets File Meta Information of ours. ``study_uid``: refuse objects of any other study.
    """

    def __init__(
        self, intake: Intake, caller: Caller, association_id: str, max_object: int = MAX_OBJECT, study_uid: str = ""
    ) -> None:
        self._noting = _Noting(intake, study_uid)
        self._by = Depositor(self._noting, caller, association_id, max_object)
        self._meta = MetaReader()
        self._deposit: Deposit | None = None
        self._reply: Reply | None = None
        self._size = 0

    @property
    def header(self) -> Header | None:
        """What names the object, as soon as it is known."""
        return self._noting.header

    @property
    def receipt(self) -> Receipt | None:
        """What the store made of it, after a ``finish`` that answered success."""
        return self._noting.receipt

    @property
    def too_large(self) -> bool:
        """Whether it was refused for its size."""
        return self._size > self._by.max_object

    def write(self, fragment: bytes | memoryview) -> None:
        """Take the next fragment; it may be overwritten afterwards."""
        if self._deposit:
            self._size += len(fragment)
            self._deposit.write(fragment)
        elif self._reply is None and (error := attempt(lambda: self._begin(self._meta.feed(fragment)))):
            self._refuse(error)

    def finish(self) -> Reply:
        """The file is complete: commit it. Success (0x0000) means durable and indexed."""
        if self._deposit is None and self._reply is None and (error := attempt(lambda: self._begin(self._meta.end()))):
            self._refuse(error)
        if self._deposit:
            return self._deposit.finish()
        assert self._reply is not None
        return self._reply

    def discard(self) -> None:
        """The file will not be completed."""
        if self._deposit:
            self._deposit.discard()

    def _begin(self, data_set: memoryview | None) -> None:
        if data_set is None:
            return
        syntax = self._meta.syntax
        if syntax not in TRANSFER_SYNTAXES:
            raise RefusedError(Status.TRANSFER_SYNTAX_NOT_SUPPORTED, "transfer syntax is private or unknown")
        self._deposit = self._by.begin(Announced("", "", syntax))
        self._meta = MetaReader()  # gives back what it held
        if data_set:
            self._size = len(data_set)
            self._deposit.write(data_set)

    def _refuse(self, error: Exception) -> None:
        self._meta = MetaReader()
        self._reply = reply_to(error) or Reply(Status.PROCESSING_FAILURE, "fault in this node, see its log")
        self._by.refused(self._reply)


class _Noting:
    """The intake, with the rules that negotiation holds for C-STORE; keeps what is known of the one object."""

    def __init__(self, intake: Intake, study_uid: str) -> None:
        self._intake, self._study_uid = intake, study_uid
        self.header: Header | None = None
        self.receipt: Receipt | None = None

    def writer(self, association_id: str, caller: Caller, header: Header, meta: bytes) -> ObjectWriter:
        """See ``domain.seams.Intake``; also raises RefusedError."""
        self.header = header
        if not is_storage(header.sop_class_uid):
            raise RefusedError(Status.SOP_CLASS_NOT_SUPPORTED, "not a storage SOP class")
        if self._study_uid and header.study_uid != self._study_uid:
            raise RefusedError(Status.OTHER_STUDY, "object belongs to another study than the one in the URL")
        return _NotingWriter(self, self._intake.writer(association_id, caller, header, meta))

    def opened(self, caller: Caller) -> str:
        """See ``domain.seams.Intake``."""
        return self._intake.opened(caller)

    def closed(self, association_id: str, how: str) -> None:
        """See ``domain.seams.Intake``."""
        self._intake.closed(association_id, how)

    def refused(self, caller: Caller, association_id: str, status: int, words: str) -> None:
        """See ``domain.seams.Intake``."""
        self._intake.refused(caller, association_id, status, words)

    def rejected(self, caller: Caller, words: str, proposed: Sequence[str] = ()) -> None:
        """See ``domain.seams.Intake``."""
        self._intake.rejected(caller, words, proposed)


class _NotingWriter:
    """Keeps the receipt."""

    def __init__(self, noting: _Noting, writer: ObjectWriter) -> None:
        self._noting, self._writer = noting, writer

    def write(self, fragment: bytes | memoryview) -> None:
        """See ``domain.seams.ObjectWriter``."""
        self._writer.write(fragment)

    def commit(self, last: Sequence[bytes | memoryview] = ()) -> Receipt:
        """See ``domain.seams.ObjectWriter``."""
        self._noting.receipt = self._writer.commit(last)
        return self._noting.receipt

    def discard(self) -> None:
        """See ``domain.seams.ObjectWriter``."""
        self._writer.discard()
