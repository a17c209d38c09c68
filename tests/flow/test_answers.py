"""Every study gets one answer per model: also when the model dies, the study does not fit it, or an image comes late."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from tests import peers, serving
from tests.ct_series import Series
from tests.flow import reading
from tests.flow.scanner import scanner

LAUNCHER = ("-m", "tests.flow.crashing_node")
SHORT = {"max_attempts": 1}


@pytest.fixture
def pacs() -> Iterator[peers.StoreScp]:
    with peers.storescp() as peer:
        yield peer


def reports(pacs: peers.StoreScp) -> list[Dataset]:
    """The Structured Reports that are in the PACS, completely written."""
    found = []
    for file in pacs.files():
        if file.name.startswith("SR"):
            found.append(pydicom.dcmread(file))
    return found


def jobs(node: serving.Node) -> dict[tuple[str, int, str], str]:
    """State of every job by kind, revision and model."""
    return {(job["kind"], job["revision"], job["model_id"]): job["state"] for job in node.ask("jobs")}


def until(node: serving.Node, done: Callable[[dict[tuple[str, int, str], str]], bool], what: str) -> dict[Any, str]:
    """The jobs once they are as wanted."""
    return peers.wait_for(lambda: (found := jobs(node)) and done(found) and found, what, 90, node.alive) or {}


def prepared(folder: Path, pacs: peers.StoreScp, models: list[Path], **compute: object) -> serving.Node:
    blocks = [{"package": str(model), "send_to": ["pacs"]} for model in models]
    return serving.prepare(folder, models=blocks, destinations=[serving.pacs(pacs)], compute={**SHORT, **compute})


@pytest.mark.peer
@pytest.mark.parametrize(
    ("poison", "compute", "reason"),
    [("poison:signal", {}, "SIGSEGV"), ("poison:sleep", {"job_timeout_seconds": 8}, "longer than 8 seconds")],
    ids=["a worker that dies", "a worker that never ends"],
)
def test_a_poisonous_model_fails_with_a_report_and_holds_up_nobody(
    tmp_path: Path, packages: Path, pacs: peers.StoreScp, poison: str, compute: dict[str, object], reason: str
) -> None:
    node = prepared(tmp_path, pacs, [packages / "poison", packages / "tiny"], **compute)
    node.launcher, node.env = LAUNCHER, {"POISON": poison}
    sender = scanner(tmp_path / "images")
    with serving.serving(node):
        sender.send(node)
        found = until(
            node,
            lambda now: all(now.get(("deliver", 1, model)) == "done" for model in ("test-poison", "test-lungs")),
            "both answers",
        )
        failed = next(job for job in node.ask("jobs") if job["model_id"] == "test-poison" and job["kind"] == "infer")
        answers = reports(pacs)
    assert found["infer", 1, "test-lungs"] == "done"
    assert failed["state"] == "failed"
    assert reason in failed["reason"]
    saying = [f"{report.SeriesDescription}\n{reading.words(report)}" for report in answers]
    assert any(reason in words and "AI FAILED" in words for words in saying), saying
    assert any("No opacity found" in words or "Absent" in words for words in saying)


@pytest.mark.peer
def test_a_late_image_gives_a_second_revision_that_names_the_first(tmp_path: Path, packages: Path, pacs: peers.StoreScp) -> None:
    node = prepared(tmp_path, pacs, [packages / "tiny"])
    sender = scanner(tmp_path / "images")
    *early, late = sender.images
    with serving.serving(node):
        sender.send(node, early)
        until(node, lambda now: now.get(("deliver", 1, "test-lungs")) == "done", "the first answer")
        first = {str(report.SOPInstanceUID): report for report in reports(pacs)}
        sender.send(node, [late])
        until(node, lambda now: now.get(("deliver", 2, "test-lungs")) == "done", "the second answer")
        second = [report for report in reports(pacs) if report.SOPInstanceUID not in first]
    assert first
    assert len(second) == len(first)
    assert not any(reading.predecessors(report) for report in first.values())
    assert all(reading.predecessors(report) for report in second)
    assert set().union(*map(reading.predecessors, second)) <= set(first)
    before, after = (set().union(*map(reading.tracking_uids, reports)) for reports in (first.values(), second))
    assert before
    assert after == before


@pytest.mark.peer
def test_a_study_the_model_was_not_made_for_is_answered_with_the_reason(
    tmp_path: Path, packages: Path, pacs: peers.StoreScp
) -> None:
    node = prepared(tmp_path, pacs, [packages / "strict"])
    sender = scanner(tmp_path / "images", Series(slices=5))
    with serving.serving(node):
        sender.send(node)
        found = until(node, lambda now: now.get(("deliver", 1, "test-lungs")) == "done", "the answer")
        answers = reports(pacs)
    assert found["infer", 1, "test-lungs"] == "declined"
    assert answers
    for report in answers:
        assert "NOT ANALYSED" in report.SeriesDescription
        assert "No algorithms succeeded" in reading.words(report)
        assert "has 5 slices" in reading.words(report)
        assert "at least 10" in reading.words(report)
    assert not any(file.name.startswith("SEG") for file in pacs.files())


@pytest.mark.peer
def test_the_same_study_sent_twice_changes_nothing(tmp_path: Path, packages: Path, pacs: peers.StoreScp) -> None:
    node = prepared(tmp_path, pacs, [packages / "tiny"])
    sender = scanner(tmp_path / "images")
    with serving.serving(node):
        sender.send(node)
        until(node, lambda now: now.get(("deliver", 1, "test-lungs")) == "done", "the answer")
        before = {file.name: file.read_bytes() for file in pacs.files()}
        sender.acknowledged.clear()
        sender.send(node)
        assert len(sender.acknowledged) == len(sender.images)
        duplicates = node.ask("audit", "list", "--event", "duplicate")
        after = {file.name: file.read_bytes() for file in pacs.files()}
        assert node.ask("show", sender.study_uid)["study"]["revision"] == 1
    assert len(duplicates) == len(sender.images)
    assert after == before


@pytest.mark.peer
def test_three_runs_of_equal_input_are_one_series_of_each_kind_with_equal_bytes(
    tmp_path: Path, packages: Path, pacs: peers.StoreScp
) -> None:
    node = prepared(tmp_path, pacs, [packages / "tiny"])
    sender = scanner(tmp_path / "images")
    seen = []
    with serving.serving(node):
        sender.send(node)
        for run in range(1, 4):
            peers.wait_for(lambda run=run: delivered(node) == run, f"delivery {run}", 90, node.alive)  # type: ignore[misc]
            seen.append({file.name: file.read_bytes() for file in pacs.files()})
            shutil.rmtree(node.data / "results")  # or the stored bytes would be sent without running the model
            (job,) = [job["job_id"] for job in node.ask("jobs") if job["kind"] == "infer"]
            if run < 3:
                node.tell("retry", str(job))
    assert seen[0] == seen[1] == seen[2]
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in pacs.files()]
    series = {(ds.Modality, ds.SeriesNumber): ds.SeriesInstanceUID for ds in headers}
    assert len(series) == len({ds.SeriesInstanceUID for ds in headers}) >= 2


def delivered(node: serving.Node) -> int:
    return sum(job["kind"] == "deliver" and job["state"] == "done" for job in node.ask("jobs"))


@pytest.mark.peer
def test_a_pacs_that_is_down_gets_the_results_when_it_is_back(tmp_path: Path, packages: Path) -> None:
    port = peers.free_port()
    destination = {"name": "pacs", "host": "127.0.0.1", "port": port, "ae_title": "STORESCP"}
    model = {"package": str(packages / "tiny"), "send_to": ["pacs"]}
    node = serving.prepare(tmp_path, models=[model], destinations=[destination], delivery={"max_backoff_seconds": 1})
    sender = scanner(tmp_path / "images")
    with serving.serving(node):
        sender.send(node)
        peers.wait_for(lambda: node.ask("audit", "list", "--event", "retried"), "an attempt in vain", 60, node.alive)
        with peers.storescp(port=port) as pacs:
            until(node, lambda now: now.get(("deliver", 1, "test-lungs")) == "done", "the answer")
            assert reports(pacs)


@pytest.mark.peer
def test_archives_that_refuse_segmentations_or_all_but_images_and_documents_still_show_the_answer(
    tmp_path: Path, packages: Path
) -> None:
    plain, old = ("CTImageStorage", "SecondaryCaptureImageStorage"), ("EncapsulatedPDFStorage",)
    reports_too = ("1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.11.1")
    (tmp_path / "cfg").mkdir()
    with (
        peers.storescp(*peers.only(tmp_path / "cfg", *plain, *reports_too)) as no_seg,
        peers.storescp(*peers.only(tmp_path / "cfg", *old, *plain)) as ancient,
    ):
        targets = [
            serving.pacs(no_seg, "no-seg", outputs=["sr", "seg"]),
            serving.pacs(ancient, "ancient", outputs=["sr", "seg"]),
        ]
        model = {"package": str(packages / "tiny"), "send_to": ["no-seg", "ancient"]}
        node = serving.prepare(tmp_path, models=[model], destinations=targets, compute=SHORT)
        sender = scanner(tmp_path / "images")
        with serving.serving(node):
            sender.send(node)
            peers.wait_for(
                lambda: len(sent := node.ask("audit", "list", "--event", "sent")) == 2 and sent, "both", 90, node.alive
            )
            told = [json.loads(row["details"]) for row in node.ask("audit", "list", "--event", "sent")]
        assert {row["destination"]: row["instead"] for row in told} == {
            "no-seg": {"seg": "gsps"},
            "ancient": {"seg": "sc", "sr": "pdf", "sr-volumetric": "pdf"},
        }
        shown = {name: {pydicom.dcmread(f).Modality for f in pacs.files()} for name, pacs in (("a", no_seg), ("b", ancient))}
    assert shown == {"a": {"SR", "PR"}, "b": {"OT", "DOC"}}
