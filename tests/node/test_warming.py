"""Idle workers begin with studies that still arrive; jobs go first."""

from concurrent.futures import Future
from pathlib import Path

import pytest

from domain.early import EarlyAnswer, EarlyOrder
from domain.instances import Instance
from domain.jobs import JobKind
from node.orders import EARLY
from node.pool import WorkerDiedError
from node.warming import LEAVE_SECONDS, LONGEST_SECONDS, Warming
from tests.node.configuration import TEXT
from tests.node.stage import STUDY, Stage


class Idle:
    """Workers that keep visits until the test ends them."""

    def __init__(self, size: int = 1) -> None:
        self.size = size
        self.asked: list[tuple[EarlyOrder, Future[EarlyAnswer]]] = []

    def submit(self, fn: object, order: EarlyOrder, /) -> Future[EarlyAnswer]:
        future: Future[EarlyAnswer] = Future()
        future.set_running_or_notify_cancel()
        self.asked.append((order, future))
        return future

    def kill(self, future: Future[EarlyAnswer], /) -> bool:
        if future.done():
            return False
        future.set_exception(WorkerDiedError(-9))
        return True

    @property
    def order(self) -> EarlyOrder:
        return self.asked[-1][0]

    def leave(self, complete: bool = True) -> None:
        """The newest visit ends, if it has not."""
        if not self.asked[-1][1].done():
            self.asked[-1][1].set_result(EarlyAnswer(3, complete))


class Early:
    """A stage whose studies are visited; ``jobs`` is how many workers jobs have."""

    def __init__(self, folder: Path, text: str = TEXT, size: int = 1) -> None:
        self.stage = Stage(folder, text)
        self.stage.settings.node.data_dir.mkdir(exist_ok=True)
        self.idle, self.jobs = Idle(size), 0
        self.warming = self.warm()

    def warm(self) -> Warming:
        stage = self.stage
        orders = stage.inferring._orders
        return Warming(
            stage.store,
            self.idle,
            never,
            orders,
            stage.settler.jobs,
            lambda: self.jobs,
            stage.clock,  # type: ignore[arg-type]
        )

    def receive(self, images: int, first: int = 1, **more: object) -> None:
        self.stage.receive(images=images, first=first, **more)  # type: ignore[arg-type]

    def permitted(self) -> bool:
        return Path(self.idle.order.permit).exists()


def never(order: EarlyOrder) -> EarlyAnswer:
    raise AssertionError("only workers visit")


@pytest.fixture
def early(tmp_path: Path) -> Early:
    return Early(tmp_path)


def named(instances: tuple[Instance, ...]) -> set[str]:
    return {instance.header.sop_instance_uid for instance in instances}


def test_an_idle_worker_is_sent_once_to_the_images_that_are_there(early: Early) -> None:
    early.receive(10)
    assert early.warming.turn()
    assert not early.warming.turn()
    assert len(early.idle.asked) == 1
    assert len(early.idle.order.instances) == 10
    assert early.permitted()
    names = Path(early.idle.order.cache_dir).relative_to(early.stage.settings.node.data_dir)
    assert STUDY not in str(names) and names.parts[:2] == (EARLY, "studies")


def test_a_study_does_not_seem_to_pause_because_its_rows_wait(early: Early, monkeypatch: pytest.MonkeyPatch) -> None:
    early.receive(3)
    early.stage.later(1)
    monkeypatch.setattr(early.stage.store, "is_behind", lambda: True)
    assert not early.warming.turn()
    monkeypatch.setattr(early.stage.store, "is_behind", lambda: False)
    assert early.warming.turn()


def test_the_job_looks_where_the_visit_has_kept(early: Early) -> None:
    early.receive(10)
    early.warming.turn()
    early.stage.later(31)
    early.stage.turn()
    assert early.stage.workers.order.cache_dir == early.idle.order.cache_dir


def test_only_images_of_series_that_the_model_wants_are_begun(early: Early) -> None:
    early.receive(10)
    early.receive(10, series="1.2.3.2", Modality="MR")
    early.warming.turn()
    assert {instance.header.series_uid for instance in early.idle.order.instances} == {"1.2.3.1"}


def test_a_study_that_no_model_wants_is_left_alone(early: Early) -> None:
    early.receive(10, Modality="MR")
    assert not early.warming.turn()
    assert not early.idle.asked


def test_a_few_images_wait_for_more_or_for_a_pause(early: Early) -> None:
    early.receive(3)
    assert not early.warming.turn()
    early.stage.later(1)
    assert early.warming.turn()
    early.idle.leave()
    assert early.warming.turn()
    assert len(early.idle.asked) == 1
    early.receive(2, first=4)
    assert not early.warming.turn()
    early.stage.later(1)
    assert early.warming.turn()
    assert len(early.idle.order.instances) == 5


