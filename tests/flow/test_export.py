"""A running node gives images back; other programs read them, and the node knows them again."""

import subprocess
from pathlib import Path

import pytest

from node.files import find
from tests import peers, serving
from tests.ct_series import Series
from tests.flow.scanner import scanner
from tests.flow.test_power_cut import kept
from tests.flow.test_retention import ask


@pytest.mark.peer
def test_what_a_running_node_gives_back_is_what_it_got(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node, sender = serving.prepare(tmp_path), scanner(tmp_path / "images", Series(slices=6))
    uid, out = sender.study_uid, tmp_path / "out"
    with serving.serving(node):
        sender.send(node)
        peers.wait_for(
            lambda: kept(node, uid) == sender.digests(), "the rows of the images, which may lag behind", 30, node.alive
        )
        (study,) = ask(node, capsys, "export-images", uid, "--out", str(out))["studies"]
        assert (study["images"], study["state"], study["problems"]) == (6, "receiving", [])
        images = {file.header.sop_instance_uid: file for file in find([out]).files}
        assert {uid: file.digest for uid, file in images.items()} == sender.digests()
        files = [file.path for file in images.values()]
        test = subprocess.run([peers.program("dcmftest"), *map(str, files)], capture_output=True, text=True, check=False)
        assert test.returncode == 0 and test.stdout.count("yes: ") == 6
        name = next(iter(images))
        assert peers.dciodvfy(images[name].path) == peers.dciodvfy(sender.images[name])
        peers.storescu(node.port, files, called="ANCILLA", calling=serving.CALLER)
        peers.wait_for(lambda: len(ask(node, capsys, "audit", "list", "--event", "duplicate")) == 6, "the rows", 30, node.alive)
        shown = ask(node, capsys, "show", uid)["study"]
        assert (shown["instances"], shown["revision"]) == (6, 1)
