"""Finds the frames in the pixel data of one object without copying or decoding any: native or encapsulated (PS3.5 A.4)."""

import struct
from bisect import bisect_right
from collections.abc import Iterator

import numpy as np
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from domain.errors import Reason, UnsuitableError
from inference.source import Source

_PIXEL_DATA = (0x7FE0, 0x0010)
_UNDEFINED = 0xFFFFFFFF
_ITEM, _END = 0xE000, 0xE0DD
_STARTS = (b"\xff\xd8", b"\xff\x4f")  # of a JPEG or JPEG-LS, and of a JPEG 2000 code stream


class FrameIndex:
    """Where each frame lies. ``encapsulated`` says whether ``data`` gives code streams or plain pixels.

    Raises UnsuitableError when there are no pixels, or fewer than ``count`` frames of ``size`` bytes (native).
    """

    def __init__(self, source: Source, count: int, size: int) -> None:
        self._value, self.encapsulated = _pixel_data(source)
        self.count = count
        if self.encapsulated:
            self._frames = _frames(source, self._value, count)
        elif len(self._value) < count * size:
            raise UnsuitableError(Reason.DECODE, "An image has fewer pixels than it says: it is cut off.")
        self._size = size

    def data(self, index: int) -> bytes:
        """The bytes of one frame, counted from 0."""
        if not self.encapsulated:
            last = index == self.count - 1  # an odd length is padded, and in words of big endian the last byte lies there
            return bytes(self._value[index * self._size : (index + 1) * self._size + (self._size % 2 if last else 0)])
        return b"".join(self._value[start : start + length] for start, length in self._frames[index])


def _pixel_data(source: Source) -> tuple[memoryview, bool]:
    """The value of the Pixel Data element and whether its length is undefined (encapsulated)."""
    order = ">" if source.transfer_syntax == ExplicitVRBigEndian else "<"
    try:
        tag = struct.unpack_from(order + "HH", source.data)
        start = 8 if source.transfer_syntax == ImplicitVRLittleEndian else 12
        (length,) = struct.unpack_from(order + "I", source.data, start - 4)
    except struct.error:
        tag = (0, 0)
    if tag != _PIXEL_DATA:
        raise UnsuitableError(Reason.DECODE, "An image has no pixels.")
    return (source.data[start:], True) if length == _UNDEFINED else (source.data[start : start + length], False)


def _frames(source: Source, value: memoryview, count: int) -> list[list[tuple[int, int]]]:
    """The fragments (start, length) of each frame."""
    items = list(_items(value))
    if len(items) < count + 1:
        raise UnsuitableError(Reason.DECODE, "An image has fewer frames than it says: it is cut off.")
    table, fragments = items[0], items[1:]
    if len(fragments) == count:
        return [[fragment] for fragment in fragments]
    if count == 1:
        return [fragments]
    starts = _offsets(source, value, table, fragments[0][0] - 8) or [at for at, _ in fragments if _begins(value, at)]
    if len(starts) != count or starts != sorted(starts):
        raise UnsuitableError(Reason.DECODE, "It cannot be told where the frames of an image begin.")
    frames: list[list[tuple[int, int]]] = [[] for _ in starts]
    for fragment in fragments:
        frames[max(bisect_right(starts, fragment[0]) - 1, 0)].append(fragment)
    return frames


def _items(value: memoryview) -> Iterator[tuple[int, int]]:
    at = 0
    while at + 8 <= len(value):
        group, element, length = struct.unpack_from("<HHI", value, at)
        if (group, element) == (0xFFFE, _END):
            return
        if (group, element) != (0xFFFE, _ITEM) or at + 8 + length > len(value):
            raise UnsuitableError(Reason.DECODE, "The compressed pixels of an image are cut off.")
        yield at + 8, length
        at += 8 + length


def _offsets(source: Source, value: memoryview, table: tuple[int, int], first: int) -> list[int]:
    """Where frames begin by the Extended (PS3.3 C.7.6.3.1.8) or Basic Offset Table; empty when there is neither."""
    extended = source.header.get("ExtendedOffsetTable")
    if isinstance(extended, bytes) and extended and len(extended) % 8 == 0:
        offsets = np.frombuffer(extended, "<u8")
    else:
        offsets = np.frombuffer(value[table[0] : table[0] + table[1] // 4 * 4], "<u4")
    return [first + 8 + int(offset) for offset in offsets]


def _begins(value: memoryview, at: int) -> bool:
    return bytes(value[at : at + 2]) in _STARTS
