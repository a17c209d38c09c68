"""What names an object, read from the first bytes of its data set: no pixels, no text, bounded memory, any hostile input."""

import re
import zlib
from functools import lru_cache
from typing import Final

from domain.errors import UnnameableError
from domain.instances import Header
from scp.elements import MODALITY, SERIES, SOP_CLASS, SOP_INSTANCE, STUDY, Walk

HEAD_LIMIT: Final = 8 << 20  # bytes before the last UID, as sent and inflated; real headers need a few thousand
IMPLICIT: Final = frozenset(("1.2.840.10008.1.2", "1.2.840.10008.1.20"))
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
DEFLATED: Final = frozenset(("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"))

_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*")  # leading zeros are wrong (PS3.5 9.1) and frequent; nothing else is let through
_MODALITY: Final = re.compile(r"[A-Z0-9_ ]{1,16}")  # CS (PS3.5 6.2)
_PIECE: Final = 1 << 16
_NAMES: Final = {
    STUDY: "Study Instance UID",
    SERIES: "Series Instance UID",
    SOP_INSTANCE: "SOP Instance UID",
    SOP_CLASS: "SOP Class UID",
}


@lru_cache(maxsize=1024)  # all but the instance's are the same for many objects
def usable_uid(raw: bytes | str) -> str:
    """The UID without padding, or "" when it is not 1-64 digits and dots."""
    text = raw if isinstance(raw, str) else raw.decode("ascii", "replace")
    uid = text.strip("\0 ")
    return uid if len(uid) <= 64 and _UID.fullmatch(uid) else ""


class HeadReader:
    """Reads the header while the data set arrives. ``held`` are the bytes it had to keep, as received."""

    def __init__(self, transfer_syntax_uid: str) -> None:
        self.held = bytearray()
        self._syntax = transfer_syntax_uid
        deflated = transfer_syntax_uid in DEFLATED
        self._walk = Walk(transfer_syntax_uid not in IMPLICIT, ">" if transfer_syntax_uid == BIG_ENDIAN else "<")
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS) if deflated else None
        self._inflated = bytearray()

    def feed(self, fragment: bytes | memoryview) -> bool:
        """True when the header is known; ``fragment`` is then not in ``held`` if it was the first.

        Raises UnnameableError for data that cannot be read or does not name itself in its first 8 MiB.
        """
        if self._inflate:
            self.held += fragment
            self._inflated += _inflated(self._inflate, fragment, HEAD_LIMIT + 1 - len(self._inflated))
            return self._go_on(self._inflated)
        if not self.held and self._walk.go(fragment):  # nearly always: nothing is copied
            return True
        self.held += fragment
        return self._go_on(self.held)

    def _go_on(self, data: bytearray) -> bool:
        if self._walk.go(data):
            return True
        if len(data) > HEAD_LIMIT or len(self.held) > HEAD_LIMIT:
            raise UnnameableError("no complete set of UIDs in the first 8 MiB of the data set")
        return False

    def header(self) -> Header:
        """What was found, after ``feed`` said so or the data set ended. Raises UnnameableError naming what is missing."""
        uids = {tag: self._uid(tag) for tag in _NAMES}
        modality = self._walk.found.get(MODALITY, b"").decode("ascii", "replace").strip("\0 ")
        return Header(
            sop_class_uid=uids[SOP_CLASS],
            sop_instance_uid=uids[SOP_INSTANCE],
            transfer_syntax_uid=self._syntax,
            study_uid=uids[STUDY],
            series_uid=uids[SERIES],
            modality=modality if _MODALITY.fullmatch(modality) else "",
        )

    def _uid(self, tag: int) -> str:
        raw = self._walk.found.get(tag, b"").strip(b"\0 ")
        if not raw:
            raise UnnameableError(f"no {_NAMES[tag]}; objects are kept by study")
        if not (uid := usable_uid(raw)):
            raise UnnameableError(f"{_NAMES[tag]} is not 1-64 digits and dots")
        return uid


def read_header(data_set: bytes | memoryview, transfer_syntax_uid: str) -> Header:
    """The header of a complete data set (without File Meta Information). Raises UnnameableError."""
    reader, view = HeadReader(transfer_syntax_uid), memoryview(data_set)
    for start in range(0, len(view), _PIECE):
        if reader.feed(view[start : start + _PIECE]):
            break
    return reader.header()


def _inflated(inflate: "zlib._Decompress", fragment: bytes | memoryview, limit: int) -> bytes:
    """At most ``limit`` bytes: a small bomb must not become a big one."""
    try:
        return inflate.decompress(fragment, limit)
    except zlib.error:
        raise UnnameableError("the deflated data set cannot be inflated") from None
