"""Decodes one image or frame into the values it stands for, whatever its transfer syntax, and believes no size it claims."""

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from domain.errors import Reason, UnsuitableError
from inference.codestream import claimed
from inference.decoders import PLUGIN, decoded
from inference.source import Source, integer, numbers, text
from inference.units import scale

AIR, _MOST = -1024, 32767
_PIXEL_DATA = (0x7FE0, 0x0010)
_UNDEFINED = 0xFFFFFFFF

Stored = npt.NDArray[np.integer]


def read_hu(source: Source, out: npt.NDArray[np.int16]) -> None:
    """Writes Hounsfield units, rounded and at least -1024, into ``out`` (rows, columns); raises UnsuitableError."""
    slope, intercept = _rescale(source)
    stored = _stored(source, out.shape[0], out.shape[1])
    padding = _padding(source, stored)
    if slope != 1 or intercept != round(intercept) or not _shifted(stored, int(intercept), out):
        np.clip(np.rint(stored * np.float64(slope) + intercept), AIR, _MOST, out=out, casting="unsafe")
    if padding is not None:
        out[padding] = AIR


def _shifted(stored: Stored, intercept: int, out: npt.NDArray[np.int16]) -> bool:
    """Writes ``stored + intercept``, clipped, without leaving 16 bits; whether that was possible.

    What is clipped before the sum cannot overflow by it: modulo 2^16 it is the right number.
    """
    kind = stored.dtype
    low, high = max(AIR - intercept, np.iinfo(kind).min), min(_MOST - intercept, np.iinfo(kind).max)
    if kind.itemsize != out.itemsize or low > high:
        return False
    same = out.view(kind)
    np.clip(stored, kind.type(low), kind.type(high), out=same)
    out_bits = out.view(np.uint16)
    out_bits += np.uint16(intercept & 0xFFFF)
    return True


def read_values(source: Source, units: str, out: npt.NDArray[np.float32]) -> None:
    """Writes values in ``units`` (see inference.units) into ``out`` (rows, columns), padding as 0; raises UnsuitableError."""
    slope, intercept = scale(source.header, units)
    stored = _stored(source, out.shape[0], out.shape[1])
    np.multiply(stored, np.float64(slope), out=out, casting="unsafe")
    out += np.float32(intercept)
    padding = _padding(source, stored)
    if padding is not None:
        out[padding] = 0


def _rescale(source: Source) -> tuple[float, float]:
    slope, intercept = numbers(source.header, "RescaleSlope", 1), numbers(source.header, "RescaleIntercept", 1)
    if slope is None or intercept is None or slope[0] == 0:
        raise UnsuitableError(Reason.RESCALE, "An image does not say how its values become Hounsfield units.")
    if text(source.header, "RescaleType") not in ("", "HU", "US"):
        raise UnsuitableError(Reason.RESCALE, "The values of the images are not Hounsfield units.")
    return slope[0], intercept[0]


def _padding(source: Source, stored: Stored) -> npt.NDArray[np.bool_] | None:
    """Pixels that are padding (PS3.3 C.7.5.1.1.2): one value, or all values between it and the range limit."""
    value = integer(source.header, "PixelPaddingValue")
    if value is None:
        return None
    limit = integer(source.header, "PixelPaddingRangeLimit")
    bounds = sorted(_as_stored(v, stored.dtype) for v in (value, value if limit is None else limit))
    mask: npt.NDArray[np.bool_] = (stored >= bounds[0]) & (stored <= bounds[1])
    return mask


def _as_stored(value: int, kind: np.dtype[np.integer]) -> int:
    """Writers disagree on the sign of the padding value; its bits are what counts."""
    bits = value & ((1 << (8 * kind.itemsize)) - 1)
    return int(np.array(bits, f"u{kind.itemsize}").astype(kind))


