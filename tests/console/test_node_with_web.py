"""The whole node with its web server, and Orthanc as a STOW-RS client."""

import http.client
import os
import signal
from pathlib import Path

import pytest

from domain.errors import ConfigurationError
from node.__main__ import main
from node.config import Settings
from node.web import web_for
from tests import peers, serving
from tests.console.browser import Page
from tests.console.conftest import DICOM, multipart
from tests.ct_series import Series, part10
from tests.node.configuration import TEXT, settings
from tests.scp.recording_intake import RecordingIntake


def with_console(folder: Path, console: str = "[console]\nport = 0\n") -> Settings:
    return settings(folder, TEXT + console)


def post(port: int, files: list[bytes]) -> int:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    client.request("POST", "/dicom-web/studies", multipart(files, "b"), {"Content-Type": DICOM + "b"})
    status = client.getresponse().status
    client.close()
    return status


def page(port: int, path: str) -> str:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    client.request("GET", path)
    text = client.getresponse().read().decode()
    client.close()
    return text


def test_a_study_sent_by_stow_settles_like_any_other_and_the_node_stops_in_good_order(tmp_path: Path) -> None:
    port = peers.free_port()
    node = serving.prepare(tmp_path, console={"port": port, "stow": True})
    with serving.serving(node):
        assert post(port, [part10(ds) for ds in Series(slices=5, size=16).datasets()]) == 200
        study = peers.wait_for(lambda: [one for one in node.ask("studies") if one["state"] != "receiving"], "settled")
        assert study[0]["instances"] == 5
        assert f"web-listening port={port} pages=http://127.0.0.1:{port}/" in node.log()
        assert "running for" in " ".join(Page(page(port, "/")).words.split()) and study[0]["study_uid"] in page(port, "/studies")
        assert 'ancilla_received_images_total{device="SCANNER"} 5' in page(port, "/metrics")
        assert node.stop() == 0
        node.start()
        node.wait()
        assert peers.listens(port)
    assert node.ask("audit", "verify")["broken_seq"] is None


def test_kill_in_the_middle_of_a_request_loses_nothing_acknowledged(tmp_path: Path) -> None:
    port = peers.free_port()
    node = serving.prepare(tmp_path, console={"port": port, "stow": True})
    files = [part10(ds) for ds in Series(slices=20, size=32).datasets()]
    with serving.serving(node):
        assert post(port, files[:10]) == 200
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        body = multipart(files[10:], "b")
        client.putrequest("POST", "/dicom-web/studies")
        client.putheader("Content-Type", DICOM + "b")
        client.putheader("Content-Length", str(len(body)))
        client.endheaders(body[: len(body) // 2])
        peers.wait_for(lambda: node.ask("studies")[0]["instances"] > 10, "a part of the second request")
        node.kill()
        client.close()
        node.start()
        node.wait()
        assert 10 < node.ask("studies")[0]["instances"] < 20
        assert post(port, files) == 200
        assert node.ask("studies")[0]["instances"] == 20
        assert "duplicate" in [row["event"] for row in node.ask("audit", "list", "--limit", "1000")]


@pytest.mark.peer
def test_orthanc_can_send_by_stow(tmp_path: Path) -> None:
    port = peers.free_port()
    node = serving.prepare(tmp_path, console={"port": port, "stow": True})
    servers = {"node": {"Url": f"http://127.0.0.1:{port}/dicom-web/", "ChunkedTransfers": True}}
    servers["plain"] = servers["node"] | {"ChunkedTransfers": False}
    extra = {"DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Servers": servers}}
    images = [part10(ds) for ds in Series(slices=5, size=16).datasets()]
    with serving.serving(node), peers.orthanc(web=True, extra=extra) as orthanc:
        ids = [orthanc.post("/instances", one)["ID"] for one in images]
        for name, event in (("node", "stored"), ("plain", "duplicate")):
            body = b'{"Resources": ["%s"], "Synchronous": true}' % b'","'.join(one.encode() for one in ids)
            said = orthanc.post(f"/dicom-web/servers/{name}/stow", body)
            assert int(said["InstancesCount"]) == 5
            events = [row["event"] for row in node.ask("audit", "list", "--limit", "1000")]
            assert events.count(event) == 5
        assert node.ask("studies")[0]["instances"] == 5


def test_without_the_section_there_is_no_web_server_and_without_stow_only_health(tmp_path: Path) -> None:
    assert web_for(settings(tmp_path), RecordingIntake()) is None
    server = web_for(with_console(tmp_path), RecordingIntake())
    assert server is not None
    port = server.start()
    try:
        assert post(port, [b""]) == 404
    finally:
        server.stop()


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    first = web_for(with_console(tmp_path), RecordingIntake())
    assert first is not None
    port = first.start()
    second = web_for(with_console(tmp_path, f"[console]\nport = {port}\n"), RecordingIntake())
    assert second is not None
    try:
        with pytest.raises(ConfigurationError, match=rf"console.port: cannot listen on 127.0.0.1 port {port}"):
            second.start()
    finally:
        first.stop()
        second.stop()


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (None, 0, "cannot be read"),
        ("0123456789abcdef", 0o644, "chmod 600"),
        ("short", 0o600, "16 or more characters"),
        ("# only words\n\n", 0o600, "at least one token"),
    ],
)
def test_a_token_file_that_protects_nothing_is_refused_at_start(
    tmp_path: Path, content: str | None, mode: int, words: str
) -> None:
    if content is not None:
        (tmp_path / "tokens").write_text(content)
        (tmp_path / "tokens").chmod(mode)
    with pytest.raises(ConfigurationError, match=words):
        web_for(with_console(tmp_path, '[console]\nstow = true\ntoken_file = "tokens"\n'), RecordingIntake())


def test_serve_refuses_pages_that_anybody_could_reach(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml = tmp_path / "node.toml"
    toml.write_text('[console]\nbind = "0.0.0.0"\n')
    assert main(["serve", "-c", str(toml)]) == 2
    assert capsys.readouterr().err.startswith("ancilla: console.admin_file is missing: console.bind is 0.0.0.0")
    toml.write_text('[console]\nbind = "0.0.0.0"\nadmin_file = "logins"\n')
    assert main(["serve", "-c", str(toml)]) == 2
    assert "logins does not exist; `ancilla login NAME` makes it" in capsys.readouterr().err


def test_reloading_says_that_the_section_needs_a_restart(tmp_path: Path) -> None:
    node = serving.prepare(tmp_path, console={"port": peers.free_port()})
    with serving.serving(node):
        node.toml.write_text(node.toml.read_text().replace("[console]", "[console]\nstow = true"))
        assert node.process is not None
        os.kill(node.process.pid, signal.SIGHUP)
        peers.wait_for(lambda: "restart-needed sections=console" in node.log(), "the log")
