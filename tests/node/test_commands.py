"""The command line as people and scripts use it: exit codes, one-sentence errors, JSON."""

import csv
import io
import json
import sqlite3
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from db.audit_rows import row_hash
from domain.audit import Event
from domain.instances import Caller
from domain.moves import JobState
from node.__main__ import main
from tests.ct_series import Series, part10
from tests.inference import small_package
from tests.node.configuration import TEXT
from tests.node.stage import GOOD, STUDY, Stage

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages") / "tiny"
    small_package.build(folder)
    return folder


@pytest.fixture
def study_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    folder.mkdir()
    for number, ds in enumerate(Series(slices=8).datasets()):
        (folder / f"{number}.dcm").write_bytes(part10(ds))
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A node that has analysed one study; its database lies where node.toml says."""
    (tmp_path / "node.toml").write_text(TEXT)
    stage = Stage(tmp_path)
    (tmp_path / "data").mkdir()
    stage.settled()
    stage.workers.answer(GOOD)
    stage.inferring.collect()
    stage.store.note(Event.REFUSED, 'CT"01', {"words": "a, b"})
    stage.store.rejected(Caller("EVIL", "ANCILLA", "10.9.9.9"), "calling AE title is unknown")
    (tmp_path / "node.toml").write_text(TEXT.replace("[scp]", f'database = "sqlite:///{tmp_path}/ancilla.db"\n[scp]'))
    return stage


def ask(stage: Stage, capsys: Capture, *words: str) -> Any:
    assert main([*words, "--json", "-c", str(stage.folder / "node.toml")]) == 0
    return json.loads(capsys.readouterr().out)


def tell(stage: Stage, *words: str) -> int:
    return main([*words, "-c", str(stage.folder / "node.toml")])


def test_no_command_and_unknown_options_are_usage_errors(capsys: Capture) -> None:
    for words in ([], ["nothing"], ["jobs", "--state", "lost"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2


def test_init_writes_a_file_once(tmp_path: Path, capsys: Capture) -> None:
    assert main(["init", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / "node.toml").is_file() and (tmp_path / "new" / "ancilla-data").is_dir()
    assert main(["init", str(tmp_path / "new")]) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_wrong_configuration_is_one_sentence_and_exit_code_2(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "node.toml").write_text("[scp]\nprot = 1\n")
    for command in ("serve", "check", "status", "jobs"):
        assert main([command, "-c", str(tmp_path / "node.toml")]) == 2
        assert capsys.readouterr().err == 'ancilla: unknown key scp.prot; did you mean "port"?\n'


def test_a_node_that_never_ran_is_said_to(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "node.toml").write_text("")
    assert main(["studies", "-c", str(tmp_path / "node.toml")]) == 2
    assert "has this node ever run?" in capsys.readouterr().err


def test_status_counts_and_names_rejected_callers(stage: Stage, capsys: Capture) -> None:
    status = ask(stage, capsys, "status")
    assert status["running"] is False
    assert status["studies"] == {"complete": 1}
    assert status["jobs"] == {"deliver queued": 1, "infer done": 1}
    assert status["strangers"][0]["caller"]["calling_ae"] == "EVIL"
    assert tell(stage, "status") == 0
    out = capsys.readouterr().out
    assert "stopped" in out and "1 complete" in out and "EVIL" in out


def test_status_says_how_far_the_repository_is_behind_and_why(stage: Stage, capsys: Capture) -> None:
    assert ask(stage, capsys, "status")["audit"]["syslog"] == ""
    text = (stage.folder / "node.toml").read_text()
    (stage.folder / "node.toml").write_text(text + '[audit]\nsyslog = "tls://log.example:6514"\n')
    rows = stage.store.head()[0]
    found = ask(stage, capsys, "status")["audit"]
    assert (found["syslog"], found["seq"], found["behind"], found["words"]) == ("tls://log.example:6514", 0, rows, "")
    assert stage.store.forwarded_to(rows - 1, before=0)
    stage.store.not_forwarded("its name is not known")
    assert tell(stage, "status") == 0
    out = capsys.readouterr().out
    assert "to tls://log.example:6514, 1 row to send; not since" in out and "its name is not known" in out


def test_rows_are_sent_again_from_a_number_that_is_there(stage: Stage, capsys: Capture) -> None:
    assert tell(stage, "audit", "resend", "2") == 0
    assert "rows from 3 on will be sent once audit.syslog is set" in capsys.readouterr().out
    text = (stage.folder / "node.toml").read_text()
    (stage.folder / "node.toml").write_text(text + '[audit]\nsyslog = "tls://log.example:6514"\n')
    rows = stage.store.head()[0]
    assert tell(stage, "audit", "resend", str(rows + 1)) == 2
    assert f"from 0 to {rows}" in capsys.readouterr().err
    assert tell(stage, "audit", "resend", "3") == 0
    assert stage.store.forwarded().seq == 3
    assert stage.store.newest(1)[0].event == "audit-resent"


def test_studies_jobs_and_show_agree(stage: Stage, capsys: Capture) -> None:
    (study,) = ask(stage, capsys, "studies")
    assert (study["study_uid"], study["instances"]) == (STUDY, 3)
    jobs = ask(stage, capsys, "jobs")
    assert [job["kind"] for job in jobs] == ["deliver", "infer"]
    assert [job["kind"] for job in ask(stage, capsys, "jobs", "--state", "done")] == ["infer"]
    shown = ask(stage, capsys, "show", STUDY)
    assert shown["jobs"] == jobs and shown["study"] == study
    infer = next(job for job in jobs if job["kind"] == "infer")
    assert infer["timings"] == {"infer": 1.5} and infer["outcome"] == "negative"
    assert [artifact["role"] for artifact in shown["artifacts"][str(infer["job_id"])]] == [
        "seg",
        "sr",
        "sr-volumetric",
        "overlay",
    ]
    for words in (["studies"], ["jobs"], ["show", STUDY]):
        assert tell(stage, *words) == 0
        assert STUDY in capsys.readouterr().out


def test_a_study_that_no_rule_wanted_is_shown_with_the_clause_that_failed(stage: Stage, capsys: Capture) -> None:
    stage.receive("4.5.6", "4.5.6.1", Modality="MR")
    assert tell(stage, "show", "4.5.6") == 0
    assert "no jobs: the study is not complete yet" in capsys.readouterr().out
    stage.later(31)
    stage.turn()
    assert tell(stage, "show", "4.5.6") == 0
    assert "no jobs: no rule wanted this study; model-0: its rule asks for another Modality" in capsys.readouterr().out


def test_a_study_that_is_not_there_is_an_error(stage: Stage, capsys: Capture) -> None:
    assert tell(stage, "show", "9.9.9") == 1
    assert "there is no study 9.9.9" in capsys.readouterr().err


def test_retry_and_cancel_are_moves_with_an_audit_row(stage: Stage, capsys: Capture) -> None:
    (delivery,) = stage.deliveries()
    assert tell(stage, "cancel", str(delivery.job_id)) == 0
    assert stage.deliveries()[0].state == "cancelled"
    assert tell(stage, "retry", str(delivery.job_id)) == 0
    assert stage.deliveries()[0].state == "queued"
    rows = [row for row in stage.store.audit() if row.event in ("cancelled", "revived")]
    assert [row.event for row in rows] == ["cancelled", "revived"]
    assert all(row.actor.startswith("operator:") for row in rows)


def test_what_cannot_be_retried_is_said_in_one_sentence(stage: Stage, capsys: Capture) -> None:
    (delivery,) = stage.deliveries()
    assert tell(stage, "retry", str(delivery.job_id)) == 1
    assert tell(stage, "retry", "4711") == 1
    err = capsys.readouterr().err
    assert "it cannot revive" in err and "there is no job 4711" in err


def test_the_audit_log_is_listed_newest_last_and_filtered(stage: Stage, capsys: Capture) -> None:
    rows = ask(stage, capsys, "audit", "list")
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert ask(stage, capsys, "audit", "list", "--limit", "2") == rows[-2:]
    assert {row["event"] for row in ask(stage, capsys, "audit", "list", "--event", "stored")} == {"stored"}
    assert all(row["study_uid"] == STUDY for row in ask(stage, capsys, "audit", "list", "--study", STUDY))


def test_the_audit_log_can_be_exported_and_read_by_other_programs(stage: Stage, capsys: Capture) -> None:
    rows = ask(stage, capsys, "audit", "list", "--limit", "1000")
    assert tell(stage, "audit", "export") == 0
    exported = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert exported[:-1] == rows
    assert (exported[-1]["event"], exported[-1]["actor"].partition(":")[0]) == ("audit-read", "operator")
    file = stage.folder / "audit.csv"
    assert tell(stage, "audit", "export", "--format", "csv", "--out", str(file)) == 0
    table = list(csv.DictReader(io.StringIO(file.read_text())))
    assert [row["details"] for row in table[:-1]] == [row["details"] for row in exported]
    assert [row["hash"] for row in table[:-1]] == [row["hash"] for row in exported]


def test_an_exported_log_can_be_proven_without_the_database(stage: Stage, capsys: Capture) -> None:
    assert tell(stage, "audit", "export") == 0
    last, began = "0" * 64, datetime(1970, 1, 1, tzinfo=UTC)
    for row in map(json.loads, capsys.readouterr().out.splitlines()):
        micros = (datetime.fromisoformat(row["at"]) - began) // timedelta(microseconds=1)
        named = ("event", "study_uid", "job_id", "actor", "details")
        last = row_hash(last, row["seq"], micros, *(row[name] for name in named))
        assert last == row["hash"]


def test_a_misspelt_event_and_a_limit_without_sense_are_said(stage: Stage, capsys: Capture) -> None:
    assert tell(stage, "audit", "list", "--event", "stoerd") == 2
    assert 'there is no event "stoerd"; did you mean "stored"' in capsys.readouterr().err
    assert tell(stage, "audit", "list", "--event", "purged") == 0
    assert "no rows" in capsys.readouterr().out
    assert tell(stage, "audit", "list", "--limit", "0") == 2


def test_a_touched_audit_log_is_found_and_named(stage: Stage, capsys: Capture) -> None:
    assert ask(stage, capsys, "audit", "verify")["broken_seq"] is None
    with sqlite3.connect(stage.folder / "ancilla.db") as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute("UPDATE audit SET actor = 'nobody' WHERE seq = 3")
    database.close()
    assert tell(stage, "audit", "verify") == 1
    assert "row 3" in capsys.readouterr().out


def test_run_writes_results_without_a_network_or_a_database(
    tmp_path: Path, package: Path, study_dir: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    words = ["run", "--model", str(package), "--out", str(out), str(study_dir)]
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["skipped_files"] == 1
    (result,) = said["results"]
    assert result["images"] == 8 and result["outcome"] in ("positive", "negative")
    files = {path.name: path.read_bytes() for path in Path(result["folder"]).iterdir()}
    assert {"sr.dcm", "seg.dcm", "result.json"} <= set(files)
    assert main(words) == 0
    assert {path.name: path.read_bytes() for path in Path(result["folder"]).iterdir()} == files
    assert {path.name for path in out.iterdir()} == {result["study_uid"]}


def test_run_on_a_folder_without_images_is_an_error(tmp_path: Path, package: Path, capsys: Capture) -> None:
    (tmp_path / "readme.txt").write_text("nothing")
    assert main(["run", "--model", str(package), "--out", str(tmp_path / "out"), str(tmp_path / "readme.txt")]) == 1
    assert "there is no DICOM file" in capsys.readouterr().err


def test_destinations_say_what_they_take_and_resend_asks_anew(stage: Stage, capsys: Capture) -> None:
    stage.pacs.refuses = {"seg.dcm": 0x0122}
    stage.turn()
    (row,) = ask(stage, capsys, "destinations")
    assert (row["name"], row["profile"], row["outputs"]) == ("pacs", "generic", ["sr", "seg"])
    assert row["takes"] == ["1.2.840.10008.5.1.4.1.1.88.34"] and row["refuses"] == ["1.2.840.10008.5.1.4.1.1.66.4"]
    assert tell(stage, "destinations") == 0
    assert "Comprehensive 3D SR Storage" in capsys.readouterr().out
    assert tell(stage, "resend", STUDY, "--to", "pacs") == 0
    assert "1 deliveries are queued again" in capsys.readouterr().out
    assert stage.store.acceptances("pacs") == [] and "forgotten" in stage.events()
    assert stage.deliveries()[0].state is JobState.QUEUED
    assert tell(stage, "resend", STUDY) == 0 and "on its way already" in capsys.readouterr().out
    assert tell(stage, "resend", "9.9.9") == 1
    assert "was ever to be sent" in capsys.readouterr().err


def test_run_refuses_outputs_that_do_not_exist(tmp_path: Path, package: Path, study_dir: Path, capsys: Capture) -> None:
    assert main(["run", "--model", str(package), "--outputs", "sr,gif", "--out", str(tmp_path / "out"), str(study_dir)]) == 2
    assert "--outputs" in capsys.readouterr().err


def test_an_unknown_model_is_named_with_what_there_is(tmp_path: Path, study_dir: Path, capsys: Capture) -> None:
    assert main(["run", "--model", "chest-ct-opazity", "--out", str(tmp_path / "out"), str(study_dir)]) == 2
    assert '"chest-ct-opazity" is neither a folder' in capsys.readouterr().err


def test_models_are_shown_and_verified(package: Path, capsys: Capture) -> None:
    assert main(["models", "show", str(package), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == "test-lungs"
    assert main(["models", "verify", str(package), "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)
    assert len(checks) >= 2 and all(check["good"] for check in checks)


def test_a_changed_package_does_not_verify(tmp_path: Path, capsys: Capture) -> None:
    small_package.build(tmp_path / "tiny")
    (tmp_path / "tiny" / "MODEL_CARD.md").write_text("better than ever")
    assert main(["models", "verify", str(tmp_path / "tiny")]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_check_says_what_will_not_work(tmp_path: Path, package: Path, capsys: Capture) -> None:
    text = TEXT.replace('"model"', json.dumps(str(package))).replace("port = 4242", "port = 1\ntimeout_seconds = 1")
    (tmp_path / "node.toml").write_text(text + '[audit]\nsyslog = "tls://127.0.0.1:1"\n')
    assert main(["check", "--json", "-c", str(tmp_path / "node.toml")]) == 1
    said = json.loads(capsys.readouterr().out)
    assert [check["name"] for check in said["checks"] if not check["good"]] == ["destination pacs", "audit"]
    assert any(check["name"] == "golden test-lungs" and "runs in" in check["words"] for check in said["checks"])
    assert said["settings"]["scp"]["ae_title"] == "ANCILLA"
    assert main(["check", "--no-golden", "-c", str(tmp_path / "node.toml")]) == 1
    out = capsys.readouterr().out
    assert "scp.max_associations" in out and "golden" not in out


def test_the_demonstration_shows_the_main_job_and_may_be_repeated(
    tmp_path: Path, package: Path, study_dir: Path, capsys: Capture
) -> None:
    out = tmp_path / "demo"
    for _ in range(2):
        assert main(["demo", str(study_dir), "--model", str(package), "--out", str(out)]) == 0
    assert "8 images in 1 series" in capsys.readouterr().out
    assert {"sr.dcm", "seg.dcm", "audit.jsonl", "node.toml", "node.log"} <= {path.name for path in out.iterdir()}
    events = [json.loads(line)["event"] for line in (out / "audit.jsonl").read_text().splitlines()]
    assert events.count("stored") == 8 and events[-1] == "sent"


def test_a_demonstration_without_its_sample_says_what_to_do(
    tmp_path: Path, package: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.demo.SAMPLES", tmp_path / "absent")
    assert main(["demo", "--model", str(package), "--out", str(tmp_path / "demo")]) == 1
    assert "name a folder: ancilla demo STUDY_DIR" in capsys.readouterr().err


def test_the_demonstration_takes_its_sample_from_an_archive(
    tmp_path: Path, package: Path, study_dir: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / f"{package.name.removesuffix('.zip')}.zip", "w") as archive:
        for file in study_dir.iterdir():
            archive.write(file, f"any/{file.name}")
    monkeypatch.setattr("node.demo.SAMPLES", tmp_path)
    code = main(["demo", "--model", str(package), "--out", str(tmp_path / "demo")])
    assert {"sr.dcm", "seg.dcm"} <= {path.name for path in (tmp_path / "demo").iterdir()}
    pictured = (tmp_path / "demo" / "overlay.png").is_file()
    assert code == (0 if pictured else 1)
    assert ("the sample study gave no overlay" in capsys.readouterr().err) is not pictured


def test_the_demonstration_leaves_other_peoples_folders_alone(tmp_path: Path, study_dir: Path, capsys: Capture) -> None:
    assert main(["demo", "--out", str(study_dir)]) == 2
    assert "was not made by `ancilla demo`" in capsys.readouterr().err
    assert len(list(study_dir.iterdir())) == 9


def test_a_study_that_does_not_suit_is_answered_in_the_demonstration(tmp_path: Path, package: Path, capsys: Capture) -> None:
    folder = tmp_path / "thin"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(part10(Series(slices=1).datasets()[0]))
    assert main(["demo", str(folder), "--model", str(package), "--out", str(tmp_path / "demo")]) == 0
    assert "not-analysed" in capsys.readouterr().out
    assert (tmp_path / "demo" / "sr.dcm").is_file() and not (tmp_path / "demo" / "seg.dcm").exists()
