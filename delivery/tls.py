"""TLS towards a destination or an audit repository: its certificate is signed by whom we trust and names the host (PS3.15 B)."""

import ssl
from typing import Protocol

from domain.destinations import Destination
from domain.errors import TransientError


class Trusting(Protocol):
    """Whoever is spoken to by TLS; see ``Destination``."""

    @property
    def name(self) -> str:
        """For errors."""

    @property
    def ca_file(self) -> str:
        """Whose certificates are good."""

    @property
    def cert_file(self) -> str:
        """Our own."""

    @property
    def key_file(self) -> str:
        """Its key."""


def context_of(destination: Trusting) -> ssl.SSLContext:
    """TLS 1.2 or newer; with our own certificate where one is configured. The files are read anew each time.

    Raises TransientError when one cannot be read: an administrator is about to replace it, or will.
    """
    try:
        context = ssl.create_default_context(cafile=destination.ca_file or None)
    except (OSError, ssl.SSLError):
        raise TransientError(f"{destination.name}: {destination.ca_file} cannot be read or holds no certificate") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if destination.cert_file:
        try:
            context.load_cert_chain(destination.cert_file, destination.key_file or None)
        except (OSError, ssl.SSLError):
            words = f"{destination.cert_file} and its key cannot be read or do not fit"
            raise TransientError(f"{destination.name}: {words}") from None
    return context


def tls_args(destination: Destination) -> tuple[ssl.SSLContext, str] | None:
    """What pynetdicom's ``associate`` wants to be told; None: no TLS. Raises TransientError."""
    return (context_of(destination), destination.host) if destination.tls else None
