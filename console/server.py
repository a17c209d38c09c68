"""The web server of the node: one thread, one port; what it may do is given to it as a ``Desk`` and as ``Pages``."""

import logging
import socket
import threading
import traceback
from dataclasses import dataclass, field
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from console.desk import Desk
from console.guard import GuardedProtocol
from console.pages import Pages
from console.stow import Limits, Stow
from domain.errors import ConfigurationError

LOG: Final = logging.getLogger(__name__)
PREFIX: Final = "/dicom-web"
_HEADER_BYTES: Final = 16 * 1024
_STOP_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where to listen; port 0: any free one."""

    bind: str = "127.0.0.1"
    port: int = 0
    limits: Limits = field(default_factory=Limits)


class WebServer:
    """``start`` and ``stop`` are called once each."""

    def __init__(self, settings: WebSettings, desk: Desk | None, pages: Pages | None = None) -> None:
        """``desk`` None: no STOW-RS; ``pages`` None: no pages."""
        self._settings = settings
        self._stow = Stow(desk, settings.limits) if desk else None
        self._pages = pages
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app(),
                http=GuardedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level=logging.CRITICAL,  # its messages quote requests; what matters is logged by ``_fault``
                access_log=False,
                proxy_headers=False,  # anybody could write there whatever address is admitted
                server_header=False,
                h11_max_incomplete_event_size=_HEADER_BYTES,
                timeout_graceful_shutdown=_STOP_SECONDS,
            )
        )
        self._thread: threading.Thread | None = None

    def start(self) -> int:
        """Listen; returns the port. Raises ConfigurationError when the port cannot be had."""
        bind, port = self._settings.bind, self._settings.port
        family = socket.AF_INET6 if ":" in bind else socket.AF_INET
        try:
            listener = socket.create_server((bind, port), family=family, backlog=128)
        except OSError as error:
            raise ConfigurationError(f"console.port: cannot listen on {bind} port {port} ({error.strerror})") from None
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="console", daemon=True)
        self._thread.start()
        return int(listener.getsockname()[1])

    def stop(self) -> None:
        """No new requests; running ones have 10 seconds."""
        self._server.should_exit = True
        if self._thread:
            self._thread.join(_STOP_SECONDS + 5)
        if self._stow:
            self._stow.close()
        if self._pages:
            self._pages.close()

    def _app(self) -> Starlette:
        routes = [Route("/health", _health, methods=["GET"])]
        if self._stow:
            for path in ("/studies", "/studies/{study}"):
                routes.append(Route(PREFIX + path, self._stow.post, methods=["POST"]))
        routes += self._pages.routes() if self._pages else []
        return Starlette(routes=routes, exception_handlers={Exception: _fault})


async def _health(_: Request) -> Response:
    return PlainTextResponse("ok")


async def _fault(_: Request, error: Exception) -> Response:
    """Type and place of an error, without its text: that may quote what a patient is called."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    LOG.error("unexpected %s at %s:%s", type(error).__name__, frame.filename, frame.lineno)
    return PlainTextResponse("fault in this node, see its log\n", 500, {"Connection": "close"})