def _stored(source: Source, rows: int, columns: int) -> Stored:
    layout = {key: integer(source.header, key) for key in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")}
    allocated, bits, high = layout["BitsAllocated"], layout["BitsStored"], layout["HighBit"]
    if integer(source.header, "SamplesPerPixel") != 1 or allocated not in (8, 16) or layout["PixelRepresentation"] not in (0, 1):
        raise UnsuitableError(Reason.DECODE, "The pixels of an image are not single values of 8 or 16 bits.")
    if bits is None or high is None or not 1 <= bits <= allocated or not bits - 1 <= high < allocated:
        raise UnsuitableError(Reason.DECODE, "The pixels of an image are described in a way that contradicts itself.")
    value, undefined = (source.data, is_compressed(source)) if source.frame else pixel_data(source)
    if not undefined:
        plain = _native(value, rows, columns, allocated, source.transfer_syntax == ExplicitVRBigEndian)
        return _sign(plain, bits, high, layout["PixelRepresentation"] == 1)
    return _decompressed(source, value, rows, columns)


def is_compressed(source: Source) -> bool:
    """Whether the transfer syntax encapsulates the pixels (PS3.5 A.4)."""
    syntax = UID(source.transfer_syntax)
    return bool(syntax.is_transfer_syntax and syntax.is_encapsulated)


def pixel_data(source: Source) -> tuple[memoryview, bool]:
    """The value of the Pixel Data element and whether its length is undefined (encapsulated, PS3.5 A.4)."""
    order = ">" if source.transfer_syntax == ExplicitVRBigEndian else "<"
    try:
        tag = struct.unpack_from(order + "HH", source.data)
        if source.transfer_syntax == ImplicitVRLittleEndian:
            start, (length,) = 8, struct.unpack_from(order + "I", source.data, 4)
        else:
            start, (length,) = 12, struct.unpack_from(order + "I", source.data, 8)
    except struct.error:
        tag = (0, 0)
    if tag != _PIXEL_DATA:
        raise UnsuitableError(Reason.DECODE, "An image has no pixels.")
    if length == _UNDEFINED:
        return source.data[start:], True
    return source.data[start : start + length], False


def _native(value: memoryview, rows: int, columns: int, allocated: int, big: bool) -> Stored:
    size = rows * columns * allocated // 8
    if len(value) < size:
        raise UnsuitableError(Reason.DECODE, "An image has fewer pixels than it says: it is cut off.")
    kind = np.dtype(f"{'>' if big else '<'}u{allocated // 8}")
    return np.frombuffer(value[:size], kind).reshape(rows, columns)


def _sign(plain: Stored, bits: int, high: int, signed: bool) -> Stored:
    """Drops bits that are no part of the value (old overlays live there) and extends the sign."""
    width = 8 * plain.dtype.itemsize
    native: Stored = plain.astype(plain.dtype.newbyteorder("="), copy=False)
    if bits == width:
        return native.view(f"i{plain.dtype.itemsize}") if signed else native
    up, down = width - 1 - high, width - bits
    shifted = native << up
    return (shifted.view(f"i{plain.dtype.itemsize}") if signed else shifted) >> down


def _decompressed(source: Source, value: memoryview, rows: int, columns: int) -> Stored:
    syntax = source.transfer_syntax
    try:
        decoder = get_decoder(UID(syntax))
        if source.frame:
            value = memoryview(encapsulate([bytes(value)], has_bot=False))
        frame = next(generate_frames(bytes(value), number_of_frames=1))
    except Exception as error:
        raise UnsuitableError(Reason.DECODE, "The compressed pixels of an image cannot be read.") from error
    claim = claimed(frame)
    if claim != (rows, columns, 1) and not (claim is None and syntax == RLELossless):
        raise UnsuitableError(Reason.DECODE, "The compressed pixels of an image are of another size than its header says.")
    options = _options(source, rows, columns)
    if claim is not None or syntax == RLELossless:  # its size was compared, or does not say more than the header
        bits, signed = options["bits_stored"], options["pixel_representation"] == 1
        free = decoded(frame, syntax, (rows, columns), options["bits_allocated"], bits, signed)
        if free is not None:
            return free
    try:
        array, _ = decoder.as_array(bytes(value), raw=True, decoding_plugin=PLUGIN.get(syntax, ""), **options)
    except Exception as error:
        raise UnsuitableError(Reason.DECODE, "The compressed pixels of an image cannot be decoded.") from error
    if array.shape != (rows, columns):
        raise UnsuitableError(Reason.DECODE, "The compressed pixels of an image are of another size than its header says.")
    return np.asarray(array)


def _options(source: Source, rows: int, columns: int) -> dict[str, Any]:
    header = source.header
    return {
        "rows": rows,
        "columns": columns,
        "samples_per_pixel": 1,
        "number_of_frames": 1,
        "bits_allocated": integer(header, "BitsAllocated"),
        "bits_stored": integer(header, "BitsStored"),
        "pixel_representation": integer(header, "PixelRepresentation"),
        "photometric_interpretation": text(header, "PhotometricInterpretation"),
        "pixel_keyword": "PixelData",
    }
