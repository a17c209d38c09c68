"""One turn of one loop: what is due is closed, what is free is started, what has ended is concluded; no hidden state."""

import threading
from collections.abc import Callable
from typing import Final

from db.store import Store
from domain.errors import AncillaError
from node.accepting import Accepting
from node.atna.forwarding import Forwarding
from node.committing import Committing
from node.delivering import Delivering
from node.inferring import Inferring
from node.log import study_mark, warn
from node.retaining import Retention
from node.settler import Settler
from node.warming import Warming

IDLE_SECONDS: Final = 0.5  # between two looks around
SHORTEST_SECONDS: Final = 0.01  # the same when a study becomes due sooner
TROUBLE_SECONDS: Final = 5.0
KILL_SECONDS: Final = 5.0


class Runner:
    """Drives store, workers and destinations. Everything it knows after a restart, it knows from the store."""

    def __init__(
        self,
        store: Store,
        settler: Settler,
        inferring: Inferring,
        delivering: Delivering,
        awake: threading.Event,
        warming: Warming | None = None,
        accepting: Accepting | None = None,
        committing: Committing | None = None,
        hurry: threading.Event | None = None,
        retention: Retention | None = None,
        forwarding: Forwarding | None = None,
    ) -> None:
        """``awake`` is set by whoever has news: a finished worker, a statement. ``hurry`` is set before it when rows that still
        wait are the news: then they are written first, whoever may be sending."""
        self._warming, self._accepting, self._retention, self._forwarding = warming, accepting, retention, forwarding
        self._store, self._settler, self._inferring = store, settler, inferring
        self._works: list[Inferring | Delivering | Committing] = [inferring, delivering, *([committing] if committing else [])]
        self._awake, self._hurry = awake, hurry or threading.Event()
        self._trouble = False
        self._has_news = True

    def step(self) -> bool:
        """One turn; never waits. True if anything was done."""
        self._trouble = False
        # Leases are renewed before expired ones are looked for: a node that was suspended must not expire its own jobs.
        turns = (
            *(work.renew for work in self._works),
            self._expire,
            *(work.collect for work in self._works),
            self._settle,
            self._accept,
            *(work.claim for work in self._works),
            self._warm,
            self._purge,
            self._forward,
        )
        return any([self._concluded(turn) for turn in turns])  # noqa: C419 - every turn is taken

    def run(self, stop: threading.Event) -> None:
        """Turn until ``stop``."""
        while not stop.is_set():
            self._awake.clear()
            self._has_news = self._hurry.is_set()
            self._hurry.clear()
            if not self.step():
                self._awake.wait(TROUBLE_SECONDS if self._trouble else self._rest())

    def _rest(self) -> float:
        """Seconds until something may be due that nobody tells. (The end of an association is not told: it is followed by a
        quiet time.)"""
        try:
            due = self._store.next_due()
        except AncillaError:
            return IDLE_SECONDS
        return IDLE_SECONDS if due is None else min(max(due, SHORTEST_SECONDS), IDLE_SECONDS)

    def finish(self, seconds: float, wait: Callable[[float], object]) -> None:
        """Stop cleanly: no new work, what runs may end within ``seconds``, what then still runs is queued again."""
        if self._warming:
            self._warming.stop()
        if self._retention:
            self._retention.stop()
        for work in self._works[1:]:
            work.stop()
        self._drain(seconds, wait)
        self._inferring.stop()
        self._drain(KILL_SECONDS, wait)

    def _drain(self, seconds: float, wait: Callable[[float], object]) -> None:
        """``wait`` is given the seconds to wait between two looks."""
        turns = (*(work.renew for work in self._works), *(work.collect for work in self._works))
        looks = int(seconds * 10) + 1
        for _ in range(looks):
            for turn in turns:
                self._concluded(turn)
            if not any(work.running for work in self._works):
                return
            wait(0.1)

    def _expire(self) -> bool:
        expired = self._store.expire()
        for job in expired:
            warn("expired", job=job.job_id, study=study_mark(job.study_uid))
        return bool(expired)

    def _accept(self) -> bool:
        return self._accepting.turn() if self._accepting else False

    def _warm(self) -> bool:
        return self._warming.turn() if self._warming else False

    def _purge(self) -> bool:
        return self._retention.turn() if self._retention else False

    def _forward(self) -> bool:
        return self._forwarding.turn() if self._forwarding else False

    def _settle(self) -> bool:
        done = False
        for study in self._store.due(latest=self._has_news):  # a look around disturbs nobody who sends
            done |= self._concluded(lambda study=study: self._settler.settle(study), study=study_mark(study.study_uid))  # type: ignore[misc]
        return done

    def _concluded(self, turn: Callable[[], bool], **about: object) -> bool:
        """The conclusion of one piece of work. A full disk or a study nobody foresaw must not end the node: it is logged and
        tried again on a later turn, since the store still says what is to be done."""
        try:
            return turn()
        except Exception as error:  # noqa: BLE001 - one of the places named in docs/architecture.md
            self._trouble = True
            warn("trouble", error=type(error).__name__, at=_where(error), **about)
            return False


def _where(error: Exception) -> str:
    """File and line of the innermost frame; the text of the error may quote the data set and is not logged."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    code = trace.tb_frame.f_code
    return f"{'/'.join(code.co_filename.split('/')[-2:])}:{trace.tb_lineno}"
