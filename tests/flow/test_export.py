"""A running node gives images and results back; another program reads them, and the node knows them again."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from node.files import find
from tests import peers, serving
from tests.ct_series import Series
from tests.flow.scanner import scanner
from tests.flow.test_power_cut import delivered
from tests.flow.test_retention import ask, prepared


@pytest.mark.peer
def test_what_a_running_node_gives_back_is_what_it_got_and_made(
    tmp_path: Path, packages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node, sender = prepared(tmp_path, packages, tmp_path / "pacs"), scanner(tmp_path / "images", Series(slices=6))
    uid, out = sender.study_uid, tmp_path / "out"
    with serving.serving(node):
        sender.send(node)
        peers.wait_for(lambda: delivered(node, uid), "the results", 60, node.alive)
        (study,) = ask(node, capsys, "export-images", uid, "--out", str(out), "--results")["studies"]
        made = [one for job in ask(node, capsys, "show", uid)["artifacts"].values() for one in job]
        assert (study["images"], study["results"], study["problems"]) == (6, len(made), [])
        results = {hashlib.sha256(file.read_bytes()).hexdigest() for file in (out / uid / "results").rglob("*") if file.is_file()}
        assert results == {one["digest"] for one in made}
        images = {file.header.sop_instance_uid: file for file in find([out]).files if "results" not in file.path.parts}
        assert {uid: file.digest for uid, file in images.items()} == sender.digests()
        files = [file.path for file in images.values()]
        test = subprocess.run([peers.program("dcmftest"), *map(str, files)], capture_output=True, text=True, check=False)
        assert test.returncode == 0 and test.stdout.count("yes: ") == 6
        name = next(iter(images))
        assert peers.dciodvfy(images[name].path) == peers.dciodvfy(sender.images[name])
        peers.storescu(node.port, files, called="ANCILLA", calling=serving.CALLER)
        peers.wait_for(lambda: len(ask(node, capsys, "audit", "list", "--event", "duplicate")) == 6, "the rows", 30, node.alive)
        shown = ask(node, capsys, "show", uid)["study"]
        assert (shown["instances"], shown["revision"], shown["state"]) == (6, 1, "complete")
