"""When a study is complete, from the loop's point of view: what it waits for, what it says when it could not wait any longer."""

import json
import tomllib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from db.engine import open_store
from domain.completeness import Habit
from domain.destinations import Destination
from domain.errors import ConfigurationError, TransientError
from domain.evidence import Evidence, Member, Source
from domain.jobs import Job
from domain.moves import StudyState
from inference.admission import read_contract
from inference.channels import read_channels
from inference.keys import Table
from node import __main__ as main
from node.config import StudySettings
from node.counting import Counting
from node.geometry import Gap, gap, plane
from node.quiet import ENOUGH, Quiet, quiet_time
from node.witness import Witness
from tests.ct_series import Series, part10
from tests.inference import small_package
from tests.node.configuration import TEXT, settings
from tests.node.stage import CALLER, STUDY, Stage, dataset

CT = "1.2.840.10008.5.1.4.1.1.2"
REQUIRES = """
[[model]]
package = "model"
send_to = ["pacs"]
requires = [{ SeriesDescription = "thin" }, { SeriesDescription = { contains = "bone" } }]
[model.when]
"""


class Lane(Executor):
    """Runs what it is given when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        return future

    def go(self) -> None:
        for future, work in self.waiting:
            try:
                future.set_result(work())
            except TransientError as error:
                future.set_exception(error)
        self.waiting.clear()


class Careful(Stage):
    """A stage whose settler also looks for required series, gaps and the count at the PACS."""

    def restart(self) -> None:
        super().restart()
        self.lane, self.there, self.woken = Lane(), {"pacs": 0}, 0
        self.quiet = Quiet(self.settings.study, self.store.habits())
        counting = Counting(self.store, lambda: self.settings.destinations, self.count, self.wake, self.lane)
        self.settler._clock, self.settler._counts, self.settler._quiet = self.clock, counting, self.quiet
        self.settler._plane = lambda place: self.headers[place.pack]

    def wake(self) -> None:
        self.woken += 1

    def count(self, destination: Destination, study_uid: str) -> int | None:
        found = self.there[destination.name]
        if found < 0:
            raise TransientError("the PACS does not answer")
        return found

    def quiet_passes(self) -> None:
        self.later(31)
        self.turn()

    def state(self) -> StudyState:
        return self.store.study(STUDY).state  # type: ignore[union-attr]

    def slices(self, *numbers: int) -> None:
        """Images of one stack, 5 mm apart."""
        for number in numbers:
            place = {"ImagePositionPatient": [0, 0, 5.0 * number], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
            self.receive(images=1, first=number, **place)


@pytest.fixture
def stage(tmp_path: Path) -> Careful:
    return Careful(tmp_path)


def listed(*numbers: int, source: Source = Source.MPPS, final: bool = True) -> Evidence:
    return Evidence(source, "9.1", STUDY, final, tuple(Member(CT, f"1.2.3.1.{number}") for number in numbers))


def end_step(stage: Stage, *numbers: int) -> None:
    assert stage.store.step_created(CALLER, listed(final=False))
    assert stage.store.step_set(CALLER, listed(*numbers)) == ""


def only(stage: Stage) -> Job:
    [job] = stage.store.jobs()
    return job


class TestListed:
    """Lists of others."""

    def test_the_last_listed_image_completes_the_study_without_any_time_passing(self, stage: Careful) -> None:
        end_step(stage, 1, 2, 3)
        stage.receive(images=2)
        stage.turn()
        assert stage.state() is StudyState.RECEIVING
        stage.receive(images=1, first=3)
        stage.turn()
        assert stage.state() is StudyState.COMPLETE and stage.workers.order.missing == ()

    def test_what_is_missing_at_the_deadline_goes_into_the_order(self, stage: Careful) -> None:
        end_step(stage, 1, 2, 3)
        stage.receive(images=2)
        stage.later(1800)
        stage.turn()
        sentence = "Analysed incomplete: 1 of 3 images listed by the modality (MPPS) is missing."
        assert stage.workers.order.missing == (sentence,) == only(stage).missing
        assert sentence in next(stage.store.audit(event="settled")).details

    def test_the_image_that_was_missing_makes_a_second_revision_without_that_sentence(self, stage: Careful) -> None:
        end_step(stage, 1, 2, 3)
        stage.receive(images=2)
        stage.later(1800)
        stage.turn()
        stage.receive(images=1, first=3)
        stage.turn()
        assert (stage.workers.order.revision, stage.workers.order.missing) == (2, ())

    def test_a_step_that_never_ended_is_said_too(self, stage: Careful) -> None:
        assert stage.store.step_created(CALLER, listed(final=False))
        stage.receive()
        stage.later(1800)
        stage.turn()
        assert stage.workers.order.missing == ("Analysed before the modality (MPPS) had ended the procedure step.",)

    def test_a_list_that_is_fulfilled_is_stronger_than_a_gap(self, stage: Careful) -> None:
        end_step(stage, 1, 2, 3, 5, 6, 7)
        stage.slices(1, 2, 3, 5, 6, 7)
        stage.turn()
        assert stage.state() is StudyState.COMPLETE


class TestGaps:
    """Slices a stack lacks."""

    def test_a_stack_with_a_hole_waits_for_the_slice(self, stage: Careful) -> None:
        stage.slices(1, 2, 3, 5, 6, 7)
        stage.quiet_passes()
        assert stage.state() is StudyState.RECEIVING
        assert [hold.words for hold in stage.store.standing(STUDY).holds] == ["1 of 7 slices is missing in series 1.2.3.1"]
        stage.slices(4)
        stage.quiet_passes()
        assert stage.state() is StudyState.COMPLETE

    def test_a_hole_that_stays_is_analysed_at_the_deadline_and_the_model_says_it_itself(self, stage: Careful) -> None:
        stage.slices(1, 2, 3, 5, 6, 7)
        stage.quiet_passes()
        stage.later(1800)
        stage.turn()
        assert stage.state() is StudyState.COMPLETE and stage.workers.order.missing == ()
        assert "1 of 7 slices" in next(stage.store.audit(event="settled")).details

    def test_series_that_no_model_wants_may_have_holes(self, stage: Careful) -> None:
        stage.slices(1, 2, 3, 5, 6, 7)
        for header in stage.headers.values():
            header.Modality = "MR"  # type: ignore[union-attr]
        stage.quiet_passes()
        assert stage.state() is StudyState.COMPLETE


class TestRequired:
    """Series a model requires."""

    @pytest.fixture
    def stage(self, tmp_path: Path) -> Careful:
        before, _, after = TEXT.partition("[[model]]")
        return Careful(tmp_path, before + REQUIRES + after.partition("[model.when]")[2])

    def test_a_required_series_is_waited_for(self, stage: Careful) -> None:
        stage.receive(series="1.2.3.1", SeriesDescription="thin")
        stage.quiet_passes()
        assert stage.state() is StudyState.RECEIVING
        stage.receive(series="1.2.3.2", SeriesDescription="Bone sharp")
        stage.quiet_passes()
        assert stage.state() is StudyState.COMPLETE

    def test_at_the_deadline_the_report_says_which_is_missing(self, stage: Careful) -> None:
        stage.receive(series="1.2.3.1", SeriesDescription="thin")
        stage.quiet_passes()
        stage.later(1800)
        stage.turn()
        [sentence] = stage.workers.order.missing
        assert "a required series is missing (requires[2] of model-0: SeriesDescription)" in sentence

    def test_a_study_that_has_nothing_to_do_with_the_model_does_not_wait(self, stage: Careful) -> None:
        stage.receive(series="1.2.3.1", Modality="MR", SeriesDescription="T1")
        stage.quiet_passes()
        assert stage.state() is StudyState.COMPLETE


class TestChannels:
    """Series that one network sees together: the package says which, nobody has to configure them."""

    @pytest.fixture
    def stage(self, tmp_path: Path) -> Careful:
        stage = Careful(tmp_path)
        tables = [{"name": name, "any_of": [{"description": [f"*{name}*"]}]} for name in ("T1", "FLAIR")]
        contract = read_contract(Table(tomllib.loads(small_package.TOML)["input"], "input"))
        channels = read_channels(Table({"channels": [*tables, {"name": "PET", "modality": "PT"}]}, "input"), contract)
        stage.settler.models = stage.models[:] = [replace(stage.models[0], channels=channels)]
        return stage

    def test_all_of_them_are_waited_for_and_go_into_the_job(self, stage: Careful) -> None:
        stage.receive(series="1.2.3.1", SeriesDescription="Ax T1")
        stage.receive(series="1.2.3.3", Modality="PT")
        stage.quiet_passes()
        assert stage.state() is StudyState.RECEIVING
        assert [hold.words for hold in stage.store.standing(STUDY).holds] == ["a required series is missing (FLAIR of model-0)"]
        stage.receive(series="1.2.3.2", SeriesDescription="FLAIR sag")
        stage.receive(series="1.2.3.9", Modality="MR", SeriesDescription="T2")
        stage.quiet_passes()
        assert stage.state() is StudyState.COMPLETE
        assert {instance.header.series_uid for instance in stage.workers.order.instances} == {"1.2.3.1", "1.2.3.2", "1.2.3.3"}

    def test_at_the_deadline_the_job_runs_and_is_told_which_is_missing(self, stage: Careful) -> None:
        stage.receive(series="1.2.3.1", SeriesDescription="Ax T1")
        stage.quiet_passes()
        stage.later(1800)
        stage.turn()
        assert [words for words in stage.workers.order.missing if "FLAIR of model-0" in words or "PET of model-0" in words] == [
            "Analysed incomplete: a required series is missing (FLAIR of model-0).",
            "Analysed incomplete: a required series is missing (PET of model-0).",
        ]

    def test_studies_without_any_of_them_do_not_wait(self, stage: Careful) -> None:
        stage.receive(series="1.2.3.1", SeriesDescription="bone")
        stage.quiet_passes()
        assert stage.state() is StudyState.COMPLETE


class TestCount:
    """What the PACS has."""

    @pytest.fixture
    def stage(self, tmp_path: Path) -> Careful:
        return Careful(tmp_path, TEXT.replace('ae_title = "PACS"', 'ae_title = "PACS"\ncount = true'))

    def test_a_pacs_with_more_images_is_believed(self, stage: Careful) -> None:
        stage.there["pacs"] = 4
        stage.receive()
        stage.quiet_passes()
        assert stage.state() is StudyState.RECEIVING, "it is being asked"
        stage.lane.go()
        assert stage.woken == 1
        stage.turn()
        assert stage.state() is StudyState.RECEIVING
        assert [hold.words for hold in stage.store.standing(STUDY).holds] == ["1 of 4 images that pacs has are not here"]
        stage.receive(images=1, first=4)
        stage.quiet_passes()
        stage.lane.go()
        stage.turn()
        assert stage.state() is StudyState.COMPLETE

    @pytest.mark.parametrize("number", [3, 2, 0, -1], ids=["as many", "fewer", "none", "no answer"])
    def test_any_other_answer_holds_up_nothing(self, stage: Careful, number: int) -> None:
        stage.there["pacs"] = number
        stage.receive()
        stage.quiet_passes()
        stage.lane.go()
        stage.turn()
        assert stage.state() is StudyState.COMPLETE

    def test_our_own_results_there_do_not_count(self, stage: Careful) -> None:
        stage.receive()
        stage.quiet_passes()
        stage.lane.go()
        stage.turn()
        stage.workers.answer()
        stage.turn()
        stage.there["pacs"] = 7  # three images, three results, and the one that follows
        stage.receive(images=1, first=4)
        stage.quiet_passes()
        stage.lane.go()
        stage.turn()
        assert stage.infer().revision == 2

    def test_the_deadline_does_not_wait_for_an_answer(self, stage: Careful) -> None:
        stage.there["pacs"] = 9
        stage.receive()
        stage.quiet_passes()
        stage.lane.go()
        stage.turn()
        stage.later(1800)
        stage.turn()
        [sentence] = stage.workers.order.missing
        assert "6 of 9 images that pacs has are not here" in sentence


STUDIES = StudySettings(quiet_seconds=30, learn_quiet=True, quiet_floor_seconds=5, watch_gaps=True, max_wait_seconds=1800)


@pytest.mark.parametrize(
    ("habit", "wanted"),
    [
        (None, 30),
        (Habit("CT01", ENOUGH - 1, ((0.5, 19.0),), 0), 30),
        (Habit("CT01", ENOUGH, ((0.5, 20.0),), 0), 5),
        (Habit("CT01", 50, ((0.5, 40.0), (8.0, 10.0)), 0), 13),
        (Habit("CT01", 50, ((0.5, 40.0), (60.0, 10.0)), 0), 30),
    ],
    ids=["unknown", "too few", "the floor", "one and a half times and a second", "the ceiling"],
)
def test_the_quiet_time_is_learned_within_its_bounds(habit: Habit | None, wanted: float) -> None:
    assert quiet_time(STUDIES, habit).seconds == wanted


def test_what_was_learned_moves_the_quiet_point_of_the_next_study(stage: Careful) -> None:
    for number in range(ENOUGH):
        stage.receive(f"1.2.{number}", f"1.2.{number}.1")
        stage.quiet_passes()
    assert stage.quiet.seconds("CT01") == 5
    assert stage.quiet.seconds("MR02") == 30


def test_a_floor_above_the_ceiling_changes_nothing() -> None:
    habit = Habit("CT01", 50, ((0.5, 40.0),), 0)
    short = StudySettings(quiet_seconds=2, learn_quiet=True, quiet_floor_seconds=5, watch_gaps=True, max_wait_seconds=60)
    assert quiet_time(short, habit).seconds == 2


class TestWitness:
    """The way from a statement to the loop."""

    @pytest.fixture
    def woken(self) -> list[int]:
        return []

    @pytest.fixture
    def witness(self, stage: Careful, woken: list[int]) -> Witness:
        return Witness(stage.store, lambda: woken.append(1))

    def test_the_loop_is_woken_by_the_last_listed_image_and_by_no_other(
        self, stage: Careful, witness: Witness, woken: list[int]
    ) -> None:
        stage.receive(images=1)
        witness.testify(CALLER, listed(1, 2, 3, source=Source.AVAILABILITY))
        woken.clear()
        for number in (2, 9, 2):
            witness.arrived(f"1.2.3.1.{number}")
        assert woken == []
        witness.arrived("1.2.3.1.3")
        assert woken == [1]

    def test_a_statement_that_is_fulfilled_already_wakes_it_at_once(
        self, stage: Careful, witness: Witness, woken: list[int]
    ) -> None:
        stage.receive(images=2)
        commitment = witness.commit(CALLER, listed(1, 2, source=Source.COMMITMENT))
        assert len(commitment.durable) == 2 and woken

    def test_a_step_goes_through_to_the_store(self, stage: Careful, witness: Witness) -> None:
        assert witness.step_created(CALLER, listed(final=False))
        assert witness.step_set(CALLER, listed(1)) == ""
        assert witness.step_set(CALLER, listed(1)) == "final"


def planes(*places: float, direction: tuple[float, ...] = (1, 0, 0, 0, 1, 0)) -> list[Dataset | None]:
    return [dataset({"ImagePositionPatient": [0, 0, z], "ImageOrientationPatient": list(direction)}) for z in places]


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        (planes(0, 5, 10, 15, 20, 25), None),
        (planes(0, 5, 10, 20, 25, 30), Gap(1, 7)),
        (planes(30, 5, 0, 25, 10, 20), Gap(1, 7)),
        (planes(*range(0, 50, 5), *range(55, 100, 5)), Gap(1, 20)),
        (planes(0, 5, 10, 15), None),
        (planes(0, 5, 12, 15, 20, 25), None),
        (planes(0, 0, 5, 5, 10, 10), None),
        (planes(0, 5, 10, 15, 100, 105), None),
        ([*planes(0, 5, 10, 20, 25, 30), None], Gap(1, 7)),
        ([*planes(0, 5, 10, 20, 25, 30), Dataset()], None),
        ([*planes(0, 5, 10, 20, 25), *planes(30, direction=(0, 1, 0, 0, 0, 1))], None),
        ([*planes(0, 5, 10, 20, 25, 30), *[dataset({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]})]], Gap(1, 7)),
    ],
    ids=[
        "whole",
        "one missing",
        "any order",
        "a long stack",
        "too few",
        "uneven",
        "doubled",
        "two stacks",
        "one unreadable",
        "one without place",
        "another direction",
        "a localizer beside",
    ],
)
def test_only_a_regular_stack_has_gaps(headers: list[Dataset | None], wanted: Gap | None) -> None:
    assert gap(headers) == wanted


def test_the_plane_is_read_from_the_first_bytes_of_real_part_10() -> None:
    found = plane(memoryview(part10(Series(slices=2).datasets()[1])))
    assert found is not None and [float(v) for v in found.ImagePositionPatient] == [-160, -160, 5]
    assert "PatientName" not in found


@pytest.mark.parametrize("data", [b"", bytes(200), bytes(range(256)) * 2, b"\0" * 128 + b"DICM" + b"\xff" * 300])
def test_bytes_that_are_no_image_have_no_plane(data: bytes) -> None:
    assert gap([plane(memoryview(data))] * 6) is None


def test_requirements_are_rules_and_their_mistakes_are_named(tmp_path: Path) -> None:
    good = TEXT.replace("[model.when]", 'requires = [{ Modality = "CT" }]\n[model.when]')
    assert len(settings(tmp_path, good).models[0].requires) == 1
    with pytest.raises(ConfigurationError, match=r"model\[1\].requires\[1\].Modalty is not a DICOM keyword"):
        settings(tmp_path, good.replace('{ Modality = "CT" }', '{ Modalty = "CT" }'))
    with pytest.raises(ConfigurationError, match="requires must be a list of tables"):
        settings(tmp_path, good.replace('[{ Modality = "CT" }]', '["CT"]'))


def test_counting_has_no_meaning_for_a_folder(tmp_path: Path) -> None:
    folder = '[[destination]]\nname = "out"\nkind = "folder"\npath = "out"\ncount = true\n[compute]'
    with pytest.raises(ConfigurationError, match="count has no meaning"):
        settings(tmp_path, TEXT.replace("[compute]", folder))


class TestCommands:
    """What an administrator sees."""

    @pytest.fixture
    def stage(self, tmp_path: Path) -> Careful:
        (tmp_path / "data").mkdir()
        stage = Careful(tmp_path)
        stage.now = datetime.now(UTC)
        stage.store = open_store(stage.settings.node.database, stage.clock)
        (tmp_path / "node.toml").write_text(TEXT, encoding="utf-8")
        return stage

    def ask(self, stage: Stage, capsys: pytest.CaptureFixture[str], *words: str) -> str:
        assert main.main([*words, "-c", str(stage.folder / "node.toml")]) == 0
        return capsys.readouterr().out

    def test_show_names_the_missing_image_and_how_long_is_waited(
        self, stage: Careful, capsys: pytest.CaptureFixture[str]
    ) -> None:
        end_step(stage, 1, 2, 3)
        stage.receive(images=2)
        said = self.ask(stage, capsys, "show", STUDY)
        assert "1 of 3 listed (mpps)" in said
        assert "1.2.3.1.3" in said
        assert "30 s (study.quiet_seconds; 0 of 20 studies seen" in said
        assert "deadline" in said
        found = json.loads(self.ask(stage, capsys, "show", STUDY, "--json"))["completeness"]
        assert found["standing"]["statements"][0]["first_missing"] == ["1.2.3.1.3"]
        assert found["waiting_for"] == ["1 of 3 listed (mpps)"]

    def test_studies_has_a_short_word_for_it(self, stage: Careful, capsys: pytest.CaptureFixture[str]) -> None:
        stage.receive()
        assert "a quiet moment" in self.ask(stage, capsys, "studies")
        assert json.loads(self.ask(stage, capsys, "studies", "--json"))[0]["waiting_for"] == ["a quiet moment"]

    def test_a_closed_study_tells_by_what_it_was_complete(self, stage: Careful, capsys: pytest.CaptureFixture[str]) -> None:
        end_step(stage, 1)
        stage.receive(images=1)
        assert stage.store.settle(STUDY, 1, [])
        assert "complete by  mpps" in self.ask(stage, capsys, "show", STUDY)
