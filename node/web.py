"""The web server as the configuration wants it: who may send by STOW-RS into the same intake as everybody else, who may look."""

import hmac
import ipaddress
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from console.board import Board
from console.desk import Outcome
from console.entry import Entry, Login
from console.operating import Moves
from console.pages import Pages
from console.server import WebServer, WebSettings
from domain.errors import ConfigurationError
from domain.instances import Caller, Receipt
from domain.seams import Intake
from node.config import PeerSettings, Settings
from node.logins import read_logins
from scp.boundary import attempt
from scp.file_deposit import FileDeposit

WHO: Final = "STOW-RS"  # stands for the AE title of a caller that has none
_SHORTEST: Final = 16  # characters of a token


def web_for(
    settings: Settings,
    intake: Intake,
    peers: Callable[[], Sequence[PeerSettings]] | None = None,
    board: Board | None = None,
    moves: Moves | None = None,
) -> WebServer | None:
    """A web server that is not started yet; None without [console]. ``peers``: those that count now, default: of the file.
    ``board`` is what the pages show, ``moves`` what may be done there; None: there are no pages.

    Raises ConfigurationError for an unusable file of tokens or logins.
    """
    console = settings.console
    if console is None:
        return None
    check_files(settings)
    desk = (
        Desk(peers or (lambda: settings.peers), settings.scp.ae_title.strip(), console.token_file, intake)
        if console.stow
        else None
    )
    pages = Pages(board, moves, Entry(_logins(console.admin_file))) if board and moves and console.pages else None
    return WebServer(WebSettings(console.bind, console.port), desk, pages)


def check_files(settings: Settings) -> None:
    """Raises ConfigurationError for an unusable file of tokens or logins."""
    console = settings.console
    if console and console.token_file:
        read_tokens(console.token_file)
    if console and console.admin_file:
        read_logins(console.admin_file)


def _logins(file: Path | None) -> Callable[[], list[Login]] | None:
    """The file is read each time, so that a login can be taken away while the node runs; one that cannot be read has none."""

    def now() -> list[Login]:
        try:
            return read_logins(file) if file else []
        except ConfigurationError:
            return []

    return now if file else None


def read_tokens(file: Path) -> list[bytes]:
    """One token per line; empty lines and lines that begin with # do not count. Raises ConfigurationError."""
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise ConfigurationError(f"console.token_file: {file} can be read by others; run: chmod 600 {file}")
        lines = [line.strip() for line in file.read_bytes().splitlines()]
    except OSError as error:
        raise ConfigurationError(f"console.token_file: {file} cannot be read: {error.strerror}") from None
    tokens = [line for line in lines if line and not line.startswith(b"#")]
    if not tokens or min(map(len, tokens)) < _SHORTEST:
        raise ConfigurationError(f"console.token_file: {file} needs at least one token, each of {_SHORTEST} or more characters")
    return tokens


class Desk:
    """Implements ``console.desk.Desk``. Closed by default: there is no AE title here, so only peers with an address count."""

    def __init__(self, peers: Callable[[], Sequence[PeerSettings]], our_ae: str, token_file: Path | None, intake: Intake) -> None:
        self._peers = peers
        self._our_ae, self._token_file, self._intake = our_ae, token_file, intake

    def admit(self, address: str, token: str) -> Caller | None:
        """See ``console.desk.Desk``. The first [[peer]] of the address gives the caller its AE title."""
        found = ipaddress.ip_address(address.partition("%")[0] or "::")
        plain = getattr(found, "ipv4_mapped", None) or found  # how a dual-stack socket shows IPv4 callers
        for peer in self._peers():
            if peer.address and plain in ipaddress.ip_network(peer.address, strict=False):
                return Caller(peer.ae_title.strip(), self._our_ae, str(plain))
        caller = Caller(WHO, self._our_ae, str(plain))
        if token and self._is_known(token):
            return caller
        words = "the token is unknown" if token else "no peer has this address, and no token was given"
        attempt(lambda: self._intake.rejected(caller, words))
        return None

    def open(self, caller: Caller, study_uid: str) -> "Transfer":
        """See ``console.desk.Desk``. Raises TransientError."""
        return Transfer(self._intake, caller, self._intake.opened(caller), study_uid)

    def _is_known(self, token: str) -> bool:
        """The file is read each time, so that a token can be taken away while the node runs."""
        if self._token_file is None:
            return False
        try:
            tokens = read_tokens(self._token_file)
        except ConfigurationError:
            return False
        given = token.encode("utf-8", "surrogateescape")
        return any([hmac.compare_digest(given, one) for one in tokens])  # noqa: C419 - all of them, so that time tells nothing


class Transfer:
    """Implements ``console.desk.Transfer``."""

    def __init__(self, intake: Intake, caller: Caller, association_id: str, study_uid: str) -> None:
        self._intake, self._caller, self._association_id, self._study_uid = intake, caller, association_id, study_uid

    def begin(self) -> "Part":
        """See ``console.desk.Transfer``."""
        return Part(FileDeposit(self._intake, self._caller, self._association_id, study_uid=self._study_uid))

    def refuse(self, status: int, words: str) -> Outcome:
        """See ``console.desk.Transfer``."""
        attempt(lambda: self._intake.refused(self._caller, self._association_id, status, words))
        return Outcome(status, words)

    def close(self, how: str) -> None:
        """See ``console.desk.Transfer``."""
        attempt(lambda: self._intake.closed(self._association_id, how))


class Part:
    """Implements ``console.desk.Part``."""

    def __init__(self, deposit: FileDeposit) -> None:
        self._deposit = deposit
        self.write, self.discard = deposit.write, deposit.discard

    def finish(self) -> Outcome:
        """See ``console.desk.Part``."""
        reply, header = self._deposit.finish(), self._deposit.header
        return Outcome(
            reply.status,
            reply.words,
            header.sop_class_uid if header else "",
            header.sop_instance_uid if header else "",
            self._deposit.receipt is Receipt.CONFLICT,
            self._deposit.too_large,
        )
