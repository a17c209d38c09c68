"""One connection to a Dask scheduler; what goes wrong with it is an OSError, what is configured wrongly says which key."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from domain.errors import ConfigurationError
from node.config_compute import ComputeSettings
from node.lane import LANE

if TYPE_CHECKING:
    from distributed import Security

Remote = Any  # a distributed.Future, of a package that may not be there
CONNECT_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 2.0
_ANSWER_SECONDS: Final = 30.0  # for an answer that is ready to come over


def security_of(compute: ComputeSettings) -> "Security | None":
    """Certificates of this machine for either side. Raises ConfigurationError for files that cannot be used, and without Dask."""
    try:
        from distributed import Security
    except ImportError:
        words = 'compute.executor = "dask" needs more packages: pip install "ancilla[dask]"'
        raise ConfigurationError(words) from None
    for name in ("distributed", "distributed.client"):  # they write pages for what we say in a line
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if compute.tls is None:
        return None
    tls, context = compute.tls, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _try("ca", lambda: context.load_verify_locations(tls.ca))
    _try("cert", lambda: tls.cert.read_bytes())
    _try("key", lambda: context.load_cert_chain(tls.cert, tls.key))
    ours = {f"tls_{role}_{what}": str(getattr(tls, what)) for role in ("client", "worker") for what in ("cert", "key")}
    return Security(tls_ca_file=str(tls.ca), require_encryption=True, **ours)


def _try(name: str, read: Callable[[], object]) -> None:
    try:
        read()
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror if not isinstance(error, ssl.SSLError) else error.reason or "no PEM file of that kind"
        raise ConfigurationError(f"compute.tls.{name} cannot be used: {reason}") from None


def own_address(scheduler: str) -> str:
    """The address of this machine on the way to the scheduler. Raises OSError."""
    where = urlsplit(scheduler)
    [family, *_], *_ = socket.getaddrinfo(where.hostname, where.port, type=socket.SOCK_DGRAM)
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((where.hostname, where.port))  # sends nothing
        return str(probe.getsockname()[0])


class Link:
    """Connects at once. Raises OSError when the scheduler is not there: PermissionError when certificates are not taken."""

    def __init__(self, compute: ComputeSettings, security: "Security | None", topic: str, heard: Callable[[str], None]) -> None:
        """``heard`` gets what workers say about ``topic``; it is called in a thread that must not wait."""
        from distributed import Client

        self._client = Client(compute.address, security=security, timeout=CONNECT_SECONDS, set_as_default=False, name="ancilla")
        self._client.subscribe_topic(topic, lambda said: heard(str(said[1])))

    def workers(self) -> dict[str, str]:
        """Names of the workers that are connected, by address. Raises OSError when the scheduler is lost."""
        if self._client.status != "running":
            raise OSError("the scheduler was lost")
        with _losses():
            told: dict[str, Any] = dict(self._client.scheduler_info())["workers"]
        return {address: str(about["name"]) for address, about in told.items()}

    def send(self, fn: Callable[..., Any], task: object, key: str, address: str, lane: bool = False) -> Remote:
        """Run there and nowhere else; with ``lane`` one at a time. Raises OSError."""
        needs = {LANE: 1} if lane else None
        with _losses():
            return self._client.submit(
                fn, task, key=key, workers=[address], allow_other_workers=False, resources=needs, pure=False
            )

    def close(self) -> None:
        """Tasks that nobody has waited for are taken back."""
        with suppress(OSError), _losses():
            self._client.close(timeout=_CLOSE_SECONDS)


def result_of(remote: Remote) -> object:
    """What a task has given; None for one that was given up, failed or cannot be fetched any more."""
    try:
        with _losses():
            return remote.result(timeout=_ANSWER_SECONDS) if remote.status == "finished" else None
    except OSError:
        return None


@contextmanager
def _losses() -> Iterator[None]:
    """A connection that ends in the middle of a call shows itself in many ways."""
    from distributed.client import ClosedClientError

    try:
        yield
    except (ClosedClientError, RuntimeError, AttributeError, CancelledError, asyncio.CancelledError) as error:
        raise OSError(f"the scheduler was lost ({type(error).__name__})") from None
