"""Who may look at the pages, and who may change something there: decided before anything else is done with a request.

Without logins the pages are for this machine alone: a browser is led here under a name of somebody else's by DNS rebinding, and
a proxy brings callers from elsewhere, so both are turned away. With logins every page wants one (HTTP Basic, RFC 7617).
"""

import base64
import binascii
import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

LOG: Final = logging.getLogger(__name__)
_HERE: Final = re.compile(r"(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_BY_PROXY: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
_CHALLENGE: Final = 'Basic realm="Ancilla", charset="UTF-8"'


@dataclass(frozen=True, slots=True)
class Login:
    """One line of the file of logins. ``digest`` is the SHA-256 (hex) of the password."""

    name: str
    digest: str
    may_act: bool


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks; ``name`` is empty on a node without logins, where nobody may act."""

    name: str = ""
    may_act: bool = False
    address: str = ""  # of the browser, or of the proxy before it

    @property
    def actor(self) -> str:
        """For the audit log."""
        return f"operator:{self.name}@{self.address}"


class RefusedError(Exception):
    """The request is not answered; ``words`` say what to do about it."""

    def __init__(self, status: int, words: str, **headers: str) -> None:
        super().__init__(words)
        self.status, self.words, self.headers = status, words, headers


class Entry:
    """``logins`` gives those that count now; None: there are none, and the server listens on loopback only."""

    def __init__(self, logins: Callable[[], Iterable[Login]] | None) -> None:
        self._logins, self._key = logins, secrets.token_bytes(32)

    def visitor(self, request: Request) -> Visitor:
        """Who this is. May wait for the disk. Raises RefusedError."""
        if self._logins is None:
            _check_here(request)
            return Visitor()
        address = request.client.host if request.client else ""
        name, password = _given(request)
        found = _matching(self._logins(), name, password)
        if found is None:
            if name:
                LOG.warning("console: wrong login from %s", address or "an unknown address")
            raise RefusedError(401, "a login of console.admin_file is needed", **{"WWW-Authenticate": _CHALLENGE})
        return Visitor(found.name, found.may_act, address)

    def token(self, visitor: Visitor) -> str:
        """What a form of this visitor must bring along; it holds until the node stops."""
        return hmac.new(self._key, visitor.name.encode(), hashlib.sha256).hexdigest()

    def check_form(self, request: Request, visitor: Visitor, token: str) -> None:
        """A form counts only when it comes from a page that this node gave to this visitor. Raises RefusedError."""
        elsewhere = request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
        if elsewhere or not hmac.compare_digest(self.token(visitor).encode(), token.encode()):
            raise RefusedError(
                403, "this form is not from a page of this node, or the node was restarted since; load the page again"
            )


def _check_here(request: Request) -> None:
    if not _HERE.fullmatch(request.headers.get("host", "")):
        raise RefusedError(421, "without console.admin_file the pages are at http://127.0.0.1 or http://localhost only")
    if any(name in request.headers for name in _BY_PROXY):
        raise RefusedError(403, "behind a proxy the pages need logins; see console.admin_file")


def _given(request: Request) -> tuple[str, str]:
    """Name and password, empty when there are none that can be read."""
    scheme, _, word = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, password = base64.b64decode(word.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password


def _matching(logins: Iterable[Login], name: str, password: str) -> Login | None:
    given = f"{name}:{hashlib.sha256(password.encode()).hexdigest()}".encode()
    each = [(login, hmac.compare_digest(given, f"{login.name}:{login.digest}".encode())) for login in logins]
    return next((login for login, same in each if same), None)  # all were compared, so that time tells nothing