def test_a_visit_that_was_not_complete_is_followed_by_another(early: Early) -> None:
    early.receive(10)
    early.warming.turn()
    early.idle.leave(complete=False)
    early.warming.turn()
    assert len(early.idle.asked) == 2
    early.idle.leave()
    early.warming.turn()
    early.stage.later(5)
    assert not early.warming.turn()
    assert len(early.idle.asked) == 2


def test_images_that_trickle_in_are_visited_in_handfuls(early: Early) -> None:
    early.receive(10)
    early.warming.turn()
    for number in range(11, 31):
        early.idle.leave()
        early.receive(1, first=number)
        early.stage.later(0.05)
        early.warming.turn()
    early.idle.leave()
    early.stage.later(1)
    early.warming.turn()
    assert [len(order.instances) for order, _ in early.idle.asked] == [10, 18, 26, 30]


def test_each_model_of_a_study_is_visited_in_turn(tmp_path: Path) -> None:
    early = Early(tmp_path, TEXT + '[[model]]\npackage = "model"\nsend_to = ["pacs"]\n')
    early.receive(10)
    for _ in range(2):
        early.warming.turn()
        early.idle.leave()
    early.warming.turn()
    assert [int(order.package_digest) for order, _ in early.idle.asked] == [0, 1]


def test_a_fast_sender_is_not_disturbed_while_it_sends(early: Early) -> None:
    early.receive(200)
    assert not early.warming.turn()
    early.stage.later(1)
    assert early.warming.turn()


def test_busy_workers_are_not_asked(early: Early) -> None:
    early.receive(10)
    early.jobs = 1
    assert not early.warming.turn()
    early.jobs = 0
    assert early.warming.turn()


def test_a_job_calls_the_worker_back_and_a_worker_that_does_not_come_is_killed(early: Early) -> None:
    early.receive(10)
    early.warming.turn()
    early.jobs = 1
    early.warming.turn()
    assert not early.permitted()
    early.stage.later(LEAVE_SECONDS)
    early.warming.turn()
    assert not early.idle.asked[0][1].done()
    early.stage.later(1)
    early.warming.turn()
    assert early.idle.asked[0][1].done()


def test_of_two_workers_only_the_one_that_is_needed_is_called_back(tmp_path: Path) -> None:
    early = Early(tmp_path, size=2)
    early.receive(10)
    early.receive(10, study="1.2.4", series="1.2.4.1")
    assert early.warming.turn() and early.warming.turn()
    early.jobs = 1
    early.warming.turn()
    assert [Path(order.permit).exists() for order, _ in early.idle.asked] == [False, True]


def test_the_visit_ends_when_its_study_is_complete(tmp_path: Path) -> None:
    early = Early(tmp_path, size=2)
    early.receive(10)
    early.warming.turn()
    early.stage.later(31)
    early.stage.turn()
    early.warming.turn()
    assert not early.permitted()
    early.idle.leave(complete=False)
    assert early.warming.turn()
    assert len(early.idle.asked) == 1


def test_a_visit_that_takes_too_long_is_ended(early: Early) -> None:
    early.receive(10)
    early.warming.turn()
    early.stage.later(LONGEST_SECONDS + 1)
    early.warming.turn()
    assert isinstance(early.idle.asked[0][1].exception(), WorkerDiedError)


def test_a_failed_visit_is_told_once_not_repeated_and_the_job_runs(early: Early, caplog: pytest.LogCaptureFixture) -> None:
    early.receive(10)
    early.warming.turn()
    early.idle.asked[0][1].set_exception(ValueError("Doe^Jane"))
    early.warming.turn()
    early.receive(10, first=11)
    early.warming.turn()
    assert len(early.idle.asked) == 1
    assert caplog.text.count("early-work-failed") == 1
    assert "Doe" not in caplog.text and STUDY not in caplog.text
    early.stage.later(31)
    early.stage.turn()
    assert len(early.stage.store.jobs(kind=JobKind.INFER)) == 1


def test_nothing_is_begun_when_it_is_switched_off(tmp_path: Path) -> None:
    early = Early(tmp_path, TEXT + "optimistic = false\n")
    early.receive(10)
    assert not early.warming.turn()
    early.stage.later(31)
    early.stage.turn()
    assert early.stage.workers.order.cache_dir == ""


def test_a_disk_that_is_nearly_full_is_left_to_the_images(tmp_path: Path) -> None:
    early = Early(tmp_path, TEXT + "cache_gb = 1000000\n")
    early.receive(10)
    assert not early.warming.turn()


def test_a_node_that_stops_calls_its_workers_back(early: Early) -> None:
    early.receive(10)
    early.warming.turn()
    early.warming.stop()
    assert not early.permitted()
    early.idle.leave()
    early.warming.turn()
    early.receive(10, first=11)
    assert not early.warming.turn()
