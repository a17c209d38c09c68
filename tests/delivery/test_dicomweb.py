"""STOW-RS to a real archive and to servers that misbehave: every instance gets its answer, or the delivery is tried again."""

import http.server
import json
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pydicom
import pytest
from pydicom.filebase import DicomBytesIO

from delivery import dicomweb, web
from delivery.dicomweb import reach, send
from domain.destinations import Destination
from domain.errors import PermanentError, TransientError
from tests import peers
from tests.ct_series import Series, part10
from tests.scp.certificates import Authority

Handler = http.server.BaseHTTPRequestHandler


def to(url: str, **other: object) -> Destination:
    return Destination("web", "dicomweb", url=url, timeout_seconds=3.0, **other)  # type: ignore[arg-type]


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    files = []
    for number, ds in enumerate(Series(slices=3).datasets()):
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(part10(ds))
    return files


def uids(files: list[Path]) -> list[str]:
    return [str(pydicom.dcmread(file).SOPInstanceUID) for file in files]


@pytest.mark.peer
def test_orthanc_keeps_what_was_sent_and_gives_it_back_by_dicomweb_as_it_was(images: list[Path]) -> None:
    with peers.orthanc(web=True) as pacs:
        service = to(f"http://127.0.0.1:{pacs.http_port}/dicom-web")
        reach(service)
        assert [(one.sop_instance_uid, one.status) for one in send(service, images)] == [(uid, 0) for uid in uids(images)]
        for file in images:
            ds = pydicom.dcmread(file)
            path = f"/dicom-web/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
            request = urllib.request.Request(f"http://127.0.0.1:{pacs.http_port}{path}", headers={
                "Accept": "multipart/related; type=application/dicom; transfer-syntax=*"})  # fmt: skip
            with urllib.request.urlopen(request, timeout=30) as answer:
                body = answer.read()
            kept = pydicom.dcmread(DicomBytesIO(body[body.index(b"DICM") - 128 : body.rindex(b"\r\n--")]))
            assert kept == ds
        assert all(one.status == 0 for one in send(service, images)), "again, under the same UIDs"
        assert pacs.count() == 3


@pytest.mark.peer
def test_orthanc_wants_a_password_and_gets_it(images: list[Path], tmp_path: Path) -> None:
    users = {"AuthenticationEnabled": True, "RegisteredUsers": {"node": "s3cret:ü"}}
    (tmp_path / "password").write_text("node:s3cret:ü\n", encoding="utf-8")
    (tmp_path / "wrong").write_text("node:other\n")
    with peers.orthanc(web=True, extra=users) as pacs:
        service = to(f"http://127.0.0.1:{pacs.http_port}/dicom-web")
        with pytest.raises(TransientError, match="web answered 401 Unauthorized"):
            send(service, images)
        with pytest.raises(TransientError, match="401") as caught:
            reach(replace(service, password_file=str(tmp_path / "wrong")))
        assert "other" not in str(caught.value)
        assert [one.status for one in send(replace(service, password_file=str(tmp_path / "password")), images)] == [0] * 3


@dataclass
class Server:
    """Answers each request as the test says; keeps what it was sent."""

    port: int = 0
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def serving(answer: Callable[[Handler], None], context: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server()

    class Request(Handler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.requests.append((self.path, dict(self.headers), body))
            answer(self)

        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None: ...

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Request)
    httpd.daemon_threads = True
    if context is not None:
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    server.port = httpd.server_address[1]
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def says(status: int, body: bytes = b"", **headers: str) -> Callable[[Handler], None]:
    def answer(request: Handler) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def told(stored: list[tuple[str, int]], failed: list[tuple[str, int]]) -> bytes:
    def item(uid: str, tag: str, value: int) -> dict[str, object]:
        reason = {tag: {"vr": "US", "Value": [value]}} if value else {}
        return {"00081155": {"vr": "UI", "Value": [uid]}, **reason}

    return json.dumps(
        {
            "00081199": {"vr": "SQ", "Value": [item(uid, "00081196", value) for uid, value in stored]},
            "00081198": {"vr": "SQ", "Value": [item(uid, "00081197", value) for uid, value in failed]},
        }
    ).encode()


def test_each_instance_gets_its_own_answer(images: list[Path]) -> None:
    first, second, third = uids(images)
    body = told([(first, 0), (third, 0xB000)], [(second, 0x0122)])
    with serving(says(202, body)) as server:
        sent = send(to(f"http://127.0.0.1:{server.port}/dicom-web"), images)
    assert [(one.status, one.accepted) for one in sent] == [(0, True), (0x0122, False), (0xB000, True)]
    ((path, headers, received),) = server.requests
    assert path == "/dicom-web/studies"
    assert headers["Content-Type"].startswith('multipart/related; type="application/dicom"; boundary=')
    for file in images:
        assert file.read_bytes() in received


def test_what_the_service_does_not_mention_was_not_stored_unless_it_said_that_all_was(images: list[Path]) -> None:
    with serving(says(202, told([], []))) as server:
        assert [one.status for one in send(to(f"http://127.0.0.1:{server.port}"), images)] == [0x0110] * 3
    with serving(says(200)) as server:
        assert [one.status for one in send(to(f"http://127.0.0.1:{server.port}"), images)] == [0] * 3
    with serving(says(409, told([], [(uid, 0xA900) for uid in uids(images)]))) as server:
        assert [one.status for one in send(to(f"http://127.0.0.1:{server.port}"), images)] == [0xA900] * 3


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (says(503), TransientError, "answered 503 Service Unavailable"),
        (says(429), TransientError, "answered 429"),
        (says(302, Location="http://127.0.0.1:1/elsewhere"), TransientError, "answered 302"),
        (says(415), PermanentError, "answered 415"),
        (says(202, b"<html>Doe^Jane</html>"), TransientError, "cannot be read"),
        (says(202, b"[" * 100_000), TransientError, "cannot be read"),
        (says(202, b'{"00081198": {"Value": [{"00081155": 5}]}}'), TransientError, "cannot be read"),
        (lambda request: request.connection.close(), TransientError, "cannot be reached"),
        (lambda request: request.wfile.write(b"no HTTP at all\r\n\r\n"), TransientError, "BadStatusLine"),
    ],
)  # fmt: skip
def test_an_answer_that_settles_nothing_is_an_error_that_says_what_to_do(
    images: list[Path], answer: Callable[[Handler], None], error: type[Exception], words: str
) -> None:
    with serving(answer) as server, pytest.raises(error, match=words) as caught:
        send(to(f"http://127.0.0.1:{server.port}"), images)
    assert "Doe" not in str(caught.value)


