"""Message fragments of an association put where they belong: data of a C-STORE into its deposit, all else to pynetdicom."""

from typing import TYPE_CHECKING, Final

from pynetdicom.pdu_primitives import P_DATA

from scp.command_set import StoreRequest, store_request
from scp.deposit import Announced, Deposit
from scp.reactor import MALFORMED

if TYPE_CHECKING:
    from scp.fast_association import FastAcceptor

COMMAND, LAST = 1, 2  # bits of the Message Control Header (PS3.8 E.2)
COMMAND_LIMIT: Final = 1 << 16
OTHER_LIMIT: Final = 64 << 20  # bytes of a data set that is not a C-STORE's: pynetdicom keeps it in memory


class BreachError(Exception):
    """The peer broke the protocol: the association is aborted."""


class Messages:
    """Assembles the messages of one association; DIMSE sends them one after the other, never mixed (PS3.8 E.1)."""

    def __init__(self, association: "FastAcceptor") -> None:
        self.pending = False  # a message waits to be served: nothing more is read before
        self._association = association
        self._command = bytearray()
        self._context = 0
        self._request: StoreRequest | None = None
        self._deposit: Deposit | None = None
        self._other = False  # the data set of another service is on its way
        self._other_size = 0

    def fragment(self, context: int, control: int, data: memoryview, complete: bool) -> None:
        """Take (a part of) an item; ``complete``: with its last byte. ``data`` may be overwritten after ``settle``.

        Raises BreachError.
        """
        last = complete and bool(control & LAST)
        if (self._command or self._deposit or self._other) and context != self._context:
            raise BreachError("messages of two presentation contexts are mixed")
        self._context = context
        if control & COMMAND:
            self._take_command(data, last)
        elif self._deposit:
            self._take_data(self._deposit, data, last)
        elif self._other:
            self._take_other(data, last)
        else:
            raise BreachError("a data set without command")

    @property
    def holds(self) -> bool:
        """Whether views that were given to ``fragment`` are still needed."""
        return self._deposit is not None

    def settle(self) -> None:
        """Need them no longer."""
        if self._deposit:
            self._deposit.settle()

    def discard(self) -> None:
        """Nothing more will come of an unfinished object."""
        deposit, self._deposit = self._deposit, None
        if deposit:
            deposit.discard()

    def _take_command(self, data: memoryview, last: bool) -> None:
        if self._deposit or self._other:
            raise BreachError("a command inside a data set")
        self._command += data
        if len(self._command) > COMMAND_LIMIT:
            raise BreachError("a command set without end")
        if last:
            command, self._command = bytes(self._command), bytearray()
            self._begin(command)

    def _begin(self, command: bytes) -> None:
        request, syntax = store_request(command), self._association.storage_syntax(self._context)
        if request is None or syntax is None:
            self._hand_over(COMMAND | LAST, command)
            return
        assert self._association.depositor is not None
        self._request = request
        announced = Announced(request.sop_class_uid, request.sop_instance_uid, syntax)
        self._deposit = self._association.depositor.begin(announced)

    def _take_data(self, deposit: Deposit, data: memoryview, last: bool) -> None:
        if data:
            deposit.hold(data)
        if last:
            assert self._request is not None
            self._deposit = None
            self._association.answer(self._context, self._request, deposit.finish())

    def _take_other(self, data: memoryview, last: bool) -> None:
        self._other_size += len(data)
        if self._other_size > OTHER_LIMIT:
            raise BreachError("a data set without end")
        self._hand_over(LAST if last else 0, bytes(data))

    def _hand_over(self, control: int, data: bytes) -> None:
        """To pynetdicom, which assembles the message and puts it into its queue when it is complete."""
        primitive = P_DATA()
        primitive.presentation_data_value_list = [[self._context, bytes((control,)) + data]]  # type: ignore[list-item]  # a list is checked for
        dimse = self._association.dimse
        try:
            dimse.receive_primitive(primitive)
        except MALFORMED:
            raise BreachError("a message that cannot be decoded") from None
        self._other = dimse.message is not None
        if not self._other:
            self.pending, self._other_size = True, 0
