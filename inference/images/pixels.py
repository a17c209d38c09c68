"""Decodes one frame of any image into RGB as a person would see it, whatever its transfer syntax; believes no size it claims."""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from domain.errors import Reason, UnsuitableError
from inference.codestream import claimed
from inference.images.frames import FrameIndex
from inference.source import Source, first, integer, numbers, text

RGB = npt.NDArray[np.uint8]
GRAY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True, slots=True)
class Layout:
    """How pixels are stored; read once for all frames of an object."""

    rows: int
    columns: int
    samples: int
    photometric: str
    allocated: int
    stored: int
    signed: bool
    planar: int
    frames: int

    @property
    def frame_bytes(self) -> int:
        """Of one frame that is not compressed."""
        subsampled = self.photometric == "YBR_FULL_422"
        return self.rows * self.columns * (2 if subsampled else self.samples) * self.allocated // 8


def layout(source: Source, max_pixels: int) -> Layout:
    """Raises UnsuitableError for pixels that contradict themselves, are of a kind nobody shows, or are too many."""
    header = source.header
    rows, columns = integer(header, "Rows") or 0, integer(header, "Columns") or 0
    frames = integer(header, "NumberOfFrames")
    found = Layout(
        rows=rows,
        columns=columns,
        samples=integer(header, "SamplesPerPixel") or 1,
        photometric=text(header, "PhotometricInterpretation").strip(),
        allocated=integer(header, "BitsAllocated") or 0,
        stored=integer(header, "BitsStored") or 0,
        signed=integer(header, "PixelRepresentation") == 1,
        planar=integer(header, "PlanarConfiguration") or 0,
        frames=1 if frames is None else frames,
    )
    if rows < 1 or columns < 1 or found.frames < 1:
        raise UnsuitableError(Reason.DECODE, "An image does not say how large it is.")
    if rows * columns > max_pixels:
        raise UnsuitableError(Reason.TOO_LARGE, f"An image of {columns} x {rows} pixels is larger than this model takes.")
    _check(found)
    return found


def _check(found: Layout) -> None:
    known = found.photometric in (*GRAY, "PALETTE COLOR") if found.samples == 1 else found.photometric in COLOUR
    if not known or found.samples not in (1, 3) or found.allocated not in (8, 16) or found.planar not in (0, 1):
        raise UnsuitableError(Reason.DECODE, "The pixels of an image are neither gray nor colour of 8 or 16 bits.")
    if not 1 <= found.stored <= found.allocated:
        raise UnsuitableError(Reason.DECODE, "The pixels of an image are described in a way that contradicts itself.")


def read_rgb(source: Source, found: Layout, index: FrameIndex, frame: int) -> RGB:
    """One frame (from 0) as uint8 (rows, columns, 3); gray is three equal channels; raises UnsuitableError."""
    data = index.data(frame)
    if index.encapsulated:
        _believe(source, found, data)
        fast = _fast(source, found, data)
        if fast is not None:
            return fast
    try:
        array, photometric = _decoded(source, found, data, index.encapsulated)
        shown = _shown(source.header, array, photometric, found)
    except UnsuitableError:
        raise
    except Exception as error:
        raise UnsuitableError(Reason.DECODE, "The pixels of an image cannot be decoded.") from error
    if shown.shape != (found.rows, found.columns, 3):
        raise UnsuitableError(Reason.DECODE, "The pixels of an image are of another size than its header says.")
    return shown


def _believe(source: Source, found: Layout, data: bytes) -> None:
    """Before any decoder allocates for what the code stream claims."""
    claim = claimed(data)
    if claim != (found.rows, found.columns, found.samples) and not (claim is None and source.transfer_syntax == RLELossless):
        raise UnsuitableError(Reason.DECODE, "The compressed pixels of an image are of another size than its header says.")


def _fast(source: Source, found: Layout, data: bytes) -> RGB | None:
    """Colour JPEG by libjpeg-turbo, three times as fast; None where it may be wrong or says no."""
    if source.transfer_syntax != JPEGBaseline8Bit or not found.photometric.startswith("YBR_FULL"):
        return None
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, "RGB"))
    except ValueError:
        return None


