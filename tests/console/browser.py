"""What a browser makes of a page: every element closed, the text without markup, links and forms; and a console to look at."""

import base64
import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

from console.entry import Entry
from console.pages import Pages
from console.server import WebServer, WebSettings
from domain.acceptance import Trial
from domain.errors import PackageError
from node.board import Board
from node.logins import read_logins
from node.operating import Operating
from tests.node.configuration import TEXT
from tests.node.stage import Stage

_VOID = frozenset({"meta", "link", "input", "br"})


class Page(HTMLParser):
    """Raises AssertionError for elements that are not closed, and for anything that could run or load something."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.words, self.links, self.title = "", list[str](), ""
        self.hidden: dict[str, str] = {}
        self.rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        assert tag not in ("script", "img", "iframe", "object", "style", "base"), tag
        assert not any(name.startswith("on") or name == "style" for name in given), given
        self.words += " "
        if tag not in _VOID:
            self._open.append(tag)
        if tag in ("a", "link"):
            assert given["href"].startswith("/"), given["href"]
            self.links += [given["href"]] if tag == "a" else []
        if tag == "input" and given.get("type") == "hidden":
            self.hidden[given["name"]] = given["value"]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self.words += " "
        assert self._open and self._open.pop() == tag, f"</{tag}> does not close what is open"

    def handle_data(self, data: str) -> None:
        self.words += data
        if "title" in self._open:
            self.title += data
        if self._open and ("td" in self._open or "th" in self._open):
            self.rows[-1][-1] += data


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def words(self) -> str:
        """The text of the page, words with one space between them."""
        return " ".join(self.page.words.split())

    @property
    def page(self) -> Page:
        assert self.headers["content-type"].startswith("text/html")
        return Page(self.text)


@dataclass
class Accepted:
    """Every package runs, unless a test says why not."""

    why: str = ""

    def chosen(self, digest: str) -> Trial:
        if self.why:
            raise PackageError(self.why)
        return Trial("int8", True, "", 1.0)

    def refusal(self, digest: str) -> str:
        return self.why


@dataclass
class Console:
    """A started web server over a stage."""

    stage: Stage
    server: WebServer
    board: Board
    port: int
    login: tuple[str, str] = ("", "")
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, b"", headers)

    def post(self, path: str, **fields: str) -> Answer:
        return self.ask("POST", path, urlencode(fields).encode(), {"Content-Type": "application/x-www-form-urlencoded"})

    def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        told = {name.replace("_", "-"): value for name, value in {**self.headers, **headers}.items()}
        if self.login[0]:
            told["Authorization"] = "Basic " + base64.b64encode(":".join(self.login).encode()).decode()
        try:
            client.request(method, path, body, told)
            answer = client.getresponse()
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, found, answer.read().decode())
        finally:
            client.close()

    def stop(self) -> None:
        self.server.stop()
        self.board.close()
        self.stage.store.close()


def console(folder: Path, logins: Path | None = None, text: str = TEXT) -> Console:
    """The pages of a stage in ``folder``, on a free port."""
    stage = Stage(folder, text)
    (folder / "data").mkdir(exist_ok=True)
    board = Board(
        stage.store,
        lambda: stage.settings,
        lambda: stage.models,
        lambda: stage.settings.peers,
        Accepted(),
        stage.clock,
    )
    moves = Operating(stage.store, lambda: stage.settings, lambda: stage.models, stage.clock)
    entry = Entry((lambda: read_logins(logins)) if logins else None)
    server = WebServer(WebSettings(), None, Pages(board, moves, entry))
    return Console(stage, server, board, server.start())
