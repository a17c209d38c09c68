"""Finds a few top-level elements of a data set while it arrives, without recursion, values or guesses about the rest.

pydicom reads whole data sets and recurses into sequences; a receiver needs five values from a prefix of hostile bytes whose
end is not there yet. So this walks from element to element (PS3.5 section 7), skips values by their length, counts open
sequences of undefined length on a stack of its own, and stops as soon as everything wanted is known.
"""

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from domain.errors import UnnameableError
from scp.part10 import LONG_VRS

SOP_CLASS: Final = 0x00080016
SOP_INSTANCE: Final = 0x00080018
MODALITY: Final = 0x00080060
STUDY: Final = 0x0020000D
SERIES: Final = 0x0020000E
REQUIRED: Final = frozenset((SOP_CLASS, SOP_INSTANCE, STUDY, SERIES))
WANTED: Final = REQUIRED | {MODALITY}
FIRST_PIXELS: Final = 0x7FE00000

ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED: Final = 0xFFFFFFFF
LONGEST_VALUE: Final = 1024  # of a wanted element; UI has 64 characters at most (PS3.5 6.2)
TOO_LONG: Final = b"?"  # stands for a longer one: not a UID, so it is refused as such

# With a length of 16 bits (PS3.5 7.1.2); empty: Implicit VR.
SHORT_VRS: Final = frozenset(
    (
        b"",
        b"AE",
        b"AS",
        b"AT",
        b"CS",
        b"DA",
        b"DS",
        b"DT",
        b"FD",
        b"FL",
        b"IS",
        b"LO",
        b"LT",
        b"PN",
        b"SH",
        b"SL",
        b"SS",
        b"ST",
        b"TM",
        b"UI",
        b"UL",
        b"US",
    )
)

Bytes = bytes | bytearray | memoryview


Unpack = Callable[[Bytes, int], tuple[int, int, bytes, int]]
_UNPACK: Final[dict[tuple[bool, str], Unpack]] = {
    (explicit, order): struct.Struct(f"{order}HH{'2sH' if explicit else '0sL'}").unpack_from
    for explicit in (True, False)
    for order in "<>"
}
_LENGTH: Final = {order: struct.Struct(f"{order}L").unpack_from for order in "<>"}


class Frame(NamedTuple):
    """Where the walk is: among the elements of a data set or item, or among the items of a sequence."""

    items: bool
    explicit: bool
    order: str  # "<" or ">"


class Element(NamedTuple):
    """A tag, the VR (empty in Implicit VR), the length of the value and where it begins."""

    tag: int
    vr: bytes
    length: int
    value_at: int


class Walk:
    """The walk over one data set. ``found`` maps tag to raw value."""

    def __init__(self, explicit: bool, order: str = "<") -> None:
        self.found: dict[int, bytes] = {}
        self.done = False  # nothing more to find
        self._at = 0
        self._stack = [Frame(False, explicit, order)]
        self._checked_vr = False

    def go(self, data: Bytes) -> bool:
        """Walk on; ``data`` begins at the first byte of the data set, longer at every call. True when done.

        Raises UnnameableError when an element stands where none can.
        """
        if not self._checked_vr and len(data) >= 6:
            self._check_vr(data)
        while not self.done:
            if len(self._stack) == 1:
                self._skim(data)
            element = self._read(data)
            if element is None:
                return False
            if len(self._stack) == 1:
                if not self._top(data, element):
                    return False
            else:
                self._nested(element)
        return True

    def _check_vr(self, data: Bytes) -> None:
        """Some senders write the other of implicit and explicit than they negotiated; two capitals tell (as in pydicom)."""
        explicit = all(0x41 <= letter <= 0x5A for letter in data[4:6])
        self._stack[0] = self._stack[0]._replace(explicit=explicit)
        self._checked_vr = True

    def _skim(self, data: Bytes) -> None:
        """Go over plain top-level elements quickly; whatever is unusual or ends the walk is left to the careful steps below."""
        frame, at, end = self._stack[0], self._at, len(data) - 12
        unpack = _UNPACK[frame.explicit, frame.order]
        long_length = _LENGTH[frame.order]
        found = self.found
        while at <= end:
            group, number, vr, length = unpack(data, at)
            tag = group << 16 | number
            if tag >= SERIES:  # the last one wanted
                break
            if tag in WANTED:
                if vr not in SHORT_VRS or length > LONGEST_VALUE or at + 8 + length > len(data):
                    break
                found.setdefault(tag, bytes(data[at + 8 : at + 8 + length]))
            elif vr in LONG_VRS:
                length = long_length(data, at + 8)[0] + 4
            elif vr not in SHORT_VRS:
                break
            if length >= UNDEFINED:
                break
            at += 8 + length
        self._at = at

    def _read(self, data: Bytes) -> Element | None:
        frame, at = self._stack[-1], self._at
        if len(data) < at + 8:
            return None
        group, number, length = struct.unpack_from(f"{frame.order}HHL", data, at)
        tag = group << 16 | number
        vr = bytes(data[at + 4 : at + 6])
        if not frame.explicit or group == 0xFFFE or not b"AA" <= vr <= b"ZZ":
            return Element(tag, b"", length, at + 8)
        if vr not in LONG_VRS:
            return Element(tag, vr, struct.unpack_from(f"{frame.order}H", data, at + 6)[0], at + 8)
        if len(data) < at + 12:
            return None
        return Element(tag, vr, struct.unpack_from(f"{frame.order}L", data, at + 8)[0], at + 12)

    def _top(self, data: Bytes, element: Element) -> bool:
        """False when the value wanted is not there yet."""
        tag = element.tag
        if tag >= FIRST_PIXELS or (tag > MODALITY and self.found.keys() >= REQUIRED):
            self.done = True
        elif tag in WANTED and element.length != UNDEFINED and tag not in self.found:
            if element.length <= LONGEST_VALUE and len(data) < element.value_at + element.length:
                return False
            self.found[tag] = _value(data, element)
            self._skip(element)
            self.done = self.found.keys() >= REQUIRED and (MODALITY in self.found or tag > MODALITY)
        else:
            self._skip(element)
        return True

    def _nested(self, element: Element) -> None:
        tag = element.tag
        if not self._stack[-1].items:
            self._leave(element) if tag == ITEM_END else self._skip(element)
        elif tag == SEQUENCE_END:
            self._leave(element)
        elif tag != ITEM:
            raise UnnameableError("the data set is damaged: no item where one should be")
        elif element.length == UNDEFINED:
            self._enter(element, self._stack[-1]._replace(items=False))
        else:
            self._at = element.value_at + element.length

    def _skip(self, element: Element) -> None:
        if element.length != UNDEFINED:
            self._at = element.value_at + element.length
        elif element.vr == b"UN":  # its items are Implicit VR Little Endian in every transfer syntax (PS3.5 6.2.2, note 2)
            self._enter(element, Frame(True, False, "<"))
        else:
            self._enter(element, self._stack[-1]._replace(items=True))

    def _enter(self, element: Element, frame: Frame) -> None:
        self._stack.append(frame)
        self._at = element.value_at

    def _leave(self, element: Element) -> None:
        self._stack.pop()
        self._at = element.value_at


def _value(data: Bytes, element: Element) -> bytes:
    if element.length > LONGEST_VALUE:
        return TOO_LONG
    return bytes(data[element.value_at : element.value_at + element.length])
