"""``ancilla send`` beside ``ancilla serve``: neither takes the other's work for a wreck."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.instances import Caller, Header
from node.app import Node
from node.visitors import Visitors
from scp.part10 import meta_bytes
from tests import serving
from tests.ct_series import Series, part10
from tests.node.test_intake import AT, CALLER, Setup
from tests.peers import wait_for
from tests.scp.recording_intake import RecordingIntake

WHO = Caller("operator:root", "ANCILLA", "local")


@contextlib.contextmanager
def starting(folder: Path) -> Iterator[Node]:
    """A node on the data folder of a Setup, started in this process as far as recovery."""
    from tests.node.configuration import settings

    text = f'[node]\ndata_dir = "{folder}"\n[scp]\nport = 0\nbind = "127.0.0.1"\nreserve_gb = 0\n[compute]\nworkers = 1\n'
    node = Node(settings(folder, text), lambda: AT)
    try:
        yield node
    finally:
        node.stop()


def test_a_visit_is_one_association_and_leaves_no_file(tmp_path: Path) -> None:
    intake, visitors = RecordingIntake(), Visitors(tmp_path)
    with visitors.visit(intake, WHO) as association_id, visitors.still() as held:
        assert held == {association_id}
    assert intake.named("closed") == [("closed", association_id, "released")]
    with pytest.raises(KeyboardInterrupt), visitors.visit(intake, WHO):
        raise KeyboardInterrupt
    assert intake.calls[-1][2] == "aborted"
    with visitors.still() as held:
        assert held == frozenset() and [path.name for path in (tmp_path / "visitors").iterdir()] == [".gate"]


def test_a_visit_waits_while_a_node_recovers(tmp_path: Path) -> None:
    intake, visitors = RecordingIntake(), Visitors(tmp_path)
    began = threading.Event()

    def visit() -> None:
        with Visitors(tmp_path).visit(intake, WHO):
            began.set()

    with visitors.still() as held:
        thread = threading.Thread(target=visit)
        thread.start()
        assert held == frozenset() and not began.wait(0.2) and not intake.calls
    assert began.wait(10)
    thread.join()


def test_a_node_that_starts_in_the_middle_of_an_object_leaves_it_whole(tmp_path: Path) -> None:
    setup = Setup(tmp_path)
    header = Header("1.2.840.10008.5.1.4.1.1.2", "1.2.3.1.1", "1.2.840.10008.1.2.1", "1.2.3", "1.2.3.1", "CT")
    with Visitors(tmp_path).visit(setup.intake, CALLER) as association:
        setup.send(association, 7)
        writer = setup.intake.writer(association, CALLER, header, meta_bytes(header, "CT01"))
        writer.write(b"a" * 300_000)
        with starting(tmp_path) as node:
            assert node.store.studies()[0].instances == 1
            writer.write(b"b")
            writer.commit()
            events = [row.event for row in node.store.audit()]
            assert "torn" not in events and "recovered" not in events and "association-closed" not in events
            assert node.store.due() == []
    assert [len(bytes(setup.spool.view(one.place))) > 300_000 for one in setup.store.instances("1.2.3")].count(True) == 1


def test_a_dead_visitor_is_closed_as_lost_by_a_running_node(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom tests.node.test_intake import Setup, CALLER\n"
        "from node.visitors import Visitors\nsetup = Setup(Path(sys.argv[1]))\n"
        "with Visitors(Path(sys.argv[1])).visit(setup.intake, CALLER) as one:\n"
        "    setup.send(one, 1)\n    print(one, flush=True)\n    signal.pause()\n"
    )
    with starting(tmp_path) as node:
        visitor = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], cwd=serving.ROOT, stdout=subprocess.PIPE, text=True
        )
        assert visitor.stdout is not None
        association = visitor.stdout.readline().strip()
        node.reap()
        assert "association-closed" not in [row.event for row in node.store.audit()]
        os.kill(visitor.pid, signal.SIGKILL)
        visitor.wait()
        visitor.stdout.close()
        node.reap()
        (row,) = [row for row in node.store.audit() if row.event == "association-closed"]
        assert association in row.details and '"lost"' in row.details
        node.reap()
        assert [path.name for path in (tmp_path / "visitors").iterdir()] == [".gate"]


def test_a_running_node_settles_what_was_sent_beside_it(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number, ds in enumerate(Series(slices=5, size=16).datasets()):
        (source / str(number)).write_bytes(part10(ds))
    node = serving.prepare(tmp_path)
    with serving.serving(node):
        said = node.ask("send", str(source))
        assert (said["stored"], said["node_running"]) == (5, True)
        study = wait_for(lambda: [one for one in node.ask("studies") if one["state"] != "receiving"], "settled")
        assert study[0]["instances"] == 5 and study[0]["revision"] == 1
    assert node.ask("audit", "verify")["broken_seq"] is None


SLOW_SEND = """
import sys
from node import sending
from node.__main__ import main
whole = sending.Sender.send
def send(self, found):
    for number, step in enumerate(whole(self, found), 1):
        if number == 20:
            print("half", flush=True)
            sys.stdin.readline()
        yield step
sending.Sender.send = send
sys.exit(main(sys.argv[1:]))
"""


def test_a_node_killed_and_started_again_under_a_running_send_loses_nothing(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number, ds in enumerate(Series(slices=40, size=32).datasets()):
        (source / f"{number:03}").write_bytes(part10(ds))
    node = serving.prepare(tmp_path)
    command = [sys.executable, "-c", SLOW_SEND, "send", "-c", str(node.toml), str(source)]
    with serving.serving(node):
        with subprocess.Popen(command, cwd=serving.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sending:
            assert sending.stdin is not None and sending.stdout is not None
            assert sending.stdout.readline() == "half\n"
            node.kill()
            node.start()
            node.wait()
            assert "association-closed" not in [row["event"] for row in node.ask("audit", "list")]
            sending.stdin.write("go on\n")
            sending.stdin.flush()
            assert "The running node goes on by itself" in sending.stdout.read()
        assert sending.returncode == 0
        wait_for(lambda: [one for one in node.ask("studies") if one["state"] != "receiving"], "settled")
        (study,) = node.ask("studies")
        assert (study["instances"], study["revision"]) == (40, 1)
    events = [row["event"] for row in node.ask("audit", "list", "--limit", "10000")]
    assert (events.count("stored"), events.count("torn"), events.count("duplicate")) == (40, 0, 0)
