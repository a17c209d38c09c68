"""Data elements as bytes in Explicit VR Little Endian (PS3.5 section 7.1.2), for what repeats too often for objects."""

import struct
from collections.abc import Iterable, Sequence
from typing import Final

_LONG: Final = frozenset({"OB", "OW", "OF", "SQ", "UT", "UN"})  # a length of 32 bits after two reserved bytes
_ITEM: Final = b"\xfe\xff\x00\xe0"


def element(tag: int, vr: str, value: bytes) -> bytes:
    """One data element with a value of even length. Raises ValueError for an odd one."""
    if len(value) % 2:
        raise ValueError("a value field has an even length (PS3.5 section 7.1.1)")
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    if vr in _LONG:
        return head + b"\0\0" + struct.pack("<I", len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def item(*elements: bytes) -> bytes:
    """One item of a sequence, with its length (PS3.5 section 7.5)."""
    content = b"".join(elements)
    return _ITEM + struct.pack("<I", len(content)) + content


def sequence(tag: int, items: Iterable[bytes]) -> bytes:
    """A sequence of finished items, with its length."""
    return element(tag, "SQ", b"".join(items))


def text(tag: int, vr: str, value: str) -> bytes:
    """A string of the default repertoire, padded to even length: UI with a zero byte, all others with a blank."""
    encoded = value.encode("ascii")
    return element(tag, vr, encoded + (b"" if len(encoded) % 2 == 0 else b"\0" if vr == "UI" else b" "))


def unsigned(tag: int, vr: str, values: Sequence[int]) -> bytes:
    """Numbers of VR US or UL."""
    return element(tag, vr, struct.pack(f"<{len(values)}{'H' if vr == 'US' else 'I'}", *values))


def code(tag: int, value: str, scheme: str, meaning: str) -> bytes:
    """A code sequence of one item (PS3.3 section 8.8)."""
    elements = (text(0x00080100, "SH", value), text(0x00080102, "SH", scheme), text(0x00080104, "LO", meaning))
    return sequence(tag, [item(*elements)])
