"""Random lives of a job: the store does what the table of moves says and nothing else."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from db.audit import verify
from domain.errors import LostLeaseError, PermanentError
from domain.jobs import Job, JobKind, Outcome
from domain.moves import JOB_MOVES, JobMove, JobState
from tests.db.nouns import Clock, answer, model, new_store, settled


class Life(RuleBasedStateMachine):
    """One infer job, a runner, an operator, and zombies that hold every claim there ever was."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.store = new_store(Path(self._folder.name), self.clock)
        settled(self.store, self.clock, model(destinations=()))
        self.job_id = self.store.jobs()[0].job_id
        self.state, self.token, self.attempts = JobState.QUEUED, 0, 0
        self.claims: list[Job] = []

    def teardown(self) -> None:
        self.store.close()
        self._folder.cleanup()

    @rule()
    def claim(self) -> None:
        job = self.store.claim(JobKind.INFER, "w", 60)
        assert (job is not None) == (self.state is JobState.QUEUED)
        if job is not None:
            self.state, self.token, self.attempts = JobState.RUNNING, self.token + 1, self.attempts + 1
            self.claims.append(job)

    @rule(outcome=st.sampled_from(Outcome), which=st.integers(0, 50))
    def finish(self, outcome: Outcome, which: int) -> None:
        ends = {Outcome.NOT_ANALYSED: JobState.DECLINED, Outcome.FAILED: JobState.FAILED}
        self._by_holder(which, lambda job: self.store.finish(job, answer(outcome)), ends.get(outcome, JobState.DONE))

    @rule(which=st.integers(0, 50))
    def fail(self, which: int) -> None:
        self._by_holder(which, lambda job: self.store.fail(job, "x"), JobState.FAILED)

    @rule(which=st.integers(0, 50))
    def retry(self, which: int) -> None:
        self._by_holder(which, lambda job: self.store.retry(job, "x", self.clock.at), JobState.QUEUED)

    @rule()
    def expire(self) -> None:
        self.clock.forward(61)
        expired = self.store.expire()
        assert len(expired) == (self.state is JobState.RUNNING)
        if expired:
            self.state = JobState.QUEUED

    @rule()
    def cancel(self) -> None:
        self._by_operator(JobMove.CANCEL)

    @rule()
    def revive(self) -> None:
        if self._by_operator(JobMove.REVIVE):
            self.attempts = 0

    @invariant()
    def the_row_is_as_the_moves_say(self) -> None:
        job = self.store.job(self.job_id)
        assert job is not None
        assert (job.state, job.token, job.attempts) == (self.state, self.token, self.attempts)
        assert (job.lease_until is not None) == (self.state is JobState.RUNNING)
        assert job.started_at == (self.claims[0].started_at if self.claims else None)
        assert verify(self.store).broken_seq is None

    def _by_holder(self, which: int, act: Callable[[Job], None], target: JobState) -> None:
        """Any claim there ever was tries; only the one that holds the job now may."""
        if not self.claims:
            return
        job = self.claims[which % len(self.claims)]
        holds = self.state is JobState.RUNNING and job.token == self.token
        try:
            act(job)
        except LostLeaseError:
            assert not holds
        else:
            assert holds
            self.state = target

    def _by_operator(self, move: JobMove) -> bool:
        target = JOB_MOVES.get((self.state, move))
        act = self.store.cancel if move is JobMove.CANCEL else self.store.revive
        try:
            act(self.job_id, "operator:root")
        except PermanentError:
            assert target is None
            return False
        assert target is not None
        self.state = target
        return True


TestLife = Life.TestCase
TestLife.settings = settings(deadline=None, max_examples=15, stateful_step_count=25)
