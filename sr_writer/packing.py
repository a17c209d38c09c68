"""Frames as native Pixel Data (PS3.5 section 8.1.1), packed one by one while they are written."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from highdicom.seg import SegmentationTypeValues as Type

from domain.errors import PermanentError
from sr_writer.content import Content
from sr_writer.document import Frames

_LARGEST: Final = 2**32 - 2  # bytes of a value field of defined length (PS3.5 section 7.1.2)


def frames_of(content: Content, frames: npt.NDArray[np.intp], shape: tuple[int, int]) -> Frames:
    """The Pixel Data of these frames, in this order. Raises PermanentError when it would be longer than DICOM allows."""
    lines = [(int(number), int(plane), int(first), int(last) + 1) for number, plane, first, last in frames]
    one_bit = content.type is Type.BINARY
    values = len(lines) * shape[0] * shape[1]
    length = -(-values // 8) if one_bit else values * _bytes_of(content)
    if length + length % 2 > _LARGEST:
        raise PermanentError("The Segmentation would be larger than 4 GB, the most that native Pixel Data can hold.")

    def pieces() -> Iterator[bytes | memoryview]:
        if one_bit and shape[0] * shape[1] % 8:
            yield from _continued(content, lines, shape)
        else:
            yield from _aligned(content, lines, shape, one_bit)
        yield b"\0" * (length % 2)

    return Frames(length + length % 2, pieces, b"OW" if _bytes_of(content) == 2 else b"OB")


def _bytes_of(content: Content) -> int:
    return 2 if content.type is Type.LABELMAP and len(content.segments) > np.iinfo(np.uint8).max else 1


Lines = list[tuple[int, int, int, int]]


def _aligned(content: Content, lines: Lines, shape: tuple[int, int], one_bit: bool) -> Iterator[bytes | memoryview]:
    """Frames that are whole bytes: rows above and below the segment are zeros that nobody has to compare or pack."""
    rows, columns = shape
    row_bytes = columns // 8 if one_bit else columns * _bytes_of(content)
    crop = not one_bit or columns % 8 == 0
    zeros = memoryview(bytes(rows * columns * 2))
    for number, plane, first, end in lines:
        first, end = (first, end) if crop else (0, rows)
        pixels = content.pixels(number, plane, first, end)
        yield zeros[: first * row_bytes]
        yield np.packbits(pixels.ravel(), bitorder="little").data if one_bit else np.ascontiguousarray(pixels).data.cast("B")
        yield zeros[: (rows - end) * row_bytes]


def _continued(content: Content, lines: Lines, shape: tuple[int, int]) -> Iterator[bytes]:
    """One bit per pixel where a frame ends within a byte: the next frame begins in it."""
    rest = np.empty(0, np.uint8)
    for number, plane, _, _ in lines:
        bits = np.concatenate([rest, content.pixels(number, plane, 0, shape[0]).ravel()])
        whole = len(bits) // 8 * 8
        yield np.packbits(bits[:whole], bitorder="little").tobytes()
        rest = bits[whole:]
    yield np.packbits(rest, bitorder="little").tobytes()
