"""Packages are tried before their first job: what is chosen, refused, told, and tried again."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from domain.acceptance import Acceptance, AcceptanceOrder, Accepted, Trial
from domain.errors import PackageError
from domain.jobs import Answer, JobKind, Outcome
from domain.moves import JobState
from node.accepting import ATTEMPTS, LONGEST_SECONDS, Accepting
from node.inferring import Inferring
from node.orders import Orders
from node.pool import WorkerDiedError
from tests.node.configuration import TEXT
from tests.node.stage import SR, Stage, never

Result = Accepted | BaseException


@dataclass
class Tries:
    """Keeps orders until the test answers them."""

    asked: list[tuple[AcceptanceOrder, Future[Accepted]]] = field(default_factory=list)
    killed: int = 0
    waiting: bool = False

    def submit(self, fn: Callable[[AcceptanceOrder], Accepted], order: AcceptanceOrder, /) -> Future[Accepted]:
        future: Future[Accepted] = Future()
        if not self.waiting:
            future.set_running_or_notify_cancel()
        self.asked.append((order, future))
        return future

    def kill(self, future: Future[Accepted], /) -> bool:
        self.killed += 1
        future.set_exception(WorkerDiedError(-9))
        return True

    def answer(self, result: Result) -> None:
        future = self.asked[-1][1]
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)


class Gated(Stage):
    """A stage whose models are tried first."""

    def __init__(self, folder: Path, text: str = TEXT) -> None:
        self.tries = Tries()
        super().__init__(folder, text)

    def restart(self) -> None:
        super().restart()
        compute = self.settings.compute
        self.accepting = Accepting(self.store, self.tries, unused, lambda: self.models, compute, str(self.folder), self.clock)
        orders = Orders(self.store, self.settings, self.models, "installation", self.accepting.chosen)
        self.inferring = Inferring(self.store, self.workers, never, orders, compute, self.clock, gate=self.accepting)
        self.runner._inferring = self.runner._works[0] = self.inferring
        self.runner._accepting = self.accepting


def unused(order: AcceptanceOrder) -> Accepted:
    raise AssertionError("only workers try packages")


def found(precision: str = "int8", fresh: bool = True) -> Accepted:
    trials = (Trial("fp32", bool(precision), "" if precision else "case: Dice 0.5", 10.0), Trial("int8", True, "", 30.0, 2, 4))
    return Accepted(Acceptance("model-0", "0" * 64, "CPU", 2, precision, trials), fresh)


@pytest.fixture
def stage(tmp_path: Path) -> Gated:
    return Gated(tmp_path)


def noted(stage: Gated, event: str) -> list[str]:
    return [row.details for row in stage.store.audit() if row.event == event]


def test_jobs_wait_until_their_package_is_tried_and_run_as_was_chosen(stage: Gated) -> None:
    stage.receive()
    stage.later(31)
    stage.turn()
    assert stage.infer().state is JobState.QUEUED and stage.workers.asked == []
    order = stage.tries.asked[0][0]
    assert (order.package_digest, order.precision, order.again) == ("0" * 64, "auto", False)
    stage.tries.answer(found())
    stage.turn()
    assert (stage.workers.order.precision, stage.workers.order.streams, stage.workers.order.batch) == ("int8", 2, 4)
    (details,) = noted(stage, "package-accepted")
    assert '"runs":"int8"' in details.replace(" ", "") and '"machine":"CPU"' in details.replace(" ", "")


def test_what_is_remembered_is_not_written_down_again(stage: Gated) -> None:
    stage.turn()
    stage.tries.answer(found(fresh=False))
    stage.turn()
    assert noted(stage, "package-accepted") == [] and stage.accepting.pending() == frozenset()


def test_the_pacs_is_told_of_a_package_that_fails_here(stage: Gated) -> None:
    stage.receive()
    stage.later(31)
    stage.turn()
    stage.tries.answer(found(precision=""))
    stage.turn()
    verdict = stage.workers.order.verdict
    assert verdict is not None and "fails its golden cases on this CPU in FP32 and is refused: case: Dice 0.5" in verdict.reason
    assert len(noted(stage, "package-refused")) == 1
    stage.workers.answer(Answer(Outcome.FAILED, "Not analysed, the model failed.", (SR,), "refused"))
    stage.turn()
    assert stage.infer().state is JobState.FAILED and len(stage.store.jobs(kind=JobKind.DELIVER)) == 1


def test_a_precision_that_is_forced_and_not_accepted_refuses_with_its_reason(tmp_path: Path) -> None:
    stage = Gated(tmp_path, TEXT + 'precision = "bf16"\n')
    stage.turn()
    assert stage.tries.asked[0][0].precision == "bf16"
    stage.tries.answer(found())
    stage.turn()
    with pytest.raises(PackageError, match=r'is not accepted in bf16 on this CPU: it was not tried; set precision = "auto"'):
        stage.accepting.chosen("0" * 64)


def test_a_worker_that_dies_is_no_answer_about_the_package(stage: Gated) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        stage.turn()
        assert len(stage.tries.asked) == attempt and "0" * 64 in stage.accepting.pending()
        stage.tries.answer(WorkerDiedError(-9))
    stage.turn()
    assert stage.accepting.pending() == frozenset()
    with pytest.raises(PackageError, match="cannot be run: the worker process died"):
        stage.accepting.chosen("0" * 64)


def test_a_trial_that_waits_behind_long_jobs_is_left_alone(stage: Gated) -> None:
    stage.tries.waiting = True
    stage.turn()
    for _ in range(3):
        stage.later(LONGEST_SECONDS + 1)
        stage.turn()
    assert stage.tries.killed == 0


def test_a_trial_that_never_ends_is_ended(stage: Gated) -> None:
    stage.turn()
    stage.turn()
    stage.later(LONGEST_SECONDS + 1)
    stage.turn()
    assert stage.tries.killed == 1
