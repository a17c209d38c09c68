"""A multipart body (RFC 2046 section 5.1) taken apart while it arrives: however it is cut into chunks, the parts are the same.

Memory is bounded by one chunk and the limits below, whatever the sender does.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

_PREAMBLE_LIMIT: Final = 64 * 1024  # bytes before the first delimiter
_HEADER_LIMIT: Final = 16 * 1024  # bytes of one part's header
# RFC 2046 allows 70 characters; Orthanc makes 73.
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,199}[0-9A-Za-z'()+_,\-./:=?]")
_LINE_END: Final = re.compile(rb"[ \t]{0,128}\r\n")
_UNFINISHED: Final = re.compile(rb"[ \t]{0,128}\r?")
_FOLD: Final = re.compile(r"\r\n[ \t]+")  # a field may go on in the next line (RFC 5322 section 2.2.3)
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class MultipartError(Exception):
    """The body breaks the rules; the text is one sentence for whoever wrote the sender."""


class TooManyPartsError(MultipartError):
    """More parts than this node takes in one request."""


@dataclass(frozen=True, slots=True)
class Began:
    """A part begins; the names of its header fields are in lower case."""

    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Data:
    """The next bytes of the part."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The part is complete."""


Event = Began | Data | Ended


class _State(Enum):
    PREAMBLE = 1
    HEADER = 2
    BODY = 3
    EPILOGUE = 4


class Splitter:
    """Give it chunks, it gives events. Call ``close`` when the body has ended."""

    def __init__(self, boundary: str, max_parts: int) -> None:
        """Raises MultipartError for a boundary that is none."""
        if not _BOUNDARY.fullmatch(boundary):
            raise MultipartError("the boundary is missing or not one that RFC 2046 allows")
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._held = bytearray(b"\r\n")  # the first delimiter needs no line before it
        self._state, self._parts, self._max_parts, self._preamble = _State.PREAMBLE, 0, max_parts, 0

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Take the next chunk. The iterator must be used up before the next call. Raises MultipartError."""
        self._held += chunk
        going = True
        while going:
            if self._state is _State.HEADER:
                event = self._header()
                going = event is not None
                yield from (event,) if event else ()
            elif self._state is _State.EPILOGUE:
                self._held.clear()
                going = False
            else:
                inside = self._state is _State.BODY
                content, going = self._content()
                if not inside:
                    self._count_preamble(len(content))
                else:
                    yield from (Data(content),) if content else ()
                    yield from (Ended(),) if going else ()

    def close(self) -> None:
        """The body has ended. Raises MultipartError when its closing delimiter has not come."""
        if self._state is not _State.EPILOGUE:
            raise MultipartError("the body ends before its closing delimiter")

    def _content(self) -> tuple[bytes, bool]:
        """What is certainly before the next delimiter, and whether that delimiter was found (and taken off)."""
        at, after, closing = self._find()
        content = bytes(memoryview(self._held)[:at])
        del self._held[: after or at]
        if after:
            self._state = _State.EPILOGUE if closing else _State.HEADER
        return content, after > 0

    def _find(self) -> tuple[int, int, bool]:
        """Where content ends; where the delimiter ends (0: not here yet); whether it is the closing one.

        What only begins like a delimiter and goes on otherwise is content: pixels may hold anything.
        """
        at = self._held.find(self._delimiter)
        while at >= 0:
            end = at + len(self._delimiter)
            if self._held.startswith(b"--", end):
                return at, end + 2, True
            if found := _LINE_END.match(self._held, end):
                return at, found.end(), False
            if (len(self._held) == end + 1 and self._held.endswith(b"-")) or _UNFINISHED.fullmatch(self._held, end):
                return at, 0, False
            at = self._held.find(self._delimiter, at + 1)
        return self._uncertain(), 0, False

    def _uncertain(self) -> int:
        """Where a delimiter may begin whose rest has not come; it holds no CR but its first byte."""
        at = self._held.rfind(b"\r", max(0, len(self._held) - len(self._delimiter) + 1))
        return at if at >= 0 and self._delimiter.startswith(bytes(self._held[at:])) else len(self._held)

    def _count_preamble(self, length: int) -> None:
        self._preamble += length
        if self._preamble > _PREAMBLE_LIMIT:
            raise MultipartError("the first delimiter has not come after 64 KiB")

    def _header(self) -> Began | None:
        """The header of a part when all of it is here."""
        if self._held.startswith(b"\r\n"):
            end, after = 0, 2
        else:
            end = self._held.find(b"\r\n\r\n", 0, _HEADER_LIMIT)
            after = end + 4
        if end < 0:
            if len(self._held) >= _HEADER_LIMIT:
                raise MultipartError("the header of a part is longer than 16 KiB")
            return None
        fields = _fields(bytes(self._held[:end]))
        del self._held[:after]
        self._parts += 1
        if self._parts > self._max_parts:
            raise TooManyPartsError(f"more than {self._max_parts} parts in one request")
        self._state = _State.BODY
        return Began(fields)


def _fields(header: bytes) -> dict[str, str]:
    """Names and values. Raises MultipartError."""
    fields: dict[str, str] = {}
    text = _FOLD.sub(" ", header.decode("latin-1"))
    for line in text.split("\r\n") if text else ():
        name, colon, value = line.partition(":")
        if not (colon and _NAME.fullmatch(name)):
            raise MultipartError("the header of a part has a line that is no field")
        fields[name.lower()] = value.strip()
    return fields