def test_an_answer_without_end_and_one_in_drops_are_cut(images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "LARGEST_ANSWER", 10_000)
    with serving(says(202, b"x" * 20_000)) as server, pytest.raises(TransientError, match="without end"):
        send(to(f"http://127.0.0.1:{server.port}"), images)
    over = threading.Event()

    def drops(request: Handler) -> None:
        request.send_response(202)
        request.end_headers()
        while not over.wait(0.05):
            request.wfile.write(b" ")
            request.wfile.flush()

    destination = Destination("web", "dicomweb", url="", timeout_seconds=0.3)
    with serving(drops) as server:
        try:
            with pytest.raises(TransientError, match="web"):
                send(replace(destination, url=f"http://127.0.0.1:{server.port}"), images)
        finally:
            over.set()


def test_nobody_there_is_transient(images: list[Path]) -> None:
    with pytest.raises(TransientError, match="web cannot be reached: connection refused"):
        send(to(f"http://127.0.0.1:{peers.free_port()}"), images)


def test_large_deliveries_are_several_requests(images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicomweb, "LARGEST_BATCH", images[0].stat().st_size * 2)
    with serving(says(200)) as server:
        assert [one.status for one in send(to(f"http://127.0.0.1:{server.port}"), images)] == [0] * 3
    assert len(server.requests) == 2


def test_a_token_is_read_at_each_delivery_and_never_told(images: list[Path], tmp_path: Path) -> None:
    token = tmp_path / "token"
    with serving(says(200)) as server:
        service = to(f"http://127.0.0.1:{server.port}", token_file=str(token))
        with pytest.raises(TransientError, match="token cannot be read"):
            send(service, images[:1])
        for words in ("first", "second"):
            token.write_text(words + "\n")
            send(service, images[:1])
        token.write_text("two\x07lines\nX-Other: yes")
        with pytest.raises(TransientError, match="no usable line") as caught:
            send(service, images[:1])
    assert [headers["Authorization"] for _, headers, _ in server.requests] == ["Bearer first", "Bearer second"]
    assert "lines" not in str(caught.value)


def test_only_a_certificate_of_the_named_authority_is_trusted(images: list[Path], tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    server_identity = ours.identity("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_identity.cert, server_identity.key)
    with serving(says(200), context) as server:
        url = f"https://127.0.0.1:{server.port}"
        assert send(to(url, ca_file=str(ours.cert)), images[:1])[0].status == 0
        for ca in (str(theirs.cert), ""):
            with pytest.raises(TransientError, match="no certificate we trust"):
                send(to(url, ca_file=ca), images[:1])
        with pytest.raises(TransientError, match="holds no certificate"):
            send(to(url, ca_file=str(images[0])), images[:1])


def test_a_file_that_is_not_dicom_is_named_by_its_number_alone(tmp_path: Path, images: list[Path]) -> None:
    bad = tmp_path / "Doe^Jane.dcm"
    bad.write_bytes(b"no image")
    with pytest.raises(PermanentError, match="file 2 is not a DICOM file") as caught:
        send(to("http://127.0.0.1:1"), [images[0], bad])
    assert "Doe" not in str(caught.value)
