"""One object ready to be saved: a data set, and for a large one the frames behind it, made only while they are written."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Final

from pydicom.dataset import Dataset

_PIXEL_DATA: Final = b"\xe0\x7f\x10\x00"


@dataclass(frozen=True, slots=True)
class Frames:
    """Pixel Data in native format (PS3.5 section 8.2): ``length`` bytes (even), in the pieces that ``pieces()`` brings anew
    each time it is called. ``vr`` is OW where a pixel has two bytes, else OB (PS3.5 A.2)."""

    length: int
    pieces: Callable[[], Iterator[bytes | memoryview]]
    vr: bytes = b"OB"


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a result. ``role`` is "sr", "seg", "seg-2" ...: what stands before the first hyphen is the output it
    belongs to. Every object stands in a series of its own, because viewers show the newest object of a series only.

    ``dataset`` is the whole object, or all of it but the Pixel Data when there are ``frames``: use ``write``.
    """

    role: str
    dataset: Dataset
    frames: Frames | None = None

    def write(self, stream: IO[bytes]) -> None:
        """The object as a file (PS3.10). ``stream`` can tell and seek; a large object is never in memory as a whole."""
        self.dataset.save_as(stream, enforce_file_format=True)
        if self.frames is not None:
            stream.write(_PIXEL_DATA + self.frames.vr + b"\0\0" + struct.pack("<I", self.frames.length))
            for piece in self.frames.pieces():
                stream.write(piece)
