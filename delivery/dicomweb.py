"""DICOM to an archive by STOW-RS (PS3.18 10.5): the bytes of the files as they are, in pieces, and one answer per instance.

The client of the standard library is used: what is needed is one POST whose body never is in memory and whose end is certain,
whatever the other side does.
"""

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydicom.errors import InvalidDicomError
from pydicom.filereader import dcmread
from pydicom.uid import UID

from delivery.web import PIECE, Answer, exchange, status_words
from domain.destinations import Destination, Sent
from domain.errors import PermanentError, TransientError

PROCESSING_FAILURE: Final = 0x0110  # PS3.18 table 10.5.3-1 and PS3.7 C.5.10
LARGEST_BATCH: Final = 1 << 28  # bytes in one request, unless a single file is larger
_LATER: Final = frozenset({401, 403, 404, 408, 425, 429})  # an administrator or time may cure it
_REFERENCED, _FAILED = "00081199", "00081198"  # Referenced SOP Sequence, Failed SOP Sequence
_INSTANCE, _FAILURE, _WARNING = "00081155", "00081197", "00081196"


@dataclass(frozen=True, slots=True)
class _Part:
    path: Path
    sop_instance_uid: str
    size: int


def send(destination: Destination, files: Sequence[Path]) -> list[Sent]:
    """Send PS3.10 files; returns one answer per file, in their order. The status is that of a C-STORE (PS3.18 annex I.2).

    Raises TransientError when the service cannot be reached, does not let us in, is out of order or answers nonsense: nobody
    knows then what it kept, send all again under the same UIDs. PermanentError when a file is no DICOM file or the service
    refuses the request as such.
    """
    parts = [_part(path, number) for number, path in enumerate(files, 1)]
    answers: dict[Path, Sent] = {}
    for batch in _batches(parts):
        answer = _post(destination, batch)
        answers.update(zip((part.path for part in batch), _sent(destination, answer, batch), strict=True))
    return [answers[path] for path in files]


def reach(destination: Destination) -> None:
    """Ask the service whether it is there and lets us in (QIDO-RS, PS3.18 10.6). Raises TransientError when not."""
    answer = exchange(destination, "GET", "/studies?limit=1")
    if answer.status not in (200, 204):
        raise TransientError(f"{destination.name} answered {status_words(answer.status)}")


def _part(path: Path, number: int) -> _Part:
    """``number`` names the file in errors: a file name may hold a patient's."""
    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=["SOPInstanceUID"])
        uid, size = str(header.SOPInstanceUID), path.stat().st_size
    except OSError as error:
        raise PermanentError(f"file {number} cannot be read: {error.strerror}") from None
    except (InvalidDicomError, AttributeError, ValueError, TypeError, KeyError, NotImplementedError, EOFError):
        raise PermanentError(f"file {number} is not a DICOM file with file meta information (PS3.10)") from None
    if not UID(uid).is_valid:
        raise PermanentError(f"file {number} names its instance by an unusable UID")
    return _Part(path, uid, size)


def _batches(parts: Sequence[_Part]) -> Iterator[list[_Part]]:
    batch: list[_Part] = []
    for part in parts:
        if batch and sum(each.size for each in batch) + part.size > LARGEST_BATCH:
            yield batch
            batch = []
        batch.append(part)
    if batch:
        yield batch


def _post(destination: Destination, batch: Sequence[_Part]) -> Answer:
    """One multipart/related request (PS3.18 8.6.1.2): its length is known beforehand, its content is read while it is sent."""
    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    tail = f"--{boundary}--\r\n".encode()
    length = sum(len(head) + part.size + 2 for part in batch) + len(tail)

    def body() -> Iterator[bytes]:
        for part in batch:
            yield head
            yield from _pieces(destination, part)
            yield b"\r\n"
        yield tail

    kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
    return exchange(destination, "POST", "/studies", body(), length, kind)


def _pieces(destination: Destination, part: _Part) -> Iterator[bytes]:
    left = part.size
    with part.path.open("rb") as stream:
        while left:
            piece = stream.read(min(PIECE, left))
            if not piece:
                raise TransientError(f"a file for {destination.name} became shorter while it was sent")
            left -= len(piece)
            yield piece


def _sent(destination: Destination, answer: Answer, batch: Sequence[_Part]) -> list[Sent]:
    """What became of each instance (PS3.18 10.5.3)."""
    if answer.status in (200, 202, 409):
        said = _said(destination, answer)
        rest = 0 if answer.status == 200 and not said else PROCESSING_FAILURE
        return [Sent(part.sop_instance_uid, said.get(part.sop_instance_uid, rest)) for part in batch]
    words = f"{destination.name} answered {status_words(answer.status)}"
    if answer.status in _LATER or answer.status >= 500 or 300 <= answer.status < 400:
        raise TransientError(words)
    raise PermanentError(words)


def _said(destination: Destination, answer: Answer) -> dict[str, int]:
    """Status by SOP Instance UID; empty where nothing was said about single instances, which 200 allows."""
    if not answer.body.strip() and answer.status == 200:
        return {}
    try:
        document = json.loads(answer.body)
        document = document[0] if isinstance(document, list) else document
        stored = {_uid(item): _number(item, _WARNING) for item in _items(document, _REFERENCED)}
        failed = {_uid(item): _number(item, _FAILURE) or PROCESSING_FAILURE for item in _items(document, _FAILED)}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        if answer.status == 200:
            return {}
        raise TransientError(f"{destination.name} sent an answer that cannot be read") from None
    return stored | failed


def _items(document: Any, tag: str) -> list[Any]:
    items = document.get(tag, {}).get("Value", [])
    return items if isinstance(items, list) else []


def _uid(item: Any) -> str:
    return str(item[_INSTANCE]["Value"][0])


def _number(item: Any, tag: str) -> int:
    values = item.get(tag, {}).get("Value") or [0]
    number = int(values[0])
    return number if 0 <= number <= 0xFFFF else PROCESSING_FAILURE
