"""Studies give their space back: when an operator says so, and by themselves while nobody sends."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from db.spool import Spool
from domain.destinations import Destination
from domain.errors import PermanentError, TransientError
from domain.evidence import Evidence, Member, Source
from domain.jobs import JobKind
from domain.moves import StudyState
from node.__main__ import main
from node.config import RetentionSettings
from node.purging import Purging
from node.rerunning import Action
from node.retaining import LOOK, PAUSE, YOUNGEST, Retention
from tests.node.configuration import TEXT, settings
from tests.node.stage import CALLER, GOOD, PICTURE, SEG, SR, STUDY, VOLUMES, AtOnce, Stage
from tests.node.test_rerunning import rerun

Capture = pytest.CaptureFixture[str]
FILES = {artifact.role: artifact.path for artifact in (SR, VOLUMES, SEG, PICTURE)}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A study answered and delivered, with result files; the database lies where node.toml says."""
    (tmp_path / "node.toml").write_text(TEXT.replace("[scp]", f'database = "sqlite:///{tmp_path}/ancilla.db"\n[scp]'))
    stage = Stage(tmp_path)
    stage.settled()
    stage.workers.answer(GOOD)
    stage.turn()
    for path in FILES.values():
        file = tmp_path / "data" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"DICM")
    return stage


@pytest.fixture
def spool(stage: Stage) -> Spool:
    return Spool(stage.folder / "data" / "spool")


@dataclass
class Finds:
    """An archive that is asked by C-FIND: what it ``has``, None when it does not answer."""

    has: set[str] | None
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, destination: Destination, study_uid: str, members: Sequence[Member]) -> set[str]:
        self.asked.append((destination.name, study_uid))
        if self.has is None:
            raise TransientError("pacs took no association for a query")
        return self.has & {member.sop_instance_uid for member in members}


def retention(
    stage: Stage, spool: Spool, days: float = 30, free_gb: float = 0, free: int = 0, archive: Finds | None = None
) -> Retention:
    purging = Purging(stage.store, spool, stage.settings.node.data_dir, archive or Finds(None))
    wanted = replace(stage.settings, retention=RetentionSettings(days, free_gb, "pacs" if archive else ""))
    return Retention(stage.store, spool, purging, wanted, stage.clock, lambda: free, AtOnce())


def promised(stage: Stage, study: str = STUDY) -> None:
    """A modality has asked for the commitment of an image and has its report."""
    member = Member("1.2.840.10008.5.1.4.1.1.2", f"{study}.1.1")
    stage.store.commit(CALLER, Evidence(Source.COMMITMENT, f"{study}.9", "", True, (member,)))
    stage.store.reported(CALLER, f"{study}.9")


def answered(stage: Stage, *studies: str) -> None:
    for study in studies:
        stage.receive(study, f"{study}.1")
        stage.later(31)
        stage.turn()
        stage.workers.answer(GOOD)
        stage.turn()


def states(stage: Stage) -> dict[str, StudyState]:
    return {study.study_uid: study.state for study in stage.store.studies()}


def tell(stage: Stage, *words: str) -> int:
    return main([*words, "-c", str(stage.folder / "node.toml")])


def ask(stage: Stage, capsys: Capture, *words: str, code: int = 0) -> Any:
    assert tell(stage, *words, "--json") == code
    return json.loads(capsys.readouterr().out)


def test_retention_is_off_until_it_is_asked_for(stage: Stage, spool: Spool) -> None:
    assert settings(stage.folder).retention == RetentionSettings(0, 0)
    stage.later(10_000 * 86_400)
    assert not retention(stage, spool, days=0).turn() and states(stage) == {STUDY: StudyState.COMPLETE}


def test_studies_go_one_by_one_when_nobody_touched_them_for_so_long(stage: Stage, spool: Spool) -> None:
    answered(stage, "1.1")
    stage.later(20 * 86_400)
    answered(stage, "1.2")
    keeper = retention(stage, spool)
    assert not keeper.turn()
    stage.later(10 * 86_400)
    assert keeper.turn() and not keeper.turn()
    assert [uid for uid, state in states(stage).items() if state is StudyState.PURGED] == [STUDY]
    stage.later(PAUSE.total_seconds())
    assert keeper.turn()
    assert states(stage) == {STUDY: StudyState.PURGED, "1.1": StudyState.PURGED, "1.2": StudyState.COMPLETE}
    (row, _) = stage.store.audit(event="purged")
    assert row.actor == "node (retention)"


