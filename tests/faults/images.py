"""Any number of different small CT images at next to no cost: one encoded header whose UIDs are replaced in place."""

import hashlib
import struct
from dataclasses import dataclass
from functools import lru_cache

from tests.scp.objects import dataset, encoded

_UIDS = {"SOPInstanceUID": 1, "StudyInstanceUID": 2, "SeriesInstanceUID": 3}


@dataclass(frozen=True)
class Image:
    """One object as a sender keeps it. ``data`` is the data set, Explicit VR Little Endian."""

    uid: str
    study_uid: str
    data: bytes

    @property
    def digest(self) -> str:
        """What the store must say about it."""
        return hashlib.sha256(self.data).hexdigest()


def uid(kind: int, sender: int, number: int) -> str:
    """40 characters, so that one fits where another was."""
    return f"2.25.1{kind:02d}{sender:08d}{number:024d}"


@lru_cache(1)
def _head() -> bytes:
    names = {keyword: uid(kind, 0, 0) for keyword, kind in _UIDS.items()}
    return encoded(dataset(PixelData=None, **names))


def image(sender: int, number: int, study: int, size: int = 20_000) -> Image:
    """Image ``number`` of ``sender``, in its study ``study``, with ``size`` (even) bytes of pixels nobody else has."""
    head, names = _head(), (uid(1, sender, number), uid(2, sender, study), uid(3, sender, study))
    for kind, name in enumerate(names, 1):
        head = head.replace(uid(kind, 0, 0).encode(), name.encode())
    block = hashlib.sha512(names[0].encode()).digest()
    pixels = (block * (size // len(block) + 1))[:size]
    data = head + struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, size) + pixels
    return Image(names[0], names[1], data)
