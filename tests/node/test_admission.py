"""Who may send while a node runs: `ancilla admit`, SIGHUP, certificates, each without a restart."""

import json
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from delivery import dicom
from domain.destinations import Destination
from domain.errors import AncillaError
from node.__main__ import main
from tests import peers, serving
from tests.scp.certificates import Authority
from tests.scp.wire import CT, EXPLICIT, EndedError, Sender

MR = "1.2.840.10008.5.1.4.1.1.4"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[serving.Node]:
    with serving.serving(serving.prepare(tmp_path_factory.mktemp("node"))) as running:
        yield running


def welcome(port: int, title: str) -> bool:
    try:
        dicom.echo(
            Destination("node", "dicom", host="127.0.0.1", port=port, ae_title="ANCILLA", calling_ae=title, timeout_seconds=10)
        )
    except AncillaError:
        return False
    return True


def tell(node: serving.Node, *words: str) -> int:
    return main(["admit", *words, "-c", str(node.toml)])


def test_a_stranger_is_listed_let_in_and_sent_away_while_the_node_runs(node: serving.Node, capsys: Capture) -> None:
    with Sender(node.port) as sender, pytest.raises(EndedError):
        sender.associate([(CT, (EXPLICIT,)), (MR, (EXPLICIT,)), ("1.2.826.0.1.3680043.2.1", (EXPLICIT,))], calling="CT09")
    peers.wait_for(lambda: listed(node, capsys)["rejected"], "the stranger")
    (stranger,) = listed(node, capsys)["rejected"]
    assert (stranger["calling_ae"], stranger["address"], stranger["count"]) == ("CT09", "127.0.0.1", 1)
    names = ["CT Image Storage", "MR Image Storage", "1.2.826.0.1.3680043.2.1"]
    assert [one["name"] for one in stranger["proposed"]] == names
    assert tell(node, "--list") == 0
    assert ", ".join(names) in capsys.readouterr().out
    assert tell(node, "CT09", "127.0.0.1") == 0
    assert capsys.readouterr().out == "CT09 may send from 127.0.0.1\n"
    peers.wait_for(lambda: welcome(node.port, "CT09"), "the new peer", 2)
    assert tell(node, "--list") == 0
    out = capsys.readouterr().out
    assert "nobody was turned away" not in out or "CT09" in out
    assert [one["ae_title"] for one in listed(node, capsys)["admitted"]] == ["CT09"]
    assert tell(node, "--remove", "CT09") == 0
    assert capsys.readouterr().out == "CT09 may not send from 127.0.0.1 any more\n"
    peers.wait_for(lambda: not welcome(node.port, "CT09"), "the end of the new peer", 2)
    events = [row for row in node.ask("audit", "list") if row["event"] in ("admitted", "dismissed")]
    assert [row["event"] for row in events] == ["admitted", "dismissed"]
    assert all(row["actor"].startswith("operator:") for row in events)


def listed(node: serving.Node, capsys: Capture) -> dict[str, list[dict[str, object]]]:
    capsys.readouterr()
    assert tell(node, "--list", "--json") == 0
    found: dict[str, list[dict[str, object]]] = json.loads(capsys.readouterr().out)
    return found


def test_an_admission_outlives_a_restart(tmp_path: Path) -> None:
    node = serving.prepare(tmp_path)
    with serving.serving(node):
        assert tell(node, "CT09") == 0
    with serving.serving(node):
        assert welcome(node.port, "CT09") and welcome(node.port, serving.CALLER)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "name an AE title"),
        (["SEVENTEEN_LETTERS"], 2, "admit.ae_title must be 1-16"),
        (["CT09", "here"], 2, "admit.address must be an IP address or a network"),
        (["CT09", "10.0.0.1", "--port", "70000"], 2, "admit.port must be 0-65535"),
        (["--remove", "NOBODY"], 1, "`ancilla admit` has not let in NOBODY"),
        (["--remove", serving.CALLER], 1, "a [[peer]] of node.toml lets it in"),
    ],
)
def test_a_mistake_is_one_sentence(node: serving.Node, capsys: Capture, words: list[str], code: int, said: str) -> None:
    assert tell(node, *words) == code
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_peers_of_the_file_change_on_sighup(tmp_path: Path) -> None:
    node = serving.prepare(tmp_path)
    with serving.serving(node):
        assert welcome(node.port, serving.CALLER) and not welcome(node.port, "CT07")
        with Sender(node.port) as sender:
            sender.associate([("1.2.840.10008.1.1", (EXPLICIT,))], calling=serving.CALLER)
            node.toml.write_text(node.toml.read_text().replace(serving.CALLER, "CT07"))
            again(node)
            peers.wait_for(lambda: welcome(node.port, "CT07"), "the new peer", 10)
            assert not welcome(node.port, serving.CALLER)
            assert sender.echo() == 0, "a running association goes on"
            sender.release()


def again(node: serving.Node) -> None:
    assert node.process is not None
    node.process.send_signal(signal.SIGHUP)


def test_certificates_change_on_sighup_and_broken_ones_change_nothing(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    first, second, client = (authority.identity(name) for name in ("first", "second", "client"))
    node, port = serving.prepare(tmp_path), peers.free_port()
    for name, file in (("node.pem", first.cert), ("node.key", first.key)):
        (tmp_path / name).write_bytes(file.read_bytes())
    tls = (
        f'cert = "node.pem"\nkey = "node.key"\nca = {json.dumps(str(authority.cert))}\nrequire_client_cert = true\nonly = true\n'
    )
    node.toml.write_text(node.toml.read_text() + f"[scp.tls]\nport = {port}\n{tls}")
    tester = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tester.load_verify_locations(authority.cert)
    tester.load_cert_chain(client.cert, client.key)
    plain, node.port = node.port, port
    with serving.serving(node):
        assert not peers.listens(plain)
        assert name_of(port, tester) == "first"
        (tmp_path / "node.key").write_text("nonsense")
        again(node)
        peers.wait_for(lambda: "not-reloaded" in node.log(), "a word about it")
        assert name_of(port, tester) == "first"
        for name, file in (("node.pem", second.cert), ("node.key", second.key)):
            (tmp_path / name).write_bytes(file.read_bytes())
        again(node)
        peers.wait_for(lambda: name_of(port, tester) == "second", "the new certificate")
        assert "restart-needed" not in node.log()


def name_of(port: int, tester: ssl.SSLContext) -> str:
    with Sender(port) as sender:
        sender.socket = tester.wrap_socket(sender.socket, server_hostname="127.0.0.1")
        found = sender.socket.getpeercert()
        return str(dict(pair for group in found["subject"] for pair in group)["commonName"])
