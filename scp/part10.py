"""The file around a data set (PS3.10 section 7): made for what arrives, taken off what comes from folders and archives."""

import struct
from functools import lru_cache
from typing import Final

from domain.errors import UnnameableError
from domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from domain.instances import Header

PREAMBLE: Final = bytes(128) + b"DICM"
LONG_VRS: Final = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)  # PS3.5 7.1.2

_VERSION: Final = struct.pack("<HH2sHL", 2, 0x0001, b"OB", 0, 2) + b"\x00\x01"
_HEAD: Final = 132
META_LIMIT: Final = 1 << 20  # bytes of a File Meta Information that is looked at; honest ones need a few hundred


def meta_bytes(header: Header, calling_ae: str) -> bytes:
    """Preamble, prefix and File Meta Information for an object from ``calling_ae``; the data set follows as it is."""
    before, after = _same(header.sop_class_uid, header.transfer_syntax_uid, calling_ae)
    instance = _text(0x0003, b"UI", header.sop_instance_uid)
    length = len(before) + len(instance) + len(after)
    return b"".join((PREAMBLE, struct.pack("<HH2sHL", 2, 0, b"UL", 4, length), before, instance, after))


@lru_cache(maxsize=256)
def _same(sop_class_uid: str, transfer_syntax_uid: str, calling_ae: str) -> tuple[bytes, bytes]:
    """What is the same for all objects of a kind: the elements before and behind the SOP Instance UID."""
    before = _VERSION + _text(0x0002, b"UI", sop_class_uid)
    after = (
        _text(0x0010, b"UI", transfer_syntax_uid),
        _text(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
        _text(0x0013, b"SH", IMPLEMENTATION_VERSION),
        _text(0x0016, b"AE", calling_ae.strip()[:16]) if calling_ae.strip() else b"",
    )
    return before, b"".join(after)


def _text(element: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value


def split(file: bytes | memoryview) -> tuple[str, memoryview]:
    """Transfer Syntax UID and data set (a view, not a copy) of a PS3.10 file; its preamble may hold anything.

    The File Meta Information is walked element by element: its group length is wrong too often to rely on.
    Raises UnnameableError when it is no such file.
    """
    view = memoryview(file)
    if bytes(view[128:_HEAD]) != b"DICM":
        raise UnnameableError("not a DICOM file (no DICM prefix)")
    at, syntax = _HEAD, ""
    while len(view) >= at + 8 and bytes(view[at : at + 2]) == b"\x02\x00":
        element, value_at, length = _element(view, at)
        if element == 0x0010:
            syntax = str(view[value_at : value_at + length], "ascii", "replace").strip("\0 ")
        at = value_at + length
    if not syntax:
        raise UnnameableError("File Meta Information names no transfer syntax")
    if at > len(view):
        raise UnnameableError("File Meta Information is cut off")
    return syntax, view[at:]


def _element(view: memoryview, at: int) -> tuple[int, int, int]:
    """Element number, offset of the value and its length; Explicit VR Little Endian (PS3.10 7.1)."""
    _, element, vr, length = struct.unpack_from("<HH2sH", view, at)
    if vr not in LONG_VRS:
        return element, at + 8, length
    if len(view) < at + 12:
        raise UnnameableError("File Meta Information is cut off")
    (length,) = struct.unpack_from("<L", view, at + 8)
    return element, at + 12, length


class MetaReader:
    """Takes the front of a PS3.10 file off while it arrives in fragments of any size."""

    def __init__(self) -> None:
        self.syntax = self.sop_class = ""
        self._held = bytearray()
        self._at = _HEAD

    def feed(self, fragment: bytes | memoryview) -> memoryview | None:
        """The first bytes of the data set once File Meta Information has ended, before that None.

        Raises UnnameableError as ``split`` does, and when it has not ended after 1 MiB.
        """
        self._held += fragment
        if len(self._held) >= _HEAD and self._held[128:_HEAD] != b"DICM":
            raise UnnameableError("not a DICOM file (no DICM prefix)")
        while len(self._held) >= self._at + 12:
            if self._held[self._at : self._at + 2] != b"\x02\x00":
                return self.end()
            if not self._step():
                break
        if len(self._held) > META_LIMIT:
            raise UnnameableError("File Meta Information is longer than 1 MiB")
        return None

    def end(self) -> memoryview:
        """The file has ended: the data set, which may be empty. Raises UnnameableError."""
        self.syntax, data_set = split(memoryview(self._held))
        return data_set

    def _step(self) -> bool:
        """Over one element; False while it is not complete."""
        element, value_at, length = _element(memoryview(self._held), self._at)
        if len(self._held) < value_at + length:
            return False
        if element == 0x0002:
            self.sop_class = self._held[value_at : value_at + length].decode("ascii", "replace").strip("\0 ")
        self._at = value_at + length
        return True
