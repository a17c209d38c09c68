"""A throw-away PACS for the demonstration: the node's own receiver in front of a folder, one file per object."""

import re
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path

from domain.errors import UnnameableError
from domain.instances import Caller, Header, Receipt
from node.shelf import write

_UID = re.compile(r"[0-9.]{1,64}")


class FolderIntake:
    """Implements ``domain.seams.Intake``: an object appears as "<SOP Instance UID>.dcm", whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        self._refused: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def troubles(self) -> list[str]:
        """What was refused, in words."""
        with self._lock:
            return list(self._refused)

    def opened(self, caller: Caller) -> str:  # noqa: ARG002 - as the seam has it
        """Anybody may."""
        return uuid.uuid4().hex

    def writer(self, association_id: str, caller: Caller, header: Header, meta: bytes) -> "FileWriter":  # noqa: ARG002
        """Begin an object. Raises UnnameableError."""
        if not _UID.fullmatch(header.sop_instance_uid):
            raise UnnameableError("SOP Instance UID is not 1-64 digits and dots")
        return FileWriter(self._folder / f"{header.sop_instance_uid}.dcm", meta)

    def closed(self, association_id: str, how: str) -> None:
        """Nothing to do."""

    def refused(self, caller: Caller, association_id: str, status: int, words: str) -> None:  # noqa: ARG002
        """Kept for the end of the demonstration."""
        self._note(f"{status:#06x} {words}")

    def rejected(self, caller: Caller, words: str, proposed: Sequence[str] = ()) -> None:  # noqa: ARG002
        """Kept for the end of the demonstration."""
        self._note(words)

    def _note(self, words: str) -> None:
        with self._lock:
            self._refused.append(words)


class FileWriter:
    """Implements ``domain.seams.ObjectWriter`` for results, which are small."""

    def __init__(self, file: Path, meta: bytes) -> None:
        self._file, self._data = file, bytearray(meta)

    def write(self, fragment: bytes | memoryview) -> None:
        """Append."""
        self._data += fragment

    def commit(self, last: Sequence[bytes | memoryview] = ()) -> Receipt:
        """Write the file; a PACS that has it already keeps the first."""
        for fragment in last:
            self.write(fragment)
        if self._file.exists():
            return Receipt.DUPLICATE
        write(self._file, bytes(self._data))
        return Receipt.STORED

    def discard(self) -> None:
        """Forget it."""
        self._data.clear()
