"""Studies of a PACS for a batch: listed by C-FIND, taken by C-GET."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from delivery import getting
from domain.destinations import Destination


class PacsArchive:
    """Implements ``node.batch.Archive``. ``query``: keywords and values that studies must match."""

    def __init__(self, destination: Destination, query: Sequence[tuple[str, str]] = ()) -> None:
        self._destination, self._query = destination, query
        self._studies: list[str] = []
        self._listed: tuple[str, dict[str, str]] = ("", {})  # of the study that is asked for first by ``mark``
        self.place: Path | None = None
        self.other = self.damaged = 0
        self.named: list[str] = []

    def look(self) -> Iterator[int]:
        """Ask for the studies. Raises TransientError."""
        self._studies = sorted(set(getting.studies(self._destination, self._query)))
        yield len(self._studies)

    def studies(self) -> list[str]:
        """Study Instance UIDs, sorted."""
        return self._studies

    def mark(self, study_uid: str) -> str:
        """SHA-256 (hex) over the SOP Instance UIDs: an instance never changes under its UID (PS3.5 9)."""
        found = sorted(self._instances(study_uid))
        return hashlib.sha256("\n".join(found).encode()).hexdigest() if found else ""

    def fetch(self, study_uid: str, folder: Path) -> list[Path]:
        """One file for each instance. Raises TransientError, PermanentError."""
        return getting.get(self._destination, study_uid, self._instances(study_uid), folder)

    def close(self) -> None:
        """Nothing stays open."""

    def _instances(self, study_uid: str) -> dict[str, str]:
        if self._listed[0] != study_uid:
            self._listed = (study_uid, getting.instances(self._destination, study_uid))
        return self._listed[1]
