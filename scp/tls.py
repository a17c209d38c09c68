"""DICOM over TLS: the BCP 195 RFC 9325 TLS Secure Transport Connection Profile (PS3.15 Annex B.12), with reload.

TLS 1.3 is preferred and 1.2 allowed with forward secrecy and AEAD ciphers only; nothing older, no renegotiation, no compression.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path

from domain.errors import ConfigurationError

# RFC 9325 section 4.2; TLS 1.3 suites are always on in OpenSSL and all acceptable.
_CIPHERS = ":".join(
    f"ECDHE-{key}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for key in ("ECDSA", "RSA")
)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """PEM files. ``ca`` verifies clients; with ``require_client_cert`` a client without a good certificate is refused."""

    port: int
    cert: Path
    key: Path
    ca: Path | None = None
    require_client_cert: bool = False


class TlsListener:
    """A server context whose certificates can be read again while it is in use: new associations see the new ones."""

    def __init__(self, settings: TlsSettings) -> None:
        """Raises ConfigurationError naming the key whose file is missing or unusable."""
        self._settings = settings
        self.context = _context(settings)
        self.reload(settings)

    def reload(self, settings: TlsSettings) -> None:
        """Read the files again; on an error the old certificates stay. Raises ConfigurationError."""
        _context(settings)  # a trial on a fresh context first: load_cert_chain leaves no way back
        _load(self.context, settings)
        self._settings = settings


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
        context.load_cert_chain(settings.cert, settings.key)
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(
            f"scp.tls.cert and scp.tls.key do not belong together or are not PEM ({error.strerror})"
        ) from error
    if settings.ca is not None:
        try:
            context.load_verify_locations(settings.ca)
        except (ssl.SSLError, OSError) as error:
            raise ConfigurationError(f"scp.tls.ca is not a PEM file of certificates ({error.strerror})") from error
