"""A real node lets a study go and takes it back: disk, log, commands, commitment; and kill -9 at every arrow of a purge."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
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

from db.engine import open_store
from node.commands.options import now
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


def refused(node: serving.Node, *command: str) -> str:
    """What a command says that ends with 1."""
    line = [sys.executable, "-m", "node", *command, "-c", str(node.toml)]
    done = subprocess.run(line, cwd=serving.ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr[-2000:]
    return done.stderr


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


@pytest.mark.peer
def test_a_study_is_purged_while_the_node_runs_and_comes_back_as_a_new_one(tmp_path: Path, packages: Path) -> None:
    sender = scanner(tmp_path / "images", Series(slices=12))
    with peers.storescp() as pacs:
        model = {"package": str(packages / "tiny"), "send_to": ["pacs"]}
        node = serving.prepare(tmp_path, models=[model], destinations=[serving.pacs(pacs)])
        uid = sender.study_uid
        with serving.serving(node):
            sender.send(node)
            peers.wait_for(lambda: delivered(node, uid), "the results", 60, node.alive)
            size = sum(pack.stat().st_size for pack in packs(node))
            (gone,) = node.ask("purge", uid)["studies"]
            assert (gone["action"], gone["images"]) == ("purged", 12) and gone["bytes"] >= size > 0
            assert packs(node) == [] and results(node, "seg.dcm") == [] and results(node, "sr.dcm") == ["sr.dcm"]
            assert "12 images" in node.tell("show", uid)
            assert f"study {uid} were purged on" in refused(node, "rerun", uid)
            assert set(missing(node, list(sender.images))) == set(sender.images)

            first, sender.acknowledged = len(pacs.files()), set()
            sender.send(node)
            assert len(sender.acknowledged) == 12 and kept(node, uid) == sender.digests()
            peers.wait_for(lambda: delivered(node, uid) and len(pacs.files()) > first, "the results", 60, node.alive)
            assert missing(node, list(sender.images)) == []
            shown = node.ask("show", uid)
            assert (shown["study"]["revision"], shown["study"]["instances"]) == (2, 12) and not shown["jobs"][-1]["missing"]
            assert node.ask("audit", "verify")["broken_seq"] is None


@pytest.mark.parametrize("place", CRASHES)
def test_a_purge_that_is_killed_is_finished_at_the_next_start(
    tmp_path: Path, packages: Path, before: Answered, place: str
) -> None:
    node, uid = prepared(tmp_path, packages, tmp_path / "out"), before.sender.study_uid
    shutil.copytree(before.node.data, node.data)
    line = [sys.executable, *LAUNCHER, "purge", uid, "-c", str(node.toml)]
    env = {**os.environ, "CRASH_AT": place}
    assert subprocess.run(line, cwd=serving.ROOT, env=env, capture_output=True, timeout=60, check=False).returncode == -9
    with serving.serving(node), closing(open_store(f"sqlite:///{node.data / 'ancilla.db'}", now)) as store:
        study = store.study(uid)
        assert study is not None and (study.state, study.instances) == ("purged", 0)
        assert packs(node) == results(node, "seg.dcm") == [] == store.leftovers()
        assert not {row.event for row in store.audit()} & {"recovered", "torn", "reopened"}
    assert node.ask("audit", "verify")["broken_seq"] is None


def test_a_node_lets_old_studies_go_by_itself(tmp_path: Path, packages: Path, before: Answered) -> None:
    second = {"days": 1e-5}
    node, uid = prepared(tmp_path, packages, tmp_path / "out", retention=second), before.sender.study_uid
    shutil.copytree(before.node.data, node.data)
    with serving.serving(node):
        peers.wait_for(lambda: not packs(node), "an empty spool", 30, node.alive)
        assert node.ask("show", uid)["purged"]["actor"] == "node (retention)"
    assert " purged study=" in node.log() and "level=WARNING trouble" not in node.log()
