"""One object on its way from a sender into the intake: the same for every way an object can come in."""

from functools import partial
from typing import Final, NamedTuple

from domain.instances import Caller
from domain.seams import Intake, ObjectWriter
from scp.boundary import attempt
from scp.header import HeadReader, usable_uid
from scp.part10 import meta_bytes
from scp.statuses import RefusedError, Reply, Status, reply_to

TOO_LARGE: Final = "object is larger than this node takes"
_FAULT = Reply(Status.PROCESSING_FAILURE, "fault in this node, see its log; send again later")


class Announced(NamedTuple):
    """What the C-STORE-RQ said about the data set that follows it; empty strings: nothing."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


class Depositor:
    """An association as the intake knows it. After a fault in storage an object is refused, the association goes on."""

    def __init__(self, intake: Intake, caller: Caller, association_id: str, max_object: int) -> None:
        self.intake, self.caller, self.association_id, self.max_object = intake, caller, association_id, max_object

    def begin(self, announced: Announced) -> "Deposit":
        """A new object."""
        return Deposit(self, announced)

    def refused(self, reply: Reply) -> None:
        """Report a refusal; a fault in reporting changes nothing for the sender."""
        attempt(lambda: self.intake.refused(self.caller, self.association_id, reply.status, reply.words))


class Deposit:
    """Takes fragments, ends with ``finish`` or ``discard``; neither they nor ``write`` ever raise."""

    def __init__(self, depositor: Depositor, announced: Announced) -> None:
        self._by, self._announced = depositor, announced
        self._head = HeadReader(announced.transfer_syntax_uid)
        self._writer: ObjectWriter | None = None
        self._reply: Reply | None = None  # a refusal: what still comes of the object is read and forgotten
        self._size = 0
        self._held: list[memoryview] = []  # of the receive buffer, to be written with one call

    def hold(self, fragment: memoryview) -> None:
        """Take the next fragment; it stays as it is until ``settle`` or ``finish``."""
        if self._writer is None or self._reply:
            self.write(fragment)
            return
        self._held.append(fragment)
        self._size += len(fragment)
        if self._size > self._by.max_object:
            self._refuse(RefusedError(Status.OUT_OF_RESOURCES, TOO_LARGE))

    def settle(self) -> None:
        """Write what is held: its place is needed."""
        held, self._held = self._held, []
        for fragment in held:
            if self._writer and (error := attempt(partial(self._writer.write, fragment))):
                self._refuse(error)

    def write(self, fragment: bytes | memoryview) -> None:
        """Take the next fragment; it may be overwritten afterwards."""
        if self._reply is None and (error := attempt(lambda: self._take(fragment))):
            self._refuse(error)

    def finish(self) -> Reply:
        """The data set is complete: commit it. The reply may be sent as soon as this returns."""
        if self._reply is None and (error := attempt(self._commit)):
            self._refuse(error)
        if self._reply:  # only now: a sender that vanishes before the end was answered nothing
            self._by.refused(self._reply)
        return self._reply or Reply()

    def discard(self) -> None:
        """The sender will not finish."""
        writer, self._writer, self._held = self._writer, None, []
        if writer:
            attempt(writer.discard)

    def _take(self, fragment: bytes | memoryview) -> None:
        self._size += len(fragment)
        if self._size > self._by.max_object:
            raise RefusedError(Status.OUT_OF_RESOURCES, TOO_LARGE)
        if self._writer:
            self._writer.write(fragment)
        elif self._head.feed(fragment):
            self._open().write(memoryview(self._head.held) if self._head.held else fragment)
            self._head.held = bytearray()

    def _commit(self) -> None:
        if self._writer is None:
            self._open().write(bytes(self._head.held))
        assert self._writer is not None
        self._writer.commit(self._held)
        self._writer, self._held = None, []

    def _open(self) -> ObjectWriter:
        header = self._head.header()
        if header.sop_class_uid != (usable_uid(self._announced.sop_class_uid) or header.sop_class_uid):
            raise RefusedError(Status.MISMATCH, "SOP Class UID differs between command and data set")
        if header.sop_instance_uid != (usable_uid(self._announced.sop_instance_uid) or header.sop_instance_uid):
            raise RefusedError(Status.MISMATCH, "SOP Instance UID differs between command and data set")
        meta = meta_bytes(header, self._by.caller.calling_ae)
        self._writer = self._by.intake.writer(self._by.association_id, self._by.caller, header, meta)
        return self._writer

    def _refuse(self, error: Exception) -> None:
        self.discard()
        self._head.held = bytearray()
        self._reply = reply_to(error) or _FAULT
