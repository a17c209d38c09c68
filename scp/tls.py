"""DICOM over TLS: the BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile (PS3.15 Annex B.12), with reload.

TLS 1.3 is preferred and 1.2 allowed with forward secrecy and AEAD ciphers only; nothing older, no renegotiation, no compression.
"""

import select
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from domain.errors import ConfigurationError

# RFC 9325 section 4.2; TLS 1.3 suites are always on in OpenSSL and all acceptable.
_CIPHERS: Final = ":".join(
    f"ECDHE-{key}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for key in ("ECDSA", "RSA")
)
LOST: Final = "connection lost"  # no fault of TLS: a probe that only connects looks like this
LATE: Final = "no handshake in time"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """PEM files. ``ca`` verifies clients, with the revocation lists (CRL) it contains; with ``require_client_cert`` a client
    without a good certificate is refused. ``only``: nothing listens without TLS."""

    port: int
    cert: Path
    key: Path
    ca: Path | None = None
    require_client_cert: bool = False
    only: bool = False


class TlsListener:
    """Certificates that can be read again while they are in use: new connections see the new ones, running ones go on."""

    def __init__(self, settings: TlsSettings) -> None:
        """Raises ConfigurationError naming the key whose file is missing or unusable."""
        self._context = _context(settings)

    def reload(self, settings: TlsSettings) -> None:
        """Read the files again; on an error the old certificates stay. Raises ConfigurationError.

        A new context, because nothing can be taken out of one: a CA that was removed must not be trusted any more.
        """
        self._context = _context(settings)

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        """The server's end of a connection, before the handshake. Raises OSError when it is gone."""
        try:
            return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        except BaseException:
            connection.close()
            raise


def shake_hands(connection: ssl.SSLSocket, seconds: float) -> str:
    """The handshake, within ``seconds`` altogether however slowly the peer's bytes come; returns why it failed, or nothing."""
    before = connection.gettimeout()
    try:
        connection.setblocking(False)
        done = _handshake(connection, time.monotonic() + seconds)
        connection.settimeout(before)
    except ssl.SSLError as error:
        return _reason(error)
    except (OSError, ValueError):  # ValueError: closed by another thread
        return LOST
    return "" if done else LATE


def _handshake(connection: ssl.SSLSocket, deadline: float) -> bool:
    """Whether it came to its end in time. Raises OSError, ValueError."""
    while (left := deadline - time.monotonic()) > 0:
        try:
            connection.do_handshake()
        except ssl.SSLWantReadError:
            _wait(connection, select.POLLIN, left)
        except ssl.SSLWantWriteError:
            _wait(connection, select.POLLOUT, left)
        else:
            return True
    return False


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return LOST
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"client certificate: {error.verify_message}"
    return (error.reason or "protocol error").lower().replace("_", " ")


def say_goodbye(connection: socket.socket) -> None:
    """Announce that nothing more comes (RFC 8446 6.1: else the peer takes it for a truncation); the peer need not answer.

    The socket must not block. Plain sockets are left as they are.
    """
    if isinstance(connection, ssl.SSLSocket):
        try:
            connection.unwrap()
        except (OSError, ValueError):
            return


def _wait(connection: ssl.SSLSocket, event: int, seconds: float) -> None:
    poll = select.poll()
    poll.register(connection, event)
    poll.poll(max(1.0, seconds * 1000))


def _context(settings: TlsSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    if settings.require_client_cert and settings.ca is None:
        raise ConfigurationError("scp.tls.ca is needed when scp.tls.require_client_cert is true")
    context.verify_mode = _verify_mode(settings)
    _load(context, settings)
    return context


def _verify_mode(settings: TlsSettings) -> ssl.VerifyMode:
    if settings.ca is None:
        return ssl.CERT_NONE
    return ssl.CERT_REQUIRED if settings.require_client_cert else ssl.CERT_OPTIONAL


def _load(context: ssl.SSLContext, settings: TlsSettings) -> None:
    for key, path in (("cert", settings.cert), ("key", settings.key), ("ca", settings.ca)):
        if path is not None and not path.is_file():
            raise ConfigurationError(f"scp.tls.{key}: there is no file {path}")
    try:
        # An encrypted key would make OpenSSL ask on the terminal; a node has none.
        context.load_cert_chain(settings.cert, settings.key, password="")
    except (ssl.SSLError, OSError) as error:
        words = error.strerror if not isinstance(error, ssl.SSLError) else "they do not belong together or are not plain PEM"
        raise ConfigurationError(f"scp.tls.cert and scp.tls.key cannot be used: {words}") from error
    if settings.ca is not None:
        _trust(context, settings.ca)


def _trust(context: ssl.SSLContext, ca: Path) -> None:
    try:
        context.load_verify_locations(ca)
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError("scp.tls.ca is not a PEM file of certificates that can be read") from error
    if context.cert_store_stats()["crl"]:
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
