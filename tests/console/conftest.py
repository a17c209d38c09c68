"""The web server on a free port, with the node's desk, a real spool and a real store behind it."""

import http.client
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from console.server import WebServer, WebSettings
from console.stow import Limits
from node.config import PeerSettings
from node.web import Desk
from tests.node.test_intake import Setup
from tests.peers import wait_for

DICOM = 'multipart/related; type="application/dicom"; boundary='


@dataclass
class Answer:
    """What an HTTP client got."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class Web(Setup):
    """A started server with its store and spool."""

    port: int
    server: WebServer

    def __init__(
        self, folder: Path, limits: Limits, reserve: int, peers: Sequence[PeerSettings], token_file: Path | None
    ) -> None:
        super().__init__(folder, reserve)
        desk = Desk(lambda: tuple(peers), "ANCILLA", token_file, self.intake)
        self.server = WebServer(WebSettings(limits=limits), desk)
        self.port = self.server.start()

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            client.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = client.getresponse()
            return Answer(answer.status, dict(answer.headers), answer.read())
        finally:
            client.close()

    def post(self, files: Sequence[bytes], path: str = "/dicom-web/studies", **headers: str) -> Answer:
        boundary = uuid.uuid4().hex
        return self.ask("POST", path, multipart(files, boundary), **({"Content_Type": DICOM + boundary} | headers))

    def events(self) -> list[str]:
        return [row.event for row in self.store.audit()]

    def ended(self) -> str:
        """How the only association ended, once it has."""
        row = wait_for(lambda: [one for one in self.store.audit() if one.event == "association-closed"], "the end")[0]
        return str(json.loads(row.details)["how"])

    def kept(self) -> dict[str, bytes]:
        """PS3.10 bytes of what is in the store, by SOP Instance UID."""
        instances = [one for study in self.store.studies() for one in self.store.instances(study.study_uid)]
        return {one.header.sop_instance_uid: bytes(self.spool.view(one.place)) for one in instances}


Start = Callable[..., Web]


def multipart(files: Sequence[bytes], boundary: str, kind: str = "application/dicom") -> bytes:
    """The body of a STOW-RS request."""
    mark = boundary.encode()
    parts = b"".join(b"--%s\r\nContent-Type: %s\r\n\r\n%s\r\n" % (mark, kind.encode(), one) for one in files)
    return parts + b"--%s--\r\n" % mark


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers; by default 127.0.0.1 may send."""
    running: list[Web] = []

    def begin(
        peers: Sequence[PeerSettings] = (PeerSettings("CT01", "127.0.0.1", 0),),
        reserve: int = 0,
        token_file: Path | None = None,
        **limits: float,
    ) -> Web:
        running.append(Web(tmp_path, Limits(**limits), reserve, peers, token_file))  # type: ignore[arg-type]
        return running[-1]

    yield begin
    for one in running:
        one.server.stop()
        one.store.close()
