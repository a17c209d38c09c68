"""A real node with a model in shadow: PACS, folder and sender get nothing of it, and later the very bytes that were kept."""

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
    both = scanner(tmp_path / "both", Series(slices=8))
    alone = scanner(tmp_path / "alone", Series(slices=8, seed="alone", tags={"BodyPartExamined": "LUNG"}))
    live = {"package": str(packages / "tiny"), "send_to": ["live"], "when": {"BodyPartExamined": "CHEST"}}
    shadow = {"package": str(tmp_path / "next"), "send_to": ["out", "pacs", "sender"], "shadow": True}
    out = tmp_path / "out"
    with peers.storescp() as pacs:
        folders = [{"name": name, "kind": "folder", "path": str(tmp_path / name)} for name in ("live", "out")]
        destinations = [*folders, serving.pacs(pacs, commitment=True)]
        node = serving.prepare(tmp_path, models=[shadow, live], destinations=destinations)
        node.toml.write_text(node.toml.read_text().replace('address = "127.0.0.1"', f'address = "127.0.0.1"\nport = {pacs.port}'))
        with serving.serving(node):
            both.send(node)
            alone.send(node)
            peers.wait_for(lambda: node.log().count(" finished ") == 3, "three answers", 90, node.alive)
            peers.wait_for(lambda: " sent " in node.log(), "the delivery of one", 60, node.alive)
            jobs = ask(node, capsys, "jobs")
            assert sorted((job["kind"], job["shadow"], job["study_uid"] == alone.study_uid) for job in jobs) == [
                ("deliver", False, False),
                ("infer", False, False),
                ("infer", True, False),
                ("infer", True, True),
            ]
            assert pacs.files() == [] and not out.exists() and list((tmp_path / "live").iterdir())
            compared = {pair["study_uid"]: pair["agreement"] for pair in ask(node, capsys, "shadow")["studies"]}
            assert compared == {both.study_uid: "both negative", alone.study_uid: "no live answer"}
            (job,) = [job["job_id"] for job in jobs if job["study_uid"] == alone.study_uid]
            made = ask(node, capsys, "show", alone.study_uid)["artifacts"][str(job)]
            kept = {each["digest"]: each["sop_instance_uid"] for each in made}
            folder = tmp_path / "given back"
            assert ask(node, capsys, "export-images", alone.study_uid, "--results", "--out", str(folder))["studies"]
            assert {sha256(file) for file in (folder / alone.study_uid / "results").rglob("*.*")} == kept.keys()

            switched = node.toml.read_text().replace("shadow = true", "shadow = false")
            node.toml.write_text(switched)
            assert node.process is not None
            node.process.send_signal(signal.SIGHUP)
            peers.wait_for(lambda: " not-reloaded " in node.log(), "no to two live versions", 30, node.alive)
            node.toml.write_text(switched[: switched.rindex("[[model]]")] + switched[switched.index("[[destination]]") :])
            node.process.send_signal(signal.SIGHUP)
            peers.wait_for(lambda: " reloaded " in node.log(), "the new configuration", 30, node.alive)
            (judged,) = ask(node, capsys, "rerun", alone.study_uid)["models"]
            assert (judged["action"], judged["job"]) == ("send", job)
            peers.wait_for(lambda: node.log().count(" sent ") == 4, "three more deliveries", 60, node.alive)
            assert len(list(out.iterdir())) >= 3 and {sha256(file) for file in out.iterdir()} <= kept.keys()
            assert pacs.files() and {str(dcmread(file).SOPInstanceUID) for file in pacs.files()} <= set(kept.values())
            assert len(ask(node, capsys, "audit", "list", "--event", "withheld")) == 2
            assert ask(node, capsys, "audit", "verify")["broken_seq"] is None
