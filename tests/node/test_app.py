"""A whole node in this process and in its own: real sockets, a tiny real model, start, stop, restart."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest

from delivery import dicom
from domain.destinations import Destination
from domain.errors import ConfigurationError
from domain.repositories import Repository
from node.app import Node
from node.config import load
from tests.ct_series import Series, part10
from tests.inference import small_package

ROOT = Path(__file__).parents[2]
SERIES = Series(slices=8)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages") / "tiny"
    small_package.build(folder)
    return folder


@pytest.fixture
def toml(tmp_path: Path, package: Path) -> Path:
    file = tmp_path / "node.toml"
    file.write_text(f"""
[node]
data_dir = "data"
[scp]
bind = "127.0.0.1"
port = 0
reserve_gb = 0
[[peer]]
ae_title = "CT01"
address = "127.0.0.1"
[study]
quiet_seconds = 0
[[model]]
package = {json.dumps(str(package))}
send_to = ["files"]
[model.when]
Modality = "CT"
[[destination]]
name = "files"
kind = "folder"
path = "out"
[compute]
workers = 1
threads = 1
""")
    return file


@pytest.fixture
def study(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "study"
    folder.mkdir()
    files = []
    for number, ds in enumerate(SERIES.datasets()):
        files.append(folder / f"{number}.dcm")
        files[-1].write_bytes(part10(ds))
    return files


def now() -> datetime:
    return datetime.now(UTC)


def until(true: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def send(port: int, files: list[Path]) -> list[int]:
    node = Destination("node", "dicom", host="127.0.0.1", port=port, ae_title="ANCILLA", calling_ae="CT01")
    return [sent.status for sent in dicom.send(node, files)]


@contextmanager
def running(toml: Path) -> Iterator[tuple[Node, int]]:
    node = Node(load(toml), now)
    stop = threading.Event()
    loop = threading.Thread(target=node.run, args=(stop,))
    port = node.start()
    loop.start()
    try:
        yield node, port
    finally:
        stop.set()
        node.wake()
        loop.join()
        node.stop()


def results(toml: Path) -> list[Path]:
    return sorted((toml.parent / "out").glob("*.dcm"))


def test_a_study_sent_to_the_node_comes_out_as_results(toml: Path, study: list[Path]) -> None:
    with running(toml) as (node, port):
        assert send(port, study) == [0] * 8
        until(lambda: len(results(toml)) >= 3 and not [j for j in node.store.jobs() if j.state in ("queued", "running")])
        assert {pydicom.dcmread(file).Modality for file in results(toml)} == {"SR", "SEG", "OT"}


def test_a_second_node_on_the_same_folder_is_refused(toml: Path) -> None:
    with running(toml), pytest.raises(ConfigurationError, match="another node is running"):
        Node(load(toml), now)


def test_a_restarted_node_indexes_what_only_the_packs_know(
    toml: Path, study: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(toml) as (node, port):

        def broken(*_: object) -> None:
            raise OSError("the power went")

        monkeypatch.setattr(node.store, "received_later", broken)
        assert all(status != 0 for status in send(port, study[:3]))
        assert node.store.studies() == []
    with running(toml) as (node, _):
        (found,) = node.store.studies()
        assert found.instances == 3
        assert [row.event for row in node.store.audit(event="recovered")] == ["recovered"] * 3


def test_a_reload_takes_new_rules_and_keeps_the_old_ones_when_the_file_is_wrong(toml: Path) -> None:
    with running(toml) as (node, _):
        text = toml.read_text()
        toml.write_text(
            text.replace('Modality = "CT"', 'Modality = "MR"')
            .replace("quiet_seconds = 0", "quiet_seconds = 9")
            .replace("[model.when]", "shadow = true\n[model.when]")
            + '[retention]\ndays = 30\n[audit]\nsyslog = "udp://127.0.0.1:9"\n'
        )
        node.reload()
        assert node._retention.settings.retention.days == 30
        assert node._forwarding.settings.audit == Repository("udp", "127.0.0.1", 9, timeout_seconds=10.0)
        assert node.settings.models[0].when.clauses[0].equals == ("mr",)
        assert node._delivering.shadows == {node._models[0].digest}, "nothing of it leaves any more"
        assert node.settings.study.quiet_seconds == 0, "needs a restart"
        toml.write_text(text + "[nonsense]\n")
        node.reload()
        assert node.settings.models[0].when.clauses[0].equals == ("mr",)


def test_serve_says_its_port_stops_on_sigterm_and_records_it(toml: Path, study: list[Path]) -> None:
    command = [sys.executable, "-m", "node", "serve", "-c", str(toml)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert "listening port=" in line, line + process.stderr.read()
            port = int(line.partition("port=")[2].split()[0])
            assert send(port, study) == [0] * 8
            until(lambda: len(results(toml)) >= 2)
            process.send_signal(signal.SIGHUP)
            assert any("reloaded" in line for line in iter(process.stderr.readline, ""))
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.stderr.read() if process.stderr else ""
        assert process.wait(60) == 0, rest
    assert "stopped" in rest
    assert "Synthetic^Test" not in rest
    ask = [sys.executable, "-m", "node", "audit", "list", "--json", "-c", str(toml)]
    listed = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=True)
    events = [row["event"] for row in json.loads(listed.stdout)]
    assert events[0] == "node-started" and events[-1] == "node-stopped"
    assert {"stored", "settled", "finished", "sent"} <= set(events)
