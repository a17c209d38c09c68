"""Audit messages to a repository by syslog: RFC 5424 messages over TLS (RFC 5425) or in datagrams (RFC 5426); PS3.15 A.6 and A.7.

Syslog has no answers. ``send`` returns when the other side's operating system has everything; that its repository has read it is
known only when it closes after ``close``. Whoever must lose nothing sends again what a broken connection may have swallowed.
"""

import fcntl
import re
import socket
import ssl
import struct
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Final

from delivery.tls import context_of
from domain.errors import TransientError
from domain.repositories import Repository

FACILITY: Final = 10  # security and authorization messages (IHE ITI TF-2 3.20.4.1.2)
SEVERITIES: Final = {0: 5, 4: 4, 8: 3, 12: 2}  # EventOutcomeIndicator: notice, warning, error, critical
MSGID: Final = "DICOM+RFC3881"
BOM: Final = b"\xef\xbb\xbf"
LARGEST_DATAGRAM: Final = 65_507  # octets, of IPv4
BURST: Final = 32_768  # octets of datagrams at once, and then ...
PAUSE: Final = 0.05  # ... so many seconds, so that no buffer on the way runs over
LOOK: Final = 0.002  # seconds between two looks at what is still on its way
GRACE: Final = 0.5  # seconds: whom our certificate does not please says so after the handshake (TLS 1.3)
FAREWELL: Final = 3.0  # seconds for the other side to close


def packet(at: datetime, outcome: int, host: str, process: int, text: str) -> bytes:
    """One message after RFC 5424. ``at`` is in UTC, ``outcome`` an EventOutcomeIndicator, ``text`` XML."""
    priority = FACILITY * 8 + SEVERITIES[outcome]
    time_stamp = at.isoformat(timespec="microseconds").replace("+00:00", "Z")
    name = "".join(mark for mark in host if "!" <= mark <= "~")[:255] or "-"
    return f"<{priority}>1 {time_stamp} {name} ancilla {process} {MSGID} - ".encode("ascii") + BOM + text.encode()


def reach(repository: Repository) -> str:
    """How a repository can be spoken to, in words. Raises TransientError when it cannot."""
    line = Line(repository)
    try:
        line.check(GRACE)
    finally:
        line.close()
    return line.protocol


class Line:
    """A connection to a repository, for one thread; ``cut`` may be called by any."""

    def __init__(self, repository: Repository) -> None:
        """Connect. Raises TransientError."""
        self.repository = repository
        with _translated(repository):
            self._socket, self.protocol = _datagrams(repository) if repository.transport == "udp" else _stream(repository)

    def send(self, packets: Sequence[bytes]) -> None:
        """Send messages in their order. Raises TransientError; nobody knows then which of them arrived."""
        with _translated(self.repository):
            if self.repository.transport == "udp":
                self._scatter(packets)
                return
            self._socket.settimeout(self.repository.timeout_seconds)
            self._socket.sendall(b"".join(b"%d %s" % (len(each), each) for each in packets))  # octet counting, RFC 5425 4.3
            self._wait_until_taken()

    def check(self, seconds: float = 0.0) -> None:
        """Raises TransientError when the other side has closed or broken the connection, or does so within these ``seconds``."""
        if self.repository.transport == "udp":
            return
        with _translated(self.repository):
            self._listen(seconds)

    def close(self) -> bool:
        """Say good-bye. True: the other side has read everything that was sent."""
        try:
            self._socket.settimeout(FAREWELL)
            if isinstance(self._socket, ssl.SSLSocket):  # of datagrams nothing more will ever be known
                with suppress(ssl.SSLEOFError):  # an end without a good-bye of TLS; with unread octets it would be a reset
                    self._socket.unwrap()
        except (OSError, ValueError):
            return False
        finally:
            self._socket.close()
        return True

    def cut(self) -> None:
        """End it now, also under a thread that sends."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _listen(self, seconds: float = 0.0) -> None:
        """A repository has nothing to say; whatever it says is dropped."""
        self._socket.settimeout(seconds)
        with suppress(BlockingIOError, ssl.SSLWantReadError, TimeoutError):
            while self._socket.recv(4096):
                pass
            raise ConnectionAbortedError("it closed the connection")

    def _scatter(self, packets: Sequence[bytes]) -> None:
        burst = 0
        for each in packets:
            if burst + len(each) > BURST:
                time.sleep(PAUSE)
                burst = 0
            self._socket.send(each[:LARGEST_DATAGRAM])
            burst += len(each)

    def _wait_until_taken(self) -> None:
        """Until the other side's system has confirmed every octet (SIOCOUTQ of Linux)."""
        ends = time.monotonic() + self.repository.timeout_seconds
        while _waiting(self._socket):
            self._listen()
            if time.monotonic() > ends:
                raise TimeoutError
            time.sleep(LOOK)


def _waiting(connection: socket.socket) -> int:
    (octets,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0)))
    return int(octets)


def _stream(repository: Repository) -> tuple[socket.socket, str]:
    context = context_of(repository)
    plain = socket.create_connection((repository.host, repository.port), repository.timeout_seconds)
    try:
        made = context.wrap_socket(plain, server_hostname=repository.host)
    except BaseException:
        plain.close()
        raise
    return made, made.version() or "TLS"


def _datagrams(repository: Repository) -> tuple[socket.socket, str]:
    family, kind, _, _, address = socket.getaddrinfo(repository.host, repository.port, type=socket.SOCK_DGRAM)[0]
    made = socket.socket(family, kind)
    made.connect(address)
    return made, "UDP"


@contextmanager
def _translated(repository: Repository) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        raise TransientError(f"{repository.name} and this node do not agree on TLS: {_reason(error)}") from None
    except TimeoutError:
        raise TransientError(f"{repository.name} does not take anything in time") from None
    except socket.gaierror:
        raise TransientError(f"{repository.name}: its name is not known") from None
    except OSError as error:
        raise TransientError(f"{repository.name} cannot be reached: {(error.strerror or str(error)).lower()}") from None


def _reason(error: ssl.SSLError) -> str:
    """The words of our own library without its brackets; those of a certificate's check say more."""
    return str(getattr(error, "verify_message", "") or re.sub(r"\[.*?\] |\(_ssl.*", "", str(error))).strip().lower()
