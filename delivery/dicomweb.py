"""DICOM to an archive by STOW-RS (PS3.18 10.5): the bytes of the files as they are, in pieces, and one answer per instance.

The client of the standard library is used: what is needed is one POST whose body never is in memory and whose end is certain,
whatever the other side does.
"""

import base64
import http.client
import json
import os
import socket
import ssl
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydicom.errors import InvalidDicomError
from pydicom.filereader import dcmread
from pydicom.uid import UID

from delivery.tls import context_of
from domain.destinations import Destination, Sent
from domain.errors import PermanentError, TransientError

PROCESSING_FAILURE: Final = 0x0110  # PS3.18 table 10.5.3-1 and PS3.7 C.5.10
LARGEST_ANSWER: Final = 1 << 24  # bytes
LARGEST_BATCH: Final = 1 << 28  # bytes in one request, unless a single file is larger
PIECE: Final = 1 << 17
SLOWEST: Final = 20_000  # bytes a second; a request that takes longer than this and the timeout is ended
LONGEST_SECRET: Final = 8192  # characters
_LATER: Final = frozenset({401, 403, 404, 408, 425, 429})  # an administrator or time may cure it
_REFERENCED, _FAILED = "00081199", "00081198"  # Referenced SOP Sequence, Failed SOP Sequence
_INSTANCE, _FAILURE, _WARNING = "00081155", "00081197", "00081196"


@dataclass(frozen=True, slots=True)
class _Part:
    path: Path
    sop_instance_uid: str
    size: int


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes


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
    answer = _exchange(destination, "GET", "/studies?limit=1", (), 0)
    if answer.status not in (200, 204):
        raise TransientError(f"{destination.name} answered {_status(answer.status)}")


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


def _post(destination: Destination, batch: Sequence[_Part]) -> _Answer:
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
    return _exchange(destination, "POST", "/studies", body(), length, kind)


def _pieces(destination: Destination, part: _Part) -> Iterator[bytes]:
    left = part.size
    with part.path.open("rb") as stream:
        while left:
            piece = stream.read(min(PIECE, left))
            if not piece:
                raise TransientError(f"a file for {destination.name} became shorter while it was sent")
            left -= len(piece)
            yield piece


def _exchange(
    destination: Destination, method: str, path: str, body: Iterator[bytes] | Sequence[bytes], length: int, kind: str = ""
) -> _Answer:
    """One request and its answer. Raises TransientError for whatever happens on the way."""
    url = urlsplit(destination.url)
    connection = _connection(destination, url.scheme, url.hostname or "", url.port)
    try:
        connection.connect()
        assert connection.sock is not None
        with _ending(connection.sock, destination.timeout_seconds + length / SLOWEST):
            connection.putrequest(method, url.path + path, skip_accept_encoding=True)
            for name, value in _headers(destination, length, kind).items():
                connection.putheader(name, value)
            connection.endheaders()
            _push(connection, body)
            response = connection.getresponse()
            return _Answer(response.status, _read(destination, response))
    except ssl.SSLError as error:
        raise TransientError(f"{destination.name} has no certificate we trust: {error.reason or 'TLS failed'}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise TransientError(f"{destination.name} cannot be reached: {_words(error)}") from None
    finally:
        connection.close()


def _connection(destination: Destination, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    timeout = destination.timeout_seconds
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=timeout)
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=context_of(destination))


def _push(connection: http.client.HTTPConnection, body: Iterator[bytes] | Sequence[bytes]) -> None:
    """A service that refuses early answers and closes while we still send: its answer is worth more than our broken pipe."""
    try:
        for piece in body:
            connection.send(piece)
    except (BrokenPipeError, ConnectionResetError):
        return


@contextmanager
def _ending(connection: socket.socket, seconds: float) -> Iterator[None]:
    """Time limits of sockets are for each byte; this one is for all of it, so that an answer in drops has an end too."""
    timer = threading.Timer(seconds, _cut, (connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _headers(destination: Destination, length: int, kind: str) -> dict[str, str]:
    headers = {"Accept": "application/dicom+json", "User-Agent": "Ancilla", "Connection": "close"}
    if kind:
        headers |= {"Content-Type": kind, "Content-Length": str(length)}
    if destination.token_file:
        headers["Authorization"] = f"Bearer {_secret(destination, destination.token_file)}"
    if destination.password_file:
        secret = _secret(destination, destination.password_file).encode()
        headers["Authorization"] = f"Basic {base64.b64encode(secret).decode()}"
    return headers


def _secret(destination: Destination, file: str) -> str:
    """The first line of a file; read anew each time, so that a renewed token needs no restart. It never stands in an error."""
    try:
        with Path(file).open(encoding="utf-8") as stream:
            secret = stream.readline(LONGEST_SECRET + 1).strip()
    except (OSError, UnicodeDecodeError):
        raise TransientError(f"{destination.name}: {os.path.basename(file)} cannot be read") from None  # noqa: PTH119
    if not secret or len(secret) > LONGEST_SECRET or not secret.isprintable():
        raise TransientError(f"{destination.name}: {os.path.basename(file)} holds no usable line")  # noqa: PTH119
    return secret


def _read(destination: Destination, response: http.client.HTTPResponse) -> bytes:
    data = response.read(LARGEST_ANSWER + 1)
    if len(data) > LARGEST_ANSWER:
        raise TransientError(f"{destination.name} sent an answer without end")
    return data


def _sent(destination: Destination, answer: _Answer, batch: Sequence[_Part]) -> list[Sent]:
    """What became of each instance (PS3.18 10.5.3)."""
    if answer.status in (200, 202, 409):
        said = _said(destination, answer)
        rest = 0 if answer.status == 200 and not said else PROCESSING_FAILURE
        return [Sent(part.sop_instance_uid, said.get(part.sop_instance_uid, rest)) for part in batch]
    words = f"{destination.name} answered {_status(answer.status)}"
    if answer.status in _LATER or answer.status >= 500 or 300 <= answer.status < 400:
        raise TransientError(words)
    raise PermanentError(words)


def _said(destination: Destination, answer: _Answer) -> dict[str, int]:
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


def _status(status: int) -> str:
    return f"{status} {http.client.responses.get(status, '')}".strip()


def _words(error: BaseException) -> str:
    """Texts of the other side are not quoted: they may carry anything."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    return type(error).__name__