def _decoded(source: Source, found: Layout, data: bytes, encapsulated: bool) -> tuple[npt.NDArray[Any], str]:
    syntax = source.transfer_syntax
    if not encapsulated and syntax != ExplicitVRBigEndian:
        syntax = ExplicitVRLittleEndian
    options: dict[str, Any] = {
        "rows": found.rows,
        "columns": found.columns,
        "samples_per_pixel": found.samples,
        "number_of_frames": 1,
        "bits_allocated": found.allocated,
        "bits_stored": found.stored,
        "pixel_representation": int(found.signed),
        "photometric_interpretation": found.photometric,
        "pixel_keyword": "PixelData",
        "pixel_vr": _vr(source, found, encapsulated),
        "planar_configuration": found.planar,
    }
    buffer = _wrapped(data) if encapsulated else data + b"\0" * (len(data) % 2)
    array, about = get_decoder(UID(syntax)).as_array(buffer, raw=False, **options)
    return np.asarray(array), str(about["photometric_interpretation"])


def _vr(source: Source, found: Layout, encapsulated: bool) -> str:
    """In big endian, bytes written as words (OW) lie swapped."""
    if not encapsulated and source.transfer_syntax == ExplicitVRBigEndian:
        return "OB" if bytes(source.data[4:6]) == b"OB" else "OW"
    return "OW" if found.allocated > 8 else "OB"


def _wrapped(data: bytes) -> bytes:
    """One frame as encapsulated pixel data: an empty offset table, one fragment, the end."""
    padded = data + b"\0" * (len(data) % 2)
    head = struct.pack("<HHIHHI", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, len(padded))
    return head + padded + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def _shown(header: Dataset, array: npt.NDArray[Any], photometric: str, found: Layout) -> RGB:
    if found.samples == 3:
        return _eight_bits(array, found.stored)
    if photometric == "PALETTE COLOR":
        coloured = apply_color_lut(array, header)
        return np.ascontiguousarray(_eight_bits(coloured[..., :3], 8 * coloured.dtype.itemsize))
    gray = _gray(header, array)
    return np.repeat((255 - gray if photometric == "MONOCHROME1" else gray)[:, :, np.newaxis], 3, axis=2)


def _eight_bits(array: npt.NDArray[Any], bits: int) -> RGB:
    return np.asarray(array if bits <= 8 and array.dtype == np.uint8 else array >> max(bits - 8, 0), np.uint8)


def _gray(header: Dataset, array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Modality LUT, then the first VOI LUT or window (PS3.3 C.11.1, C.11.2); without one, the values the image has."""
    values = apply_modality_lut(array, header)
    if "VOILUTSequence" in header:
        looked_up = apply_voi_lut(values, header, 0, prefer_lut=True)
        if looked_up.dtype.kind == "u":
            bits = int(header.VOILUTSequence[0].LUTDescriptor[2])
            return _stretched(looked_up, 0, 2 ** min(max(bits, 1), 16) - 1)
    centre, width = (first(header, keyword) for keyword in ("WindowCenter", "WindowWidth"))
    if centre is not None and width is not None and width >= 1:
        return windowed(values, centre, width, text(header, "VOILUTFunction"))
    if array.dtype == np.uint8 and values.dtype == np.uint8 and (integer(header, "BitsStored") or 8) == 8:
        return np.asarray(array)
    return _stretched(values, float(values.min()), float(values.max()))


def windowed(values: npt.NDArray[Any], centre: float, width: float, function: str = "") -> npt.NDArray[np.uint8]:
    """0 to 255 by a window: LINEAR, LINEAR_EXACT or SIGMOID (PS3.3 C.11.2.1.2, C.11.2.1.3)."""
    x = values.astype(np.float32)
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            shown = 255 / (1 + np.exp(-4 * (x - centre) / width))
    elif function == "LINEAR_EXACT":
        shown = ((x - centre) / width + 0.5) * 255
    else:
        shown = ((x - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5) * 255
    return np.asarray(np.rint(np.clip(shown, 0, 255)), np.uint8)


def _stretched(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint8]:
    scale = 255 / (high - low) if high > low else 0.0
    return np.asarray(np.rint(np.clip((values.astype(np.float32) - low) * scale, 0, 255)), np.uint8)


def spacing(header: Dataset, keyword: str) -> tuple[float, float] | None:
    """Two positive distances (between rows, between columns) in mm, or None."""
    found = numbers(header, keyword, 2)
    return (found[0], found[1]) if found is not None and min(found) > 0 and max(found) < 100 else None
