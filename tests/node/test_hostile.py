"""Objects made to break readers go through the whole node: receiver, settler, worker. It answers the study and goes on."""

from collections.abc import Collection
from pathlib import Path

import pydicom
import pytest

from scp.part10 import split
from tests import peers, serving
from tests.ct_series import Series, part10
from tests.inference import small_package
from tests.scp.objects import deepened
from tests.scp.wire import CT, EXPLICIT, Sender

DEPTH = 20_000


@pytest.mark.parametrize("defined", [False, True])
def test_a_sequence_twenty_thousand_deep_in_a_good_study_does_not_kill_settler_or_worker(tmp_path: Path, defined: bool) -> None:
    package, out = tmp_path / "tiny", tmp_path / "out"
    small_package.build(package)
    out.mkdir()
    model = {"package": str(package), "send_to": ["files"], "when": {"Modality": "CT"}}
    files = {"name": "files", "kind": "folder", "path": str(out)}
    node = serving.prepare(tmp_path, models=[model], destinations=[files])
    with serving.serving(node):
        for seed, hostile in (("all deep", range(8)), ("one deep", (4,)), ("good", ())):
            send(node.port, Series(slices=8, seed=seed), hostile, defined)
        peers.wait_for(lambda: answered(node), "the answers", 120, node.alive)
        studies = {study["study_uid"]: study for study in node.ask("studies")}
        assert len(studies) == 3 and {study["state"] for study in studies.values()} == {"complete"}
        assert {pydicom.dcmread(file).Modality for file in out.glob("*.dcm")} >= {"SR"}
        log = node.log()
    assert "trouble" not in log and "Synthetic^Test" not in log
    outcomes = {job["study_uid"]: job["outcome"] for job in node.ask("jobs") if job["kind"] == "infer"}
    good = Series(slices=8, seed="good").datasets()[0].StudyInstanceUID
    assert outcomes[good] in ("positive", "negative")
    assert "failed" not in outcomes.values()


def answered(node: serving.Node) -> bool:
    jobs = node.ask("jobs")
    done = {study["state"] for study in node.ask("studies")} == {"complete"}
    return done and bool(jobs) and all(job["state"] in ("done", "declined", "failed") for job in jobs)


def send(port: int, series: Series, hostile: Collection[int], defined: bool) -> None:
    with Sender(port) as sender:
        sender.associate([(CT, (EXPLICIT,))], calling=serving.CALLER)
        for index, ds in enumerate(series.datasets()):
            _, data = split(part10(ds))
            body = bytes(data)
            given = deepened(body, DEPTH, defined=defined) if index in hostile else body
            assert sender.store(given, ds.SOPInstanceUID).status == 0
        sender.release()
