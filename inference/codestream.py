"""Reads what a compressed image claims to be before any decoder allocates for it."""

import struct

_JPEG_FRAMES = frozenset((0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7))
_SOF3 = 0xC3
_FILLING = 64  # bytes at the end that may fill a fragment up
_SOC_SIZ = b"\xff\x4f\xff\x51"


def claimed(frame: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, components) of a JPEG, JPEG-LS or JPEG 2000 code stream; None where there is no such claim."""
    try:
        at = frame.find(_SOC_SIZ, 0, 4096)
        if at >= 0:
            return _siz(frame, at + len(_SOC_SIZ))
        return _sof(frame)
    except struct.error:
        return None


def is_lossless_jpeg(frame: bytes) -> bool:
    """Whether a code stream is a whole lossless JPEG: frame header SOF3 (ISO/IEC 10918-1 table B.1), and its end is there."""
    try:
        found = _frame_header(frame)
    except struct.error:
        return False
    return found is not None and found[0] == _SOF3 and frame[-_FILLING:].rstrip(b"\0").endswith(b"\xff\xd9")


def _siz(frame: bytes, at: int) -> tuple[int, int, int]:
    """ISO/IEC 15444-1 A.5.1: Lsiz, Rsiz, Xsiz, Ysiz, XOsiz, YOsiz, four tile fields, Csiz."""
    right, bottom, left, top = struct.unpack_from(">IIII", frame, at + 4)
    (components,) = struct.unpack_from(">H", frame, at + 36)
    return bottom - top, right - left, components


def _sof(frame: bytes) -> tuple[int, int, int] | None:
    header = _frame_header(frame)
    if header is None:
        return None
    rows, columns, components = struct.unpack_from(">HHB", frame, header[1] + 5)
    return rows, columns, components


def _frame_header(frame: bytes) -> tuple[int, int] | None:
    """The marker of the frame header and where it is: ISO/IEC 10918-1 B.2.2; JPEG-LS uses 0xFFF7."""
    if frame[:2] != b"\xff\xd8":
        return None
    at = 2
    while True:
        prefix, marker = struct.unpack_from(">BB", frame, at)
        if prefix != 0xFF:
            return None
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _JPEG_FRAMES:
            return marker, at
        at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
