"""A model in shadow on a whole runner: it answers, nothing leaves, nobody waits for it; switching it is an operator's move."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from domain.audit import Event
from domain.errors import ConfigurationError, PermanentError
from domain.jobs import Answer, Job, JobKind, Outcome, Priority
from domain.moves import JobState
from node.__main__ import main
from node.beside import agreement, pairs
from node.checks import checks
from node.config import Settings
from node.loaded import Model, in_shadow, load_models
from node.orders import Orders
from node.rerunning import Action, Decision, Rerunning
from node.settler import Settler
from tests.inference import small_package
from tests.node.configuration import TEXT, settings
from tests.node.stage import GOOD, SEG, SR, STUDY, Stage

Capture = pytest.CaptureFixture[str]
WHO = "operator:somebody"
SHADOW = TEXT.replace('send_to = ["pacs"]', 'send_to = ["pacs"]\nshadow = true')
NEXT = '[[model]]\npackage = "model"\nsend_to = ["pacs"]\nshadow = true\nwhen.Modality = "CT"\n[[destination]]'
BESIDE = TEXT.replace("[[destination]]", NEXT, 1)  # a live version and the next one in shadow
FOUND = Answer(Outcome.POSITIVE, "=One opacity.", (SEG, SR), timings={"infer": 2.5, "cached_slices": 30})


def versions(found: Settings) -> list[Model]:
    """Every [[model]] is another version of one package."""
    return [Model(model, "lungs", f"1.{model.slot}.0", str(model.slot) * 64) for model in found.models]


def staged(folder: Path, text: str) -> Stage:
    stage = Stage(folder, text)
    stage.models[:] = versions(stage.settings)
    stage.delivering.shadows = in_shadow(stage.models)
    return stage


def answered(stage: Stage, *answers: Answer, **header: object) -> Stage:
    """One study; the live model is asked first."""
    stage.receive(**header)  # type: ignore[arg-type]
    stage.later(31)
    stage.turn()
    for given in answers:
        order = next(order for order, future in stage.workers.asked if not future.done())
        next(future for asked, future in stage.workers.asked if asked is order).set_result(given)
        stage.turn()
    return stage


def rerun(stage: Stage, text: str, only: slice = slice(None), shadow: bool = False) -> list[Decision]:
    """By the models of ``text``, or some ``only`` of them."""
    found = settings(stage.folder, text)
    known = versions(found)[only]
    settler = Settler(stage.store, lambda place: stage.headers[place.pack], known)
    orders = Orders(stage.store, found, known, "installation")
    return Rerunning(stage.store, settler, orders, known, stage.clock, lambda place: place).rerun(STUDY, "", WHO, shadow)


def infers(stage: Stage) -> list[Job]:
    return stage.store.jobs(kind=JobKind.INFER)[::-1]


def test_a_model_in_shadow_answers_and_nothing_leaves(tmp_path: Path) -> None:
    stage = answered(staged(tmp_path, SHADOW), GOOD)
    (job,) = infers(stage)
    assert (job.state, job.outcome, job.shadow, job.priority) == (JobState.DONE, Outcome.NEGATIVE, True, Priority.LOW)
    assert stage.deliveries() == [] and stage.pacs.got == [] and "withheld" in stage.events()
    assert {"sr", "seg"} <= set(stage.workers.order.outputs)  # what its destinations would get


def test_neither_does_a_report_of_failure(tmp_path: Path) -> None:
    stage = staged(tmp_path, SHADOW)
    answered(stage, Answer(Outcome.FAILED, "The model failed.", (SR,), "it died"))
    assert infers(stage)[0].state is JobState.FAILED
    assert stage.deliveries() == [] and stage.pacs.got == []


def test_two_versions_run_side_by_side_and_the_live_one_alone_is_sent(tmp_path: Path) -> None:
    stage = answered(staged(tmp_path, BESIDE), GOOD, FOUND)
    live, shadow = infers(stage)
    assert [(job.model_id, job.shadow, job.package_digest[-1]) for job in (live, shadow)] == [
        ("lungs", False, "0"),
        ("lungs", True, "1"),
    ]
    assert [delivery.parent_id for delivery in stage.deliveries()] == [live.job_id]
    first, second = (order for order, _ in stage.workers.asked)
    assert first.out_dir != second.out_dir and first.outputs == second.outputs


def test_a_stored_answer_stays_in_shadow_until_its_model_is_live_and_leaves_then(tmp_path: Path) -> None:
    stage = answered(staged(tmp_path, SHADOW), GOOD)
    (kept,) = rerun(stage, SHADOW)
    assert (kept.action, kept.job_id, kept.shadow) == (Action.KEEP, infers(stage)[0].job_id, True)
    assert "is kept here (shadow)" in kept.why and Event.RERUN not in stage.events()
    (sent,) = rerun(stage, TEXT)
    assert sent.action is Action.SEND and "was kept in shadow and is sent now" in sent.why
    stage.delivering.shadows = frozenset()
    stage.turn()
    assert stage.workers.order == replace(stage.workers.asked[0][0], token=2)  # so its worker finds the stored bytes
    stage.workers.answer(GOOD)
    stage.turn()
    (job,) = infers(stage)
    assert (job.shadow, job.revision, job.priority) == (False, 1, Priority.ROUTINE)
    assert [name for name, _ in stage.pacs.got] == ["pacs"]


def test_where_a_live_answer_stands_the_new_version_names_it(tmp_path: Path) -> None:
    stage = answered(staged(tmp_path, BESIDE), GOOD, FOUND)
    (decision,) = rerun(stage, BESIDE.replace("shadow = true", "shadow = false"), slice(1, None))
    assert decision.action is Action.ANALYSE and "the package is another one" in decision.why
    live = infers(stage)[-1]
    assert (live.revision, live.shadow) == (2, False)
    assert {artifact.role for artifact in stage.store.predecessors(live)} >= {"sr", "seg"}


def test_a_version_in_shadow_can_be_tried_on_studies_that_are_here_and_nothing_is_sent_again(tmp_path: Path) -> None:
    stage = answered(staged(tmp_path, TEXT), GOOD)
    assert len(stage.pacs.got) == 1
    (decision,) = rerun(stage, BESIDE, shadow=True)
    assert (decision.name, decision.action) == ("lungs (shadow)", Action.ANALYSE)
    stage.models[:] = versions(settings(tmp_path, BESIDE))
    stage.turn()
    stage.workers.answer(FOUND)
    stage.turn()
    assert [job.outcome for job in infers(stage)] == [Outcome.NEGATIVE, Outcome.POSITIVE]
    assert len(stage.pacs.got) == 1
    assert {each.name: each.action for each in rerun(stage, BESIDE)} == {"lungs": Action.SEND, "lungs (shadow)": Action.KEEP}
    with pytest.raises(PermanentError, match="a model in shadow is not in the configuration; there are lungs"):
        rerun(stage, TEXT, shadow=True)


def test_a_job_in_shadow_that_waits_is_not_done_twice_when_its_model_is_live(tmp_path: Path) -> None:
    stage = staged(tmp_path, SHADOW)
    answered(stage)
    (decision,) = rerun(stage, TEXT)
    assert decision.action is Action.ANALYSE
    assert [(job.shadow, job.state) for job in infers(stage)] == [(True, JobState.CANCELLED), (False, JobState.QUEUED)]


def test_what_waits_to_be_sent_does_not_leave_once_its_model_is_in_shadow(tmp_path: Path) -> None:
    stage = answered(staged(tmp_path, TEXT))
    stage.delivering.shadows = frozenset({"0" * 64})
    stage.workers.answer(GOOD)
    stage.turn()
    (delivery,) = stage.deliveries()
    assert (delivery.state, delivery.reason) == (JobState.CANCELLED, "its model runs in shadow now")
    stage.store.revive(delivery.job_id, WHO)
    stage.turn()
    assert stage.deliveries()[0].state is JobState.CANCELLED and stage.pacs.got == []
    assert stage.events().count("withheld") == 2


def test_a_live_answer_does_not_wait_for_a_series_that_only_the_shadow_asks_for(tmp_path: Path) -> None:
    asks = 'shadow = true\nrequires = [{ SeriesDescription = "FLAIR" }]'
    stage = staged(tmp_path, BESIDE.replace("shadow = true", asks))
    stage.settler._clock, stage.settler._plane = stage.clock, lambda place: None
    answered(stage, GOOD)
    live, shadow = infers(stage)
    assert live.missing == () and live.state is JobState.DONE
    assert shadow.missing == ("Analysed incomplete: a required series is missing (requires[1] of lungs: SeriesDescription).",)
    (tmp_path / "alone").mkdir()
    alone = staged(tmp_path / "alone", TEXT.replace('send_to = ["pacs"]', f'send_to = ["pacs"]\n{asks}'))
    alone.settler._clock, alone.settler._plane = alone.clock, lambda place: None
    alone.receive()
    alone.later(31)
    alone.turn()
    assert "held" in alone.events()  # as it would be if the model were live


def test_a_package_that_is_not_tried_yet_holds_up_no_other_version_of_itself(tmp_path: Path) -> None:
    stage = staged(tmp_path, BESIDE)

    class Gate:
        running = 0

        def pending(self) -> frozenset[str]:
            return frozenset({"1" * 64})

    stage.inferring._gate = Gate()
    answered(stage)
    assert [(job.shadow, job.state) for job in infers(stage)] == [(False, JobState.RUNNING), (True, JobState.QUEUED)]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("packages")
    small_package.build(root / "one")
    small_package.build(root / "two", toml=small_package.TOML.replace('version = "1.2.3"', 'version = "1.3.0"'))
    return root


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ([("one", False), ("two", True)], ""),
        ([("one", False), ("two", False)], r'model\[2\].package: the model "test-lungs" is configured twice; use one'),
        ([("one", True), ("two", True)], r"\(shadow\)\" is configured twice; one version of it at a time"),
        ([("one", False), ("one", True)], 'the same package of "test-lungs" is configured live and in shadow'),
    ],
)
def test_two_versions_may_be_configured_when_one_is_in_shadow(
    tmp_path: Path, packages: Path, blocks: list[tuple[str, bool]], words: str
) -> None:
    models = [
        f'[[model]]\npackage = "{packages / name}"\nsend_to = ["pacs"]\nshadow = {str(shadow).lower()}\n'
        for name, shadow in blocks
    ]
    start, end = TEXT.index("[[model]]"), TEXT.index("[[destination]]")
    found = settings(tmp_path, TEXT[:start] + "".join(models) + TEXT[end:])
    if words:
        with pytest.raises(ConfigurationError, match=words):
            load_models(found)
    else:
        assert [model.name for model in load_models(found)] == ["test-lungs", "test-lungs (shadow)"]


@pytest.fixture
def told(tmp_path: Path) -> Stage:
    """A node with one study answered by both, and one that only the shadow answered."""
    stage = answered(staged(tmp_path, BESIDE), GOOD, FOUND)
    order = stage.workers.order
    folder = Path(order.out_dir)
    folder.mkdir(parents=True)
    measured = [{"name": "Volume", "value": 12.5, "unit": "ml"}]
    (folder / "result.json").write_text(json.dumps({"findings": [{"tracking_id": "opacity-1", "measurements": measured}]}))
    stage.store.note(Event.NODE_STARTED, "node", {"models": {model.name: model.digest for model in stage.models}})
    text = BESIDE.replace("[scp]", f'database = "sqlite:///{tmp_path}/ancilla.db"\n[scp]')
    (tmp_path / "node.toml").write_text(text)
    return stage


def ask(stage: Stage, capsys: Capture, *words: str) -> Any:
    return json.loads(tell(stage, capsys, *words, "--json"))


def tell(stage: Stage, capsys: Capture, *words: str) -> str:
    assert main([*words, "-c", str(stage.folder / "node.toml")]) == 0
    return capsys.readouterr().out


def test_the_two_answers_are_listed_beside_each_other(told: Stage, capsys: Capture) -> None:
    found = ask(told, capsys, "shadow")
    (study,) = found["studies"]
    assert (study["agreement"], study["same_images"]) == ("only shadow positive", True)
    assert (study["live"]["outcome"], study["live"]["seconds"]) == ("negative", 1.5)
    assert (study["shadow"]["measurements"], study["shadow"]["seconds"]) == ("opacity-1: Volume 12.5 ml", 2.5)
    assert (found["agreement"]["rate"], found["agreement"]["counts"]) == (0.0, {"only shadow positive": 1})
    (row,) = csv.DictReader(io.StringIO(tell(told, capsys, "shadow", "--csv")))
    assert (row["live_outcome"], row["shadow_summary"], row["same_images"]) == ("negative", "'=One opacity.", "yes")
    words = tell(told, capsys, "shadow")
    assert "only shadow positive" in words and "1 of 1" in words and "0.0% of 1 analysed by both" in words
    assert ask(told, capsys, "shadow", "--model", "other")["studies"] == []
    assert ask(told, capsys, "shadow", "--beside", "other")["studies"][0]["agreement"] == "no live answer"
    assert "no answers in shadow" in tell(told, capsys, "shadow", "--days", "0")


def test_every_listing_says_what_runs_in_shadow(told: Stage, capsys: Capture) -> None:
    assert ask(told, capsys, "status")["models"] == ["lungs", "lungs (shadow)"]
    assert "1 answers kept here, not sent" in tell(told, capsys, "status")
    assert ask(told, capsys, "studies")[0]["shadow"] == ["lungs"]
    assert tell(told, capsys, "studies").split("\n")[0].rstrip().endswith("shadow")
    assert [job["shadow"] for job in ask(told, capsys, "jobs") if job["kind"] == "infer"] == [True, False]
    assert "(shadow)" in tell(told, capsys, "jobs")
    shown = tell(told, capsys, "show", STUDY)
    assert "answers of lungs are kept here and not sent" in shown and "withheld" in shown


def test_check_says_that_nothing_of_it_is_sent(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    found = {check.name: check.words for check in checks(settings(tmp_path, SHADOW), run_golden=False)}
    assert found["model model"] == "runs in shadow: its answers are kept here, nothing is sent"
    assert "model model" not in {check.name for check in checks(settings(tmp_path), run_golden=False)}


def test_there_is_nothing_to_resend_of_a_shadow_alone(tmp_path: Path, capsys: Capture) -> None:
    stage = answered(staged(tmp_path, SHADOW), GOOD)
    text = SHADOW.replace("[scp]", f'database = "sqlite:///{tmp_path}/ancilla.db"\n[scp]')
    (tmp_path / "node.toml").write_text(text)
    assert main(["resend", STUDY, "-c", str(tmp_path / "node.toml")]) == 1
    assert "answers in shadow are kept here" in capsys.readouterr().err
    assert stage.deliveries() == []


def job(study: str, outcome: Outcome, shadow: bool = False, number: int = 1, revision: int = 1, images: str = "same") -> Job:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    about = (study, revision, "lungs", "d" * 64, (f"{study}.1",), images, ("pacs",), "", None)
    answer = {"outcome": outcome, "summary": outcome.value, "timings": {"infer": float(number)}}
    return Job(number, JobKind.INFER, JobState.DONE, *about, 1, 1, at, None, at, at, at, "", **answer, shadow=shadow)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("live", "shadow", "words"),
    [
        (Outcome.POSITIVE, Outcome.POSITIVE, "both positive"),
        (Outcome.POSITIVE, Outcome.NEGATIVE, "only live positive"),
        (Outcome.NEGATIVE, Outcome.POSITIVE, "only shadow positive"),
        (Outcome.NOT_ANALYSED, Outcome.NOT_ANALYSED, "both not-analysed"),
        (Outcome.NEGATIVE, Outcome.FAILED, "live negative, shadow failed"),
    ],
)
def test_two_answers_agree_or_not(live: Outcome, shadow: Outcome, words: str) -> None:
    (pair,) = pairs([job("1", live), job("1", shadow, True)], lambda job: "")
    assert pair.agreement == words


def test_the_newest_answers_count_and_studies_without_both_are_no_part_of_the_rate() -> None:
    jobs = [
        job("1", Outcome.NEGATIVE, number=1),
        job("1", Outcome.POSITIVE, number=4, revision=2, images="more"),
        job("1", Outcome.POSITIVE, True, 2),
        job("2", Outcome.NEGATIVE, True, 3),
        job("3", Outcome.NEGATIVE, True, 5),
        job("3", Outcome.NOT_ANALYSED, number=6),
        job("4", Outcome.NEGATIVE, number=7),
    ]
    found = pairs(jobs, lambda job: str(job.job_id))
    assert [(pair.study_uid, pair.agreement, pair.same_images) for pair in found] == [
        ("3", "live not-analysed, shadow negative", True),
        ("2", "no live answer", False),
        ("1", "both positive", False),
    ]
    assert found[2].live is not None and found[2].live.measurements == "4"
    whole = agreement(found)
    assert (whole.both_analysed, whole.rate) == (1, 1.0)
    assert (whole.shadow.outcomes, whole.shadow.seconds) == ({"negative": 2, "positive": 1}, 3.0)
    assert whole.live.answers == 2
