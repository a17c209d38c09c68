"""A study is complete when the evidence says so: what the modality listed, and what it asks a commitment for."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests import peers, serving
from tests.ct_series import Series, part10
from tests.flow import reading
from tests.flow.modality import Step
from tests.flow.scanner import scanner
from tests.flow.test_answers import reports, until

LONG = {"quiet_seconds": 600, "max_wait_seconds": 1200}  # whatever happens soon, happens by evidence


def study(node: serving.Node, uid: str) -> Any:
    return node.ask("show", uid)


def settled_by(node: serving.Node) -> list[str]:
    return [json.loads(row["details"])["by"] for row in node.ask("audit", "list", "--event", "settled")]


@pytest.mark.peer
def test_with_299_of_300_images_it_waits_names_the_missing_one_and_completes_when_it_comes(
    tmp_path: Path, packages: Path
) -> None:
    with peers.storescp() as pacs:
        model = {"package": str(packages / "tiny"), "send_to": ["pacs"]}
        node = serving.prepare(tmp_path, models=[model], destinations=[serving.pacs(pacs)], study=LONG)
        sender = scanner(tmp_path / "images", Series(slices=300, size=16, spacing=(1.0, 20.0, 20.0)))
        *others, last = sender.images
        left_out = others.pop(150)
        series = str(Series().datasets()[0].SeriesInstanceUID)
        with serving.serving(node):
            step = Step(node, sender.study_uid)
            step.begin()
            sender.send(node, [*others, last])
            assert study(node, sender.study_uid)["completeness"]["waiting_for"] == ["the end of the procedure step"]
            step.end(series, list(sender.images))
            waiting = study(node, sender.study_uid)
            assert waiting["study"]["state"] == "receiving"
            assert waiting["completeness"]["waiting_for"] == ["1 of 300 listed (mpps)"]
            assert waiting["completeness"]["standing"]["statements"][0]["first_missing"] == [left_out]
            sender.send(node, [left_out])
            until(node, lambda now: now.get(("infer", 1, "test-lungs")) in ("done", "declined"), "the answer")
            assert settled_by(node) == ["mpps"]
            print(f"last image to complete: {since_last_image(node):.3f} s")


def since_last_image(node: serving.Node) -> float:
    """Seconds between the last stored image and the study being complete, by the audit log."""
    stored, settled = (node.ask("audit", "list", "--event", event)[-1]["at"] for event in ("stored", "settled"))
    return (datetime.fromisoformat(settled) - datetime.fromisoformat(stored)).total_seconds()


@pytest.mark.peer
def test_what_is_missing_at_the_deadline_stands_in_the_report_and_the_image_supersedes_it(tmp_path: Path, packages: Path) -> None:
    with peers.storescp() as pacs:
        model = {"package": str(packages / "tiny"), "send_to": ["pacs"]}
        waits = {"quiet_seconds": 1, "max_wait_seconds": 3}
        node = serving.prepare(tmp_path, models=[model], destinations=[serving.pacs(pacs)], study=waits)
        sender = scanner(tmp_path / "images")
        *early, late = sender.images
        with serving.serving(node):
            step = Step(node, sender.study_uid)
            step.begin()
            step.end("1.2.3", list(sender.images))
            sender.send(node, early)
            until(node, lambda now: now.get(("deliver", 1, "test-lungs")) == "done", "the first answer")
            first = reports(pacs)
            sender.send(node, [late])
            until(node, lambda now: now.get(("deliver", 2, "test-lungs")) == "done", "the second answer")
            second = [one for one in reports(pacs) if one.SOPInstanceUID not in {old.SOPInstanceUID for old in first}]
            assert settled_by(node) == ["deadline", "mpps"]
    words = "1 of 24 images listed by the modality (MPPS) is missing"
    assert first and all(words in reading.words(report) for report in first)
    assert second and not any(words in reading.words(report) for report in second)
    assert all(reading.predecessors(report) for report in second)


@pytest.mark.peer
def test_orthanc_sends_a_study_asks_for_its_commitment_and_gets_it(tmp_path: Path, packages: Path) -> None:
    images = Series().datasets()
    node = serving.prepare(
        tmp_path,
        models=[{"package": str(packages / "tiny"), "send_to": ["out"]}],
        destinations=[{"name": "out", "kind": "folder", "path": str(tmp_path / "out")}],
        study=LONG,
    )
    modalities = {"node": ["ANCILLA", "127.0.0.1", node.port]}
    extra = {"DicomModalities": modalities, "DicomAet": serving.CALLER}
    with peers.orthanc(extra=extra) as orthanc:
        listens = f'ae_title = "{serving.CALLER}"\nport = {orthanc.port}'
        node.toml.write_text(node.toml.read_text().replace(f'ae_title = "{serving.CALLER}"', listens))
        sent = [orthanc.post("/instances", part10(image))["ID"] for image in images]
        with serving.serving(node):
            body = json.dumps({"Resources": sent, "StorageCommitment": True}).encode()
            transaction = orthanc.post("/modalities/node/store", body)["StorageCommitmentTransactionUID"]
            report = f"/storage-commitment/{transaction}"
            peers.wait_for(lambda: orthanc.json(report)["Status"] != "Pending", "the report", 30, node.alive)
            told = orthanc.json(report)
            assert (told["Status"], told["RemoteAET"]) == ("Success", "ANCILLA")
            assert len(told["Success"]) == len(images) and not told["Failures"]
            until(node, lambda now: now.get(("infer", 1, "test-lungs")) == "done", "the answer")
            assert settled_by(node) == ["storage-commitment"]
            until(node, lambda now: now.get(("deliver", 1, "test-lungs")) == "done", "the delivery")
            purges_what_orthanc_has(node, orthanc, str(images[0].StudyInstanceUID))


def purges_what_orthanc_has(node: serving.Node, orthanc: peers.Orthanc, study_uid: str) -> None:
    """The node has promised to keep the images: they go only when an archive has them."""
    (kept,) = node.ask("purge", "--older-than", "0")["studies"]
    assert (kept["action"], [reason["ground"] for reason in kept["reasons"]]) == ("kept", ["promised"])
    more = serving.toml(
        {"destination": [serving.pacs(orthanc, "orthanc", ae_title=serving.CALLER)], "retention": {"archive": "orthanc"}}
    )
    node.toml.write_text(node.toml.read_text() + more)
    (gone,) = node.ask("purge", study_uid)["studies"]
    assert (gone["action"], gone["archive"]) == ("purged", "c-find at orthanc")
