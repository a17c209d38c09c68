"""A seal tells a data set that lies whole on the disk from one of which a piece is missing, at a tenth of a digest's price.

A record is believed after a power cut only when all of it is there. What a cut leaves are sectors that were never written, not
the work of somebody who wants to be believed (he would not be acknowledged anyway), so a sum finds it. SHA-256, which is what
images are known by, is worked out a moment later from the bytes in the pack (``db.spool``): no sender waits for it.
"""

import zlib
from typing import Final

import numpy as np

PIECE: Final = 1 << 18  # bytes; a sum for each, so that a piece in the place of another is found too
_WORD: Final = 8
_FULL: Final = 1 << 64
_WORDS: Final = np.dtype("<u8")


class Seal:
    """Takes a data set in fragments of any size; ``value`` is the same however it was cut."""

    def __init__(self) -> None:
        self._crc = self._sum = 0
        self._size = 0  # bytes so far
        self._odd = b""  # what does not fill a word yet

    def update(self, fragment: bytes | bytearray | memoryview) -> None:
        """The next bytes."""
        view = memoryview(fragment).cast("B")
        while len(view):
            part = view[: PIECE - self._size % PIECE]
            self._add(part)
            if self._size % PIECE == 0:
                self._end_piece()
            view = view[len(part) :]

    def value(self) -> int:
        """The seal of everything taken: 32 bits."""
        last = (self._sum + int.from_bytes(self._odd, "little")) % _FULL
        return zlib.crc32(last.to_bytes(_WORD, "little") + self._size.to_bytes(_WORD, "little"), self._crc)

    def _add(self, part: memoryview) -> None:
        self._size += len(part)
        if self._odd:
            missing = _WORD - len(self._odd)
            self._odd += bytes(part[:missing])
            part = part[missing:]
            if len(self._odd) < _WORD:
                return
            self._sum += int.from_bytes(self._odd, "little")
            self._odd = b""
        whole = len(part) // _WORD
        if whole:
            self._sum += int(np.add.reduce(np.frombuffer(part, _WORDS, whole)))
        if len(part) > whole * _WORD:
            self._odd = bytes(part[whole * _WORD :])

    def _end_piece(self) -> None:
        self._crc = zlib.crc32((self._sum % _FULL).to_bytes(_WORD, "little"), self._crc)
        self._sum = 0
