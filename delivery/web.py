"""One HTTP request to a DICOMweb service (PS3.18 8), with an end that is certain whatever the other side does."""

import base64
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from delivery.tls import context_of
from domain.destinations import Destination
from domain.errors import TransientError

LARGEST_ANSWER: Final = 1 << 24  # bytes, of what is read into memory
PIECE: Final = 1 << 17
SLOWEST: Final = 20_000  # bytes a second; what takes longer than this and the timeout is ended
LONGEST_SECRET: Final = 8192  # characters


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole of a short answer."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Arriving:
    """A long answer: ``pieces`` are read from the network while they are used, and raise TransientError."""

    status: int
    content_type: str
    pieces: Iterator[bytes]


def exchange(
    destination: Destination,
    method: str,
    path: str,
    body: Iterator[bytes] | Sequence[bytes] = (),
    length: int = 0,
    kind: str = "",
) -> Answer:
    """One request and its answer. Raises TransientError for whatever happens on the way."""
    headers = _headers(destination, "application/dicom+json")
    headers |= {"Content-Type": kind, "Content-Length": str(length)} if kind else {}
    with _connected(destination) as connection, _translated(destination):
        assert connection.sock is not None
        with _ending(connection.sock, destination.timeout_seconds + length / SLOWEST):
            _ask(destination, connection, method, path, headers)
            _push(connection, body)
            response = connection.getresponse()
            return Answer(response.status, _read(destination, response))


@contextmanager
def fetched(destination: Destination, path: str, accept: str) -> Iterator[Arriving]:
    """A GET whose answer is taken piece by piece. Raises TransientError for whatever happens on the way."""
    with _connected(destination) as connection:
        with _translated(destination):
            assert connection.sock is not None
            with _ending(connection.sock, destination.timeout_seconds * 10):  # an archive may have to look for a whole study
                _ask(destination, connection, "GET", path, _headers(destination, accept))
                response = connection.getresponse()
        yield Arriving(response.status, response.getheader("Content-Type", ""), _pieces(destination, response))


def status_words(status: int) -> str:
    """A status with its name: 404 Not Found."""
    return f"{status} {http.client.responses.get(status, '')}".strip()


@contextmanager
def _connected(destination: Destination) -> Iterator[http.client.HTTPConnection]:
    url = urlsplit(destination.url)
    with _translated(destination):
        connection = _connection(destination, url.scheme, url.hostname or "", url.port)
    try:
        with _translated(destination):
            connection.connect()
        yield connection
    finally:
        connection.close()


@contextmanager
def _translated(destination: Destination) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        raise TransientError(f"{destination.name} has no certificate we trust: {error.reason or 'TLS failed'}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise TransientError(f"{destination.name} cannot be reached: {_words(error)}") from None


def _connection(destination: Destination, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    timeout = destination.timeout_seconds
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=timeout)
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=context_of(destination))


def _ask(
    destination: Destination, connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str]
) -> None:
    connection.putrequest(method, urlsplit(destination.url).path + path, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()


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


def _headers(destination: Destination, accept: str) -> dict[str, str]:
    headers = {"Accept": accept, "User-Agent": "Ancilla", "Connection": "close"}
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


def _pieces(destination: Destination, response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Whoever sends slower than ``SLOWEST`` for longer than the timeout is given up. The time of who uses the pieces does not
    count."""
    spent, got = 0.0, 0
    while True:
        before = time.monotonic()
        with _translated(destination):
            piece = response.read1(PIECE)
        spent, got = spent + time.monotonic() - before, got + len(piece)
        if not piece:
            return
        if spent > destination.timeout_seconds + got / SLOWEST:
            raise TransientError(f"{destination.name} sends too slowly")
        yield piece


def _words(error: BaseException) -> str:
    """Texts of the other side are not quoted: they may carry anything."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, OSError):
        return (error.strerror or type(error).__name__).lower()
    return type(error).__name__