def test_nothing_is_deleted_while_rows_of_images_wait(stage: Stage, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.later(40 * 86_400)
    monkeypatch.setattr(stage.store, "is_behind", lambda: True)
    keeper = retention(stage, spool)
    assert not keeper.turn() and states(stage) == {STUDY: StudyState.COMPLETE}
    monkeypatch.setattr(stage.store, "is_behind", lambda: False)
    assert keeper.turn()


def test_a_study_that_must_stay_holds_up_no_other_and_is_looked_at_again(stage: Stage, spool: Spool) -> None:
    stage.pacs.says = PermanentError("its certificate is not good")
    answered(stage, "1.1")
    stage.pacs.says = 0
    answered(stage, "1.2")
    stage.later(40 * 86_400)
    keeper, went = retention(stage, spool), []
    for _ in range(4):
        went.append(keeper.turn())
        stage.later(PAUSE.total_seconds())
    assert went == [True, True, False, False]
    assert [uid for uid, state in states(stage).items() if state is StudyState.COMPLETE] == ["1.1"]
    failed = next(job for job in stage.deliveries() if job.study_uid == "1.1")
    stage.store.cancel(_revived(stage, failed.job_id), "operator:somebody")
    stage.later(31 * 86_400)
    assert keeper.turn() and states(stage)["1.1"] is StudyState.PURGED


def _revived(stage: Stage, job_id: int) -> int:
    stage.store.revive(job_id, "operator:somebody")
    return job_id


def test_a_disk_that_is_nearly_full_takes_the_oldest_but_nothing_of_the_last_hour(stage: Stage, spool: Spool) -> None:
    keeper = retention(stage, spool, days=0, free_gb=50, free=49_000_000_000)
    assert not keeper.turn()
    stage.later((YOUNGEST + LOOK).total_seconds())
    assert not retention(stage, spool, days=0, free_gb=50, free=51_000_000_000).turn()
    assert keeper.turn() and states(stage) == {STUDY: StudyState.PURGED}


def test_a_disk_that_does_not_delete_is_tried_again_later(stage: Stage, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(packs: object) -> None:
        raise TransientError("the spool cannot be written")

    stage.later(40 * 86_400)
    keeper = retention(stage, spool)
    with monkeypatch.context() as patch:
        patch.setattr(spool, "delete", broken)
        with pytest.raises(TransientError):
            keeper.turn()
        assert not keeper.turn(), "the loop does not stumble over it again at once"
    assert stage.store.leftovers() != []
    stage.later(LOOK.total_seconds())
    keeper = retention(stage, spool)
    keeper.turn()
    assert stage.store.leftovers() == []


def test_status_says_what_is_deleted_by_itself(stage: Stage, capsys: Capture) -> None:
    toml = stage.folder / "node.toml"
    assert tell(stage, "status") == 0 and "nothing by itself; `ancilla purge` does" in capsys.readouterr().out
    toml.write_text(toml.read_text() + "[retention]\ndays = 30\nfree_gb = 50\n")
    assert tell(stage, "status") == 0
    assert "studies untouched for 30 days, the oldest below 50 GB of free space" in capsys.readouterr().out
    assert ask(stage, capsys, "status")["retention"] == {"days": 30, "free_gb": 50, "archive": ""}


def test_result_files_go_except_the_reports(stage: Stage, capsys: Capture) -> None:
    early = stage.folder / "data" / "early" / "studies" / Path(_early(stage)).name
    early.mkdir(parents=True)
    assert tell(stage, "purge", STUDY) == 0
    there = {role for role, path in FILES.items() if (stage.folder / "data" / path).exists()}
    assert there == {"sr", "sr-volumetric"} and not early.exists()
    assert "purged" in capsys.readouterr().out


def _early(stage: Stage) -> Path:
    return Path(stage.workers.order.cache_dir).parent


def test_a_dry_run_says_what_would_go_and_what_stays_and_why(stage: Stage, capsys: Capture) -> None:
    stage.pacs.says = PermanentError("its certificate is not good")
    answered(stage, "1.1")
    told = ask(stage, capsys, "purge", "--dry-run", STUDY, "1.1", "9.9", code=1)
    assert told["dry_run"] and [study["action"] for study in told["studies"]] == ["would go", "kept", "kept"]
    whole, failed, unknown = told["studies"]
    assert (whole["images"], whole["results"], whole["reasons"]) == (3, 2, [])
    assert told["bytes"] == whole["bytes"] == 3 * 100 + 2 * 10  # a pack for each image, two results
    assert [reason["ground"] for reason in failed["reasons"] + unknown["reasons"]] == ["undelivered", "unknown"]
    assert tell(stage, "purge", "--dry-run", "1.1") == 1
    said = capsys.readouterr().out
    assert "kept" in said and "the answer of model-0 was not delivered to pacs (job" in said and "0 of 1 studies would go" in said
    assert states(stage) == {STUDY: StudyState.COMPLETE, "1.1": StudyState.COMPLETE}


def test_an_operator_may_set_a_failed_delivery_aside_and_the_log_says_so(stage: Stage, capsys: Capture) -> None:
    stage.pacs.says = PermanentError("its certificate is not good")
    answered(stage, "1.1")
    assert ask(stage, capsys, "purge", "1.1", code=1)["studies"][0]["action"] == "kept"
    (row,) = ask(stage, capsys, "purge", "1.1", "--even-undelivered")["studies"]
    assert (row["action"], row["set_aside"]) == ("purged", ["undelivered"])
    (told,) = stage.store.audit(event="purged")
    assert json.loads(told.details)["waived"] == ["undelivered"] and told.actor.startswith("operator:")


def test_a_promise_is_set_aside_only_for_studies_that_are_named(stage: Stage, capsys: Capture) -> None:
    promised(stage)
    assert ask(stage, capsys, "purge", STUDY, code=1)["studies"][0]["reasons"][0]["ground"] == "promised"
    assert tell(stage, "purge", "--older-than", "0", "--even-promised") == 2
    assert "name the studies" in capsys.readouterr().err
    assert ask(stage, capsys, "purge", STUDY, "--even-promised")["studies"][0]["action"] == "purged"


def rounds(stage: Stage, keeper: Retention, seconds: float) -> None:
    for _ in range(6):
        keeper.turn()
        stage.later(PAUSE.total_seconds())
    stage.later(seconds)


def test_what_was_promised_stays_until_the_archive_has_every_image(stage: Stage, spool: Spool) -> None:
    promised(stage)
    answered(stage, "1.1")
    stage.later(40 * 86_400)
    archive = Finds({"1.2.3.1.1", "1.2.3.1.2"})
    keeper = retention(stage, spool, archive=archive)
    rounds(stage, keeper, LOOK.total_seconds())
    assert states(stage) == {STUDY: StudyState.COMPLETE, "1.1": StudyState.PURGED}
    archive.has = {"1.2.3.1.1", "1.2.3.1.2", "1.2.3.1.3"}
    rounds(stage, keeper, 86_400)
    assert archive.asked == [("pacs", STUDY)], "only promises are asked about, and once a day"
    rounds(stage, keeper, 0)
    assert states(stage)[STUDY] is StudyState.PURGED and len(archive.asked) == 2
    row = list(stage.store.audit(event="purged"))[-1]
    assert json.loads(row.details)["proof"] == "c-find at pacs"


def test_an_archive_that_does_not_answer_is_asked_once_a_round(stage: Stage, spool: Spool) -> None:
    answered(stage, "1.1")
    for study in (STUDY, "1.1"):
        promised(stage, study)
    stage.later(40 * 86_400)
    archive = Finds(None)
    keeper = retention(stage, spool, archive=archive)
    rounds(stage, keeper, LOOK.total_seconds())
    assert len(archive.asked) == 1
    rounds(stage, keeper, 0)
    assert len(archive.asked) == 2 and set(states(stage).values()) == {StudyState.COMPLETE}


def test_images_that_came_after_the_proof_keep_the_study(stage: Stage, spool: Spool) -> None:
    promised(stage)
    stage.later(40 * 86_400)
    archive = Finds({f"1.2.3.1.{number}" for number in range(1, 4)})
    purging = Purging(stage.store, spool, stage.settings.node.data_dir, archive)
    wanted = replace(stage.settings, retention=RetentionSettings(archive="pacs"))
    proof = purging.proof(STUDY, wanted)
    assert proof is not None and purging.proof("9.9", wanted) is None and purging.proof(STUDY, stage.settings) is None
    stage.receive(images=1, first=9)
    stage.later(31)
    stage.turn()
    stage.workers.answer(GOOD)
    stage.turn()
    with pytest.raises(PermanentError, match="images of it have arrived just now"):
        purging.purge(STUDY, wanted, "node", proof=proof)
    assert purging.proof(STUDY, wanted) is None and states(stage)[STUDY] is StudyState.COMPLETE


def test_all_studies_of_some_age_go_at_once(stage: Stage, capsys: Capture) -> None:
    answered(stage, "1.1", "1.2")  # years before today, by the clock of the stage or after it
    assert tell(stage, "purge", "--older-than", "36500") == 0
    assert "no study is as old as that" in capsys.readouterr().out
    assert tell(stage, "purge") == 2 and tell(stage, "purge", STUDY, "--older-than", "1") == 2
    told = ask(stage, capsys, "purge", "--older-than", "0")
    assert [study["action"] for study in told["studies"]] == ["purged"] * 3
    assert set(states(stage).values()) == {StudyState.PURGED}


def test_a_purged_study_is_shown_and_everything_about_its_images_is_refused(stage: Stage, capsys: Capture) -> None:
    assert tell(stage, "purge", STUDY) == 0
    capsys.readouterr()
    shown = ask(stage, capsys, "show", STUDY)
    assert (shown["study"]["state"], shown["study"]["instances"]) == ("purged", 0)
    assert (shown["purged"]["images"], shown["purged"]["revision"]) == (3, 1) and len(shown["jobs"]) == 2
    assert tell(stage, "show", STUDY) == 0
    said = capsys.readouterr().out
    assert "by operator:" in said and "3 images, 0.0 MB, up to revision 1" in said
    for words in (["rerun", STUDY], ["resend", STUDY], *(["retry", str(job.job_id)] for job in stage.store.jobs())):
        if words[0] == "rerun":
            with pytest.raises(PermanentError, match="were purged on"):
                rerun(stage)
            continue
        assert tell(stage, *words) == 1
        assert f"the images and results of study {STUDY} were purged on" in capsys.readouterr().err
    assert tell(stage, "audit", "verify") == 0


def test_a_late_image_is_judged_alone_and_the_order_says_what_is_gone(stage: Stage) -> None:
    stage.store.purge(STUDY, "operator:somebody")
    stage.receive(images=1, first=9)
    stage.later(31)
    stage.turn()
    order = stage.workers.order
    assert (order.revision, len(order.instances)) == (2, 1)
    assert order.missing == (
        "Analysed incomplete: 3 images of this study had been deleted from this node on 2026-03-01; 1 came since.",
    )
    assert {artifact.role for artifact in order.predecessors} >= {"sr", "seg"}
    stage.workers.answer(GOOD)
    stage.turn()
    with pytest.raises(PermanentError, match="were purged on 2026-03-01"):
        stage.store.revive(min(job.job_id for job in stage.store.jobs()), "operator:somebody")


def test_a_whole_study_sent_again_is_answered_as_a_new_one(stage: Stage) -> None:
    stage.store.purge(STUDY, "operator:somebody")
    stage.receive(time="again")
    stage.later(31)
    stage.turn()
    order = stage.workers.order
    assert (order.revision, len(order.instances), order.missing) == (2, 3, ())
    stage.workers.answer(GOOD)
    stage.turn()
    assert len(stage.pacs.got) == 2


def test_a_study_judged_again_after_it_came_back_gets_a_new_result(stage: Stage) -> None:
    stage.store.purge(STUDY, "operator:somebody")
    stage.receive(time="again", Modality="MR")  # no rule wants it now
    stage.later(31)
    stage.turn()
    assert len(stage.store.jobs(kind=JobKind.INFER)) == 1
    for number in range(1, 4):
        stage.headers[f"1.2.3.1/{number}"].Modality = "CT"  # type: ignore[union-attr]
    (decision,) = rerun(stage)
    assert (decision.action, decision.why) == (Action.ANALYSE, "its former results were purged")


def test_maps_of_deleted_packs_are_given_back(tmp_path: Path) -> None:
    from tests.db.nouns import put

    spool, other = Spool(tmp_path), Spool(tmp_path)
    place, _ = put(spool, b"pixels")
    spool.close("a1")
    spool.view(place)
    other.delete([place.pack])
    assert place.pack in spool._maps
    spool.let_go()
    assert place.pack not in spool._maps
    with pytest.raises(PermanentError, match="cannot be read"):
        spool.view(place)
    other.delete([place.pack])  # once more does no harm
