"""An operator has a study judged again: what is new supersedes, what stands is sent again, the rest is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest

from domain.errors import PermanentError
from domain.instances import Place
from domain.jobs import JobKind, Outcome
from domain.moves import JobState
from node.__main__ import main
from node.app import Node
from node.loaded import Model
from node.orders import Orders
from node.rerunning import Action, Decision, Rerunning
from node.settler import Settler
from tests.ct_series import Series, part10
from tests.inference import small_package
from tests.node.configuration import TEXT, settings
from tests.node.stage import GOOD, STUDY, Stage
from tests.node.test_app import results, running, send, until
from tests.sr_writer.reading import groups, tracking

Capture = pytest.CaptureFixture[str]
WHO = "operator:somebody"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """One study answered and delivered."""
    stage = Stage(tmp_path)
    stage.settled()
    stage.workers.answer(GOOD)
    stage.turn()
    return stage


def rerun(stage: Stage, models: list[Model] | None = None, model_id: str = "", text: str = TEXT) -> list[Decision]:
    found = settings(stage.folder, text)
    known = models or [replace(model, settings=found.models[model.settings.slot]) for model in stage.models]
    settler = Settler(stage.store, lambda place: stage.headers[place.pack], known)
    orders = Orders(stage.store, found, known, "installation")
    return Rerunning(stage.store, settler, orders, known, stage.clock, lambda place: place).rerun(STUDY, model_id, WHO)


def listed(stage: Stage, **changes: Any) -> None:
    """What the worker of the newest order would have left on the disk."""
    order = stage.workers.order
    key = [order.study_uid, order.revision, order.input_digest, order.package_digest, [*order.outputs], order.slot]
    known = {"key": [*key, changes.get("language", order.language), []], "model": {"precision": changes.get("precision", "fp32")}}
    folder = Path(order.out_dir)
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(known))


def test_the_same_images_and_package_give_no_second_result(stage: Stage) -> None:
    before = stage.infer()
    (decision,) = rerun(stage)
    assert (decision.action, decision.job_id) == (Action.SEND, before.job_id)
    stage.turn()
    order = stage.workers.order
    assert (order.job_id, order.revision, order.started_at) == (before.job_id, 1, stage.workers.asked[0][0].started_at)
    stage.workers.answer(GOOD)
    stage.turn()
    assert stage.pacs.got[0] == stage.pacs.got[1] and len(stage.pacs.got) == 2


def test_a_new_package_is_a_new_job_that_names_the_former_result(stage: Stage) -> None:
    (decision,) = rerun(stage, [replace(model, digest="f" * 64) for model in stage.models])
    assert decision.action is Action.ANALYSE and "the package is another one (ffffffffffff" in decision.why
    assert decision.before is not None and decision.before.revision == 1
    stage.turn()
    order = stage.workers.order
    assert (order.revision, order.package_digest) == (2, "f" * 64)
    assert {artifact.role for artifact in order.predecessors} >= {"sr", "seg"}


def test_a_model_that_was_added_since_is_run_and_the_others_answer_stands(stage: Stage) -> None:
    text = TEXT.replace("[[destination]]", '[[model]]\npackage = "model"\nsend_to = ["pacs"]\n[[destination]]', 1)
    two = settings(stage.folder, text).models
    models = [*stage.models, Model(two[1], "model-1", "1.0.0", f"{1:064d}")]
    decisions = {each.model_id: each for each in rerun(stage, models, text=text)}
    assert decisions["model-0"].action is Action.SEND
    assert (decisions["model-1"].action, decisions["model-1"].why) == (Action.ANALYSE, "it was never run on this study")
    jobs = {job.model_id: job for job in stage.store.jobs(kind=JobKind.INFER)}
    assert (jobs["model-0"].revision, jobs["model-1"].revision) == (1, 2)


def test_one_model_alone_can_be_named(stage: Stage) -> None:
    text = TEXT.replace("[[destination]]", '[[model]]\npackage = "model"\nsend_to = ["pacs"]\n[[destination]]', 1)
    two = settings(stage.folder, text).models
    models = [*stage.models, Model(two[1], "model-1", "1.0.0", f"{1:064d}")]
    assert [each.model_id for each in rerun(stage, models, "model-1", text)] == ["model-1"]


def test_a_rule_that_wants_other_series_now_is_followed(stage: Stage) -> None:
    text = TEXT.replace('Modality = "CT"', 'SeriesDescription = "LUNG"')
    stage.receive(series="1.2.3.2", images=2, SeriesDescription="LUNG")
    stage.later(31)
    stage.turn()
    stage.workers.answer(GOOD)
    stage.turn()
    (decision,) = rerun(stage, text=text)
    assert (decision.action, decision.why) == (Action.ANALYSE, "other images are analysed now")
    assert stage.infer().series_uids == ("1.2.3.2",)


def test_results_go_where_the_configuration_sends_them_now(stage: Stage) -> None:
    more = '[[destination]]\nname = "second"\nhost = "127.0.0.1"\nport = 1\nae_title = "B"\n[compute]'
    text = TEXT.replace('["pacs"]', '["pacs", "second"]').replace("[compute]", more)
    (decision,) = rerun(stage, text=text)
    assert decision.action is Action.SEND and stage.infer().destinations == ("pacs", "second")


@pytest.mark.parametrize(
    ("changes", "text", "words"),
    [
        ({"precision": "int8"}, TEXT.replace("workers = 2", 'workers = 2\nprecision = "fp32"'), "runs in FP32 now, then in INT8"),
        ({"language": "de"}, TEXT, "another language"),
    ],
)
def test_an_answer_that_would_differ_now_is_not_sent_under_its_old_uids(
    tmp_path: Path, changes: dict[str, str], text: str, words: str
) -> None:
    stage = Stage(tmp_path)
    stage.settled()
    listed(stage, **changes)
    stage.workers.answer(GOOD)
    stage.turn()
    (decision,) = rerun(stage, text=text)
    assert decision.action is Action.ANALYSE and words in decision.why
    assert stage.infer().revision == 2


def test_a_stored_answer_in_the_same_precision_stands(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.settled()
    listed(stage, precision="fp32")
    stage.workers.answer(GOOD)
    stage.turn()
    (decision,) = rerun(stage, text=TEXT.replace("workers = 2", 'workers = 2\nprecision = "fp32"'))
    assert decision.action is Action.SEND


def test_a_failed_answer_is_superseded_by_a_new_one(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.settled()
    stage.workers.answer(PermanentError("it cannot"))
    stage.turn()
    stage.workers.answer(replace(GOOD, outcome=Outcome.FAILED, reason="it cannot"))
    stage.turn()
    assert stage.infer().state is JobState.FAILED
    (decision,) = rerun(stage)
    assert (decision.action, decision.why) == (Action.ANALYSE, "it failed then")


def test_what_waits_already_is_not_queued_twice(stage: Stage) -> None:
    rerun(stage)
    before = stage.events()
    (decision,) = rerun(stage)
    assert (decision.action, decision.why) == (Action.WAIT, "it is queued already")
    assert decision.job_id == stage.infer().job_id and stage.events() == before


def test_what_no_rule_wants_names_the_clause_and_changes_nothing(stage: Stage) -> None:
    before = stage.events()
    with pytest.raises(PermanentError, match=r"no rule wants study 1\.2\.3: model-0: its rule asks for another BodyPartExamined"):
        rerun(stage, text=TEXT.replace('Modality = "CT"', 'Modality = "CT"\nBodyPartExamined = "CHEST"'))
    with pytest.raises(PermanentError, match="the model lungs is not in the configuration; there are model-0"):
        rerun(stage, model_id="lungs")
    assert stage.events() == before


def test_what_is_known_to_be_missing_is_said_again(stage: Stage) -> None:
    rule = '[[model.requires]]\nSeriesDescription = "THIN"\n[model.when]'
    models = [replace(stage.models[0], settings=_with(stage, rule), digest="f" * 64)]
    rerun(stage, models)
    assert "a required series is missing" in " ".join(stage.infer().missing)


def _with(stage: Stage, rule: str) -> Any:
    return settings(stage.folder, TEXT.replace("[model.when]", rule)).models[0]


def test_images_that_are_gone_are_said_to_be(stage: Stage) -> None:
    def gone(place: Place) -> None:
        raise PermanentError(f"the pack {place.pack} cannot be read")

    settler = Settler(stage.store, lambda place: stage.headers[place.pack], stage.models)
    orders = Orders(stage.store, stage.settings, stage.models, "installation")
    with pytest.raises(PermanentError, match=r"the images of study 1\.2\.3 are gone from this node"):
        Rerunning(stage.store, settler, orders, stage.models, stage.clock, gone).rerun(STUDY, "", WHO)


def test_unknown_studies_and_those_that_still_arrive_are_refused(stage: Stage) -> None:
    settler = Settler(stage.store, lambda place: stage.headers[place.pack], stage.models)
    orders = Orders(stage.store, stage.settings, stage.models, "installation")
    judge = Rerunning(stage.store, settler, orders, stage.models, stage.clock, lambda place: place)
    with pytest.raises(PermanentError, match=r"there is no study 9\.9\.9"):
        judge.rerun("9.9.9", "", WHO)
    stage.receive("4.5.6", "4.5.6.1")
    with pytest.raises(PermanentError, match=r"study 4\.5\.6 is still being received"):
        judge.rerun("4.5.6", "", WHO)


# From here on: the command, a node that runs, a real model.

SERIES = Series(slices=8)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    small_package.build(tmp_path / "tiny")
    text = (
        TEXT.replace('"model"', '"tiny"').replace("quiet_seconds = 30", "quiet_seconds = 0").replace("workers = 2", "workers = 1")
    )
    head, _, tail = text.partition("[[destination]]")
    folder = '[[destination]]\nname = "pacs"\nkind = "folder"\npath = "out"\n'
    (tmp_path / "node.toml").write_text(head + folder + tail[tail.index("[compute]") :])
    return tmp_path / "node.toml"


def ask(toml: Path, capsys: Capture, study: str) -> Any:
    assert main(["rerun", study, "--json", "-c", str(toml)]) == 0
    return json.loads(capsys.readouterr().out)


def idle(node: Node) -> bool:
    return not [job for job in node.store.jobs() if job.state in ("queued", "running")]


def reports(toml: Path) -> dict[str, pydicom.Dataset]:
    found = [pydicom.dcmread(file) for file in results(toml)]
    return {ds.SOPInstanceUID: ds for ds in found if ds.Modality == "SR"}


def test_a_running_node_takes_the_command_up_and_the_new_report_supersedes_the_old(
    toml: Path, tmp_path: Path, capsys: Capture
) -> None:
    files = []
    for number, ds in enumerate(SERIES.datasets()):
        files.append(tmp_path / f"{number}.dcm")
        files[-1].write_bytes(part10(ds))
    study = str(SERIES.datasets()[0].StudyInstanceUID)
    with running(toml) as (node, port):
        send(port, files)
        until(lambda: results(toml) and idle(node))
        first, bytes_before = reports(toml), {file: file.read_bytes() for file in results(toml)}
        (same,) = ask(toml, capsys, study)["models"]
        assert same["action"] == "send"
        until(lambda: idle(node))
        assert {file: file.read_bytes() for file in results(toml)} == bytes_before

        (tmp_path / "tiny").rename(tmp_path / "former")
        small_package.build(tmp_path / "tiny", toml=small_package.TOML.replace('"1.2.3"', '"1.2.4"'))
        assert main(["rerun", study, "-c", str(toml)]) == 1
        assert "has not read this configuration or packages yet" in capsys.readouterr().err
        node.reload()
        (new,) = ask(toml, capsys, study)["models"]
        assert new["action"] == "analyse"
        until(lambda: idle(node) and len(results(toml)) > len(bytes_before))
        second = {uid: ds for uid, ds in reports(toml).items() if uid not in first}
        assert len(second) == len(first)
        for ds in second.values():
            named = ds.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
            assert named.ReferencedSOPInstanceUID in first
        assert _tracked(second) == _tracked(first)
        assert {row.actor.partition(":")[0] for row in node.store.audit(event="rerun")} == {"operator"}
    (again,) = ask(toml, capsys, study)["models"]
    assert (again["action"], again["job"]) == ("send", new["job"])
    assert main(["rerun", study, "-c", str(toml)]) == 0
    assert "The node is stopped" in capsys.readouterr().out
    assert main(["rerun", "9.9", "-c", str(toml)]) == 1
    _retry_must_not_change_results(toml, capsys, str(new["job"]))


def _retry_must_not_change_results(toml: Path, capsys: Capture, job: str) -> None:
    assert main(["cancel", job, "-c", str(toml)]) == 0
    words = toml.read_text()
    toml.write_text(words.replace("[node]\n", '[node]\nlanguage = "de"\n', 1))
    assert main(["retry", job, "-c", str(toml)]) == 1
    assert "reports are written in another language now); `ancilla rerun" in capsys.readouterr().err
    toml.write_text(words)
    assert main(["retry", job, "-c", str(toml)]) == 0


def _tracked(found: dict[str, pydicom.Dataset]) -> set[str]:
    return {tracking(group)[1] for ds in found.values() for group in groups(ds)}
