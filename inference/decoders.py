"""Decoders that leave other threads running while they work (imagecodecs), for the transfer syntaxes CT and MR come in.

The bindings pydicom uses hold Python's lock for as long as they decode, so two threads with them are no faster than one.
What these do not take, or answer in a form that is not expected, is pydicom's.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.uid import (
    JPEG2000,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from inference.codestream import is_lossless_jpeg

_RLE_HEADER: Final = 64  # bytes: how many segments, and where each begins (PS3.5 G.5)
_FILLING: Final = 128  # bytes that what fills up a segment may unpack to


def _lossless(frame: bytes) -> npt.NDArray[Any]:
    """libjpeg-turbo is two and a half times as fast as jpegsof3, but fills up in silence what a stream that is cut off lacks, and
    takes JPEG of every kind: it gets whole lossless ones alone."""
    if is_lossless_jpeg(frame):
        try:
            return np.asarray(imagecodecs.jpeg8_decode(frame))
        except imagecodecs.Jpeg8Error:  # what this build does not do (a precision, a predictor) the other one may
            pass
    return np.asarray(imagecodecs.jpegsof3_decode(frame))


_FREE: Mapping[str, Callable[[bytes], npt.NDArray[Any]]] = {
    JPEGLSLossless: imagecodecs.jpegls_decode,
    JPEGLSNearLossless: imagecodecs.jpegls_decode,
    JPEG2000Lossless: lambda frame: imagecodecs.jpeg2k_decode(frame, numthreads=1),
    JPEG2000: lambda frame: imagecodecs.jpeg2k_decode(frame, numthreads=1),
    JPEGLossless: _lossless,
    JPEGLosslessSV1: _lossless,
}
# pydicom would try its own decoder first, which is written in Python.
PLUGIN: Mapping[str, str] = {RLELossless: "pylibjpeg"}


def decoded(
    frame: bytes, syntax: str, shape: tuple[int, int], allocated: int, bits: int, signed: bool
) -> npt.NDArray[Any] | None:
    """Stored values (rows, columns) of one code stream of one component; None: let pydicom do it.

    The size the code stream claims must have been compared with ``shape`` before; RLE claims none.
    """
    decode = _FREE.get(syntax)
    try:
        if syntax == RLELossless:
            return _rle(frame, shape, allocated // 8).view(f"<{'i' if signed else 'u'}{allocated // 8}")
        if decode is None:
            return None
        found = decode(frame)
    except Exception:  # noqa: BLE001 - a decoder that meets hostile bytes; pydicom's gets them next
        return None
    if found.shape != shape or found.dtype.kind not in "iu" or found.dtype.itemsize * 8 > allocated:
        return None
    if found.dtype.kind == "i":
        return found.astype(f"i{allocated // 8}", copy=False) if signed else None
    plain = found.astype(f"u{allocated // 8}", copy=False)
    if not signed:
        return plain
    # The code stream does not know signs: the highest bit stored is one (PS3.5 8.1.1).
    down = allocated - bits
    return np.asarray((plain << down).view(f"i{allocated // 8}") >> down)


def _rle(frame: bytes, shape: tuple[int, int], width: int) -> npt.NDArray[Any]:
    """(rows, columns) of ``width`` bytes: one segment for each byte of a value, the highest first (PS3.5 Annex G).

    Raises ValueError when there are more or fewer segments, or one is not as long as the picture.
    """
    header = np.frombuffer(frame[:_RLE_HEADER], "<u4")
    begins = header[1 : width + 1].tolist()
    if header[0] != width or begins != sorted(begins) or begins[0] != _RLE_HEADER:
        raise ValueError("the segments of an RLE frame are not those of its values")
    values = np.empty((*shape, width), np.uint8)
    for place, (begin, end) in enumerate(pairwise([*begins, len(frame)])):
        plane = imagecodecs.packbits_decode(frame[begin:end], out=shape[0] * shape[1] + _FILLING)
        values[..., width - 1 - place] = np.frombuffer(plane, np.uint8, shape[0] * shape[1]).reshape(shape)
    return values.view(f"<u{width}")[..., 0]
