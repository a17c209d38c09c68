"""A real node lets a study go and takes it back: disk, log, commands, commitment; and kill -9 at every arrow of a purge."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
)

from db.audit import verify
from node.__main__ import main
from node.app import Node
from node.commands.options import now
from node.config import load
from tests import peers, serving
from tests.ct_series import Series
from tests.flow.scanner import Scanner, scanner
from tests.flow.test_power_cut import LAUNCHER, delivered, kept
from tests.scp.test_services import Reported
from tests.scp.test_statements import request

CRASHES = [
    "db.store:Store.purge:after:1",
    "db.spool:remove:after:1",
    "db.spool:Spool.delete:after:1",
]


def packs(node: serving.Node) -> list[Path]:
    return sorted((node.data / "spool").rglob("*.pack"))


def results(node: serving.Node, kind: str) -> list[str]:
    return sorted(file.name for file in (node.data / "results").rglob(kind))


def missing(node: serving.Node, uids: Sequence[str]) -> list[str]:
    """Those that the node does not commit to, all for the same reason: no such object instance (PS3.4 J.3.3)."""
    reported, ae = Reported(), AE(serving.CALLER)
    ae.add_requested_context(StorageCommitmentPushModel)
    handlers: Any = [(evt.EVT_N_EVENT_REPORT, reported.take)]
    association = ae.associate("127.0.0.1", node.port, ae_title="ANCILLA", evt_handlers=handlers)
    assert association.is_established
    asked = request(*uids, transaction=generate_uid())
    answer, _ = association.send_n_action(asked, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    assert answer.Status == 0x0000
    failed = reported.first()[2]
    reasons = {item.FailureReason for item in reported.reports[0][1].get("FailedSOPSequence", ())}
    association.release()
    assert reasons <= {0x0112}
    return failed


@dataclass
class Answered:
    """A stopped node with one study that was answered and delivered."""

    node: serving.Node
    sender: Scanner


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, packages: Path) -> Answered:
    folder = tmp_path_factory.mktemp("answered")
    sender = scanner(folder / "images", Series(slices=12))
    node = prepared(folder, packages, folder / "out")
    with serving.serving(node):
        sender.send(node)
        peers.wait_for(lambda: delivered(node, sender.study_uid), "the results", 60, node.alive)
    return Answered(node, sender)


def prepared(folder: Path, packages: Path, out: Path, **sections: serving.Table) -> serving.Node:
    model = {"package": str(packages / "tiny"), "send_to": ["out"]}
    destination = {"name": "out", "kind": "folder", "path": str(out)}
    return serving.prepare(folder, models=[model], destinations=[destination], **sections)


def taken_over(folder: Path, packages: Path, before: Answered, **sections: serving.Table) -> serving.Node:
    """A copy of that node, not running."""
    node = prepared(folder, packages, folder / "out", **sections)
    shutil.copytree(before.node.data, node.data)
    return node


def ask(node: serving.Node, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """What a command says beside the running node."""
    assert main([*words, "--json", "-c", str(node.toml)]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_node_lets_an_old_study_go_and_takes_it_back_as_a_new_one(
    tmp_path: Path, packages: Path, before: Answered, capsys: pytest.CaptureFixture[str]
) -> None:
    uid = before.sender.study_uid
    node = taken_over(tmp_path, packages, before, retention={"days": 1e-5})
    sender = Scanner(before.sender.images, uid)
    with serving.serving(node):
        peers.wait_for(lambda: not packs(node), "an empty spool", 30, node.alive)
        shown = ask(node, capsys, "show", uid)
        assert (shown["study"]["state"], shown["purged"]["actor"]) == ("purged", "node (retention)")
        assert shown["purged"]["images"] == 12
        assert set(missing(node, list(sender.images))) == set(sender.images)
        sender.send(node)
        assert len(sender.acknowledged) == 12
        peers.wait_for(
            lambda: kept(node, uid) == sender.digests(), "the rows of the images, which may lag behind", 30, node.alive
        )
        peers.wait_for(lambda: delivered(node, uid) and (tmp_path / "out").exists(), "the results", 60, node.alive)
        assert missing(node, list(sender.images)) == []
        shown = ask(node, capsys, "show", uid)
        assert (shown["study"]["revision"], shown["study"]["instances"]) == (2, 12)
        assert {job["revision"] for job in shown["jobs"] if not job["missing"]} == {1, 2}
        assert results(node, "seg.dcm") == ["seg.dcm"] and results(node, "sr.dcm") == ["sr.dcm"] * 2
        assert ask(node, capsys, "audit", "verify")["broken_seq"] is None
    assert " purged study=" in node.log() and " trouble " not in node.log()


@pytest.mark.parametrize("place", CRASHES)
def test_a_purge_that_is_killed_is_finished_at_the_next_start(
    tmp_path: Path, packages: Path, before: Answered, place: str
) -> None:
    node, uid = taken_over(tmp_path, packages, before), before.sender.study_uid
    line = [sys.executable, *LAUNCHER, "purge", uid, "-c", str(node.toml)]
    env = {**os.environ, "CRASH_AT": place}
    assert subprocess.run(line, cwd=serving.ROOT, env=env, capture_output=True, timeout=60, check=False).returncode == -9
    again = Node(load(node.toml), now)
    study = again.store.study(uid)
    assert study is not None and (study.state, study.instances) == ("purged", 0)
    assert packs(node) == results(node, "seg.dcm") == [] == again.store.leftovers()
    assert not {row.event for row in again.store.audit()} & {"recovered", "torn", "reopened"}
    assert verify(again.store).broken_seq is None
    again.stop()
