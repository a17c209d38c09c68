"""Studies of a DICOMweb archive for a batch: listed, and written to disk part by part while they arrive."""

import hashlib
from collections.abc import Iterator, Sequence
from email.message import Message
from pathlib import Path
from typing import IO, Final

from console.multipart import Began, Data, MultipartError, Splitter
from delivery import retrieving
from domain.destinations import Destination
from domain.errors import TransientError

_PARTIAL: Final = 206  # some of what was asked for (PS3.18 8.5)
_MOST_PARTS: Final = 1_000_000
_MOST_BYTES: Final = 200_000_000_000  # of one study


class WebArchive:
    """Implements ``node.batch.Archive``. ``query``: keywords and values that studies must match."""

    def __init__(self, destination: Destination, query: Sequence[tuple[str, str]] = ()) -> None:
        self._destination, self._query = destination, query
        self._studies: dict[str, None] = {}
        self._listed = ("", 0)  # the study ``mark`` was asked for last, and how many instances the archive lists of it
        self.place: Path | None = None
        self.other = self.damaged = 0
        self.named: list[str] = []

    def look(self) -> Iterator[int]:
        """Ask for the studies; yields how many there are so far. Raises TransientError, PermanentError."""
        for uid in retrieving.studies(self._destination, self._query):
            self._studies[uid] = None
            yield len(self._studies)

    def studies(self) -> list[str]:
        """Study Instance UIDs, sorted."""
        return sorted(self._studies)

    def mark(self, study_uid: str) -> str:
        """SHA-256 (hex) over the SOP Instance UIDs: an instance never changes under its UID (PS3.5 9)."""
        found = sorted(set(retrieving.instances(self._destination, study_uid)))
        self._listed = (study_uid, len(found))
        return hashlib.sha256("\n".join(found).encode()).hexdigest() if found else ""

    def fetch(self, study_uid: str, folder: Path) -> list[Path]:
        """One file for each part. Raises TransientError when the archive breaks off or gives back less than it lists (a part of
        a study would be answered like the whole), PermanentError when it refuses."""
        with retrieving.study(self._destination, study_uid) as arriving:
            try:
                found = _unpacked(Splitter(_boundary(arriving.content_type), _MOST_PARTS), arriving.pieces, folder)
            except MultipartError as error:
                raise TransientError(f"{self._destination.name} sent a study that cannot be read: {error}") from None
            status = arriving.status
        listed = self._listed[1] if self._listed[0] == study_uid else 0
        if len(found) < listed or (status == _PARTIAL and not listed):
            raise TransientError(f"{self._destination.name} gave back {len(found)} of {listed or 'more'} instances")
        return found

    def close(self) -> None:
        """Nothing stays open."""


def _boundary(content_type: str) -> str:
    message = Message()
    message["Content-Type"] = content_type
    return str(message.get_param("boundary", ""))


def _unpacked(splitter: Splitter, pieces: Iterator[bytes], folder: Path) -> list[Path]:
    files: list[Path] = []
    out: IO[bytes] | None = None
    total = 0
    try:
        for piece in pieces:
            for event in splitter.feed(piece):
                if isinstance(event, Began):
                    files.append(folder / f"{len(files):06d}.dcm")
                    out = files[-1].open("wb")
                elif isinstance(event, Data) and out is not None:
                    total += len(event.content)
                    if total > _MOST_BYTES:
                        raise MultipartError("it has no end")
                    out.write(event.content)
                elif out is not None:
                    out.close()
        splitter.close()
    finally:
        if out is not None:
            out.close()
    return files
