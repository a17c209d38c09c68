"""A real node with models in shadow: PACS, folder and sender get nothing of them, and later the very bytes that were kept."""

import hashlib
import signal
from pathlib import Path

import pytest
from pydicom import dcmread

from tests import peers, serving
from tests.ct_series import Series
from tests.flow.scanner import scanner
from tests.flow.test_retention import ask
from tests.inference import small_package

NEXT = small_package.TOML.replace('version = "1.2.3"', 'version = "1.3.0"')


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.mark.peer
def test_nothing_leaves_until_a_model_is_live_and_then_the_bytes_that_were_kept(
    tmp_path: Path, packages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_package.build(tmp_path / "next", toml=NEXT)
    everybody = ["out", "pacs", "sender"]
    out = tmp_path / "out"
    models = [
        {"package": str(packages / "tiny"), "send_to": ["live"]},
        {"package": str(tmp_path / "next"), "send_to": everybody, "shadow": True},
        {"package": str(packages / "poison"), "send_to": everybody, "shadow": True},
    ]
    sender = scanner(tmp_path / "images", Series(slices=12))
    uid = sender.study_uid
    with peers.storescp() as pacs:
        folders = [{"name": name, "kind": "folder", "path": str(tmp_path / name)} for name in ("live", "out")]
        node = serving.prepare(tmp_path, models=models, destinations=[*folders, serving.pacs(pacs, commitment=True)])
        node.toml.write_text(node.toml.read_text().replace('address = "127.0.0.1"', f'address = "127.0.0.1"\nport = {pacs.port}'))
        with serving.serving(node):
            sender.send(node)
            jobs = peers.wait_for(
                lambda: (
                    (found := ask(node, capsys, "jobs"))
                    and {job["state"] for job in found} == {"done"}
                    and len(found) == 4
                    and found
                ),
                "three answers and the delivery of one",
                90,
                node.alive,
            )
            assert sorted((job["kind"], job["model_id"], job["shadow"]) for job in jobs) == [
                ("deliver", "test-lungs", False),
                ("infer", "test-lungs", False),
                ("infer", "test-lungs", True),
                ("infer", "test-poison", True),
            ]
            assert pacs.files() == [] and not out.exists() and list((tmp_path / "live").iterdir())
            compared = ask(node, capsys, "shadow")["studies"]
            assert [(pair["shadow"]["model_id"], pair["agreement"]) for pair in compared] == [
                ("test-lungs", "both negative"),
                ("test-poison", "no live answer"),
            ]
            (kept,) = [job["job_id"] for job in jobs if job["model_id"] == "test-poison"]
            before = {a["digest"]: a["sop_instance_uid"] for a in ask(node, capsys, "show", uid)["artifacts"][str(kept)]}

            text = node.toml.read_text()
            at = text.rindex("shadow = true")  # of the last model
            node.toml.write_text(text[:at] + text[at:].replace("shadow = true", "shadow = false"))
            assert node.process is not None
            node.process.send_signal(signal.SIGHUP)
            peers.wait_for(lambda: " reloaded " in node.log(), "the new configuration", 30, node.alive)
            judged = {each["model"]: each for each in ask(node, capsys, "rerun", uid, "--model", "test-poison")["models"]}
            assert (judged["test-poison"]["action"], judged["test-poison"]["job"]) == ("send", kept)
            peers.wait_for(
                lambda: len([j for j in ask(node, capsys, "jobs") if j["kind"] == "deliver" and j["state"] == "done"]) == 4,
                "the deliveries",
                60,
                node.alive,
            )
            assert len(list(out.iterdir())) >= 3 and {sha256(file) for file in out.iterdir()} <= before.keys()
            assert pacs.files() and {str(dcmread(file).SOPInstanceUID) for file in pacs.files()} <= set(before.values())
            events = [row["event"] for row in ask(node, capsys, "audit", "list", "--study", uid, "--limit", "1000")]
            assert events.count("withheld") == 2
            assert ask(node, capsys, "audit", "verify")["broken_seq"] is None
