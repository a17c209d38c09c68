"""A model over an archive: study by study through the worker processes, each answered, none stopping the others, nothing sent."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from domain.errors import AncillaError
from domain.jobs import Outcome
from node.holding import failure, words
from node.pool import Bounded, EngineLostError
from node.shelf import measurements, stored, write
from node.solo import Desk, Solo, Solved, order_of

FETCHED: Final = ".fetched"  # below the folder of results; gone at the end
SOURCE: Final = "source.json"  # in the folder of a study
_LOOK: Final = 1.0  # seconds between two looks at what takes too long


class Archive(Protocol):
    """Where studies come from."""

    def studies(self) -> Sequence[str]:
        """Study Instance UIDs."""

    def mark(self, study_uid: str) -> str:
        """What is the same as long as the study is, known without fetching it; "": nothing is. Raises AncillaError."""

    def fetch(self, study_uid: str, folder: Path) -> list[Path]:
        """The files of a study, in ``folder`` (there and empty) unless they lie somewhere already. Raises AncillaError."""


class Workers(Protocol):
    """What is needed of ``node.engine.Engine``."""

    @property
    def size(self) -> int:
        """How many tasks run at the same time."""

    def submit(self, fn: Callable[[Solo], Solved], solo: Solo, /) -> Future[Solved]:
        """Run in a worker."""

    def kill(self, future: Future[Solved], /) -> bool:
        """End the worker that works on this."""


class State(StrEnum):
    """What became of a study."""

    DONE = "done"
    DECLINED = "declined"  # it does not fit the model: an answer
    FAILED = "failed"


_STATES: Final = {
    Outcome.POSITIVE: State.DONE,
    Outcome.NEGATIVE: State.DONE,
    Outcome.NOT_ANALYSED: State.DECLINED,
    Outcome.FAILED: State.FAILED,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One study. ``kept``: it was answered by an earlier call. ``measurements``: the first of them, as text."""

    study_uid: str
    state: State
    outcome: str = ""
    summary: str = ""
    why: str = ""
    measurements: str = ""
    images: int = 0
    seconds: float = 0.0
    kept: bool = False
    folder: str = ""
    input_digest: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one study: seconds in a worker, bytes of memory (0: none)."""

    seconds: float
    memory: int = 0


@dataclass(slots=True)
class _Running:
    study_uid: str
    number: int
    mark: str
    solo: Solo
    since: datetime | None = None
    late: bool = False


class Batch:
    """One call. Results lie below ``out``, one folder for each study, named by a digest of its UID."""

    def __init__(
        self,
        archive: Archive,
        workers: Workers,
        solve: Callable[[Solo], Solved],
        desk: Desk,
        out: Path,
        limits: Limits,
        clock: Callable[[], datetime],
    ) -> None:
        self._archive, self._workers, self._solve, self._desk = archive, workers, solve, desk
        self._out, self._limits, self._clock = out, limits, clock
        self._running: dict[Future[Solved], _Running] = {}

    def rows(self) -> Iterator[Row]:
        """Answer every study; rows come as studies end. While workers compute, the next study is fetched."""
        try:
            for number, study_uid in enumerate(self._archive.studies()):
                row = self._begin(study_uid, number)
                if row is not None:
                    yield row
                while len(self._running) > self._workers.size:
                    yield from self._ended()
            while self._running:
                yield from self._ended()
        finally:
            shutil.rmtree(self._out / FETCHED, ignore_errors=True)

    def folder(self, study_uid: str) -> Path:
        """Where the results of a study are."""
        return self._out / hashlib.sha256(study_uid.encode()).hexdigest()[:32]

    def _begin(self, study_uid: str, number: int) -> Row | None:
        """Give a study to a worker; a row when there is nothing to do, or it cannot be had."""
        target = self._out / FETCHED / str(number)
        try:
            mark = self._archive.mark(study_uid)
            row = self._kept(study_uid, mark)
            if row is not None:
                return row
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            files = tuple(str(file.absolute()) for file in self._archive.fetch(study_uid, target))
        except (AncillaError, OSError) as error:
            shutil.rmtree(target, ignore_errors=True)
            return Row(study_uid, State.FAILED, why=_reason(error))
        solo = Solo(self._desk, study_uid, files, str(self.folder(study_uid)), self._clock())
        self._send(_Running(study_uid, number, mark, solo))
        return None

    def _send(self, running: _Running) -> None:
        future = self._workers.submit(Bounded(self._solve, self._limits.memory), running.solo)
        self._running[future] = running

    def _kept(self, study_uid: str, mark: str) -> Row | None:
        """The answer of an earlier call, when the archive says without being asked for images that the study is the same."""
        try:
            known = json.loads((self.folder(study_uid) / SOURCE).read_text(encoding="utf-8"))
            same, digest, images = known["mark"] == mark, str(known["input"]), int(known["images"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not (mark and same):
            return None
        answer = stored(order_of(self._desk, study_uid, digest, str(self.folder(study_uid)), self._clock()))
        return self._row(study_uid, Solved(answer, digest, images, 0.0, kept=True)) if answer else None

    def _ended(self) -> Iterator[Row]:
        """Wait for a while; a row for each study that has ended."""
        done, _ = wait(self._running, timeout=_LOOK, return_when=FIRST_COMPLETED)
        for future in done:
            running = self._running.pop(future)
            if isinstance(failure(future), EngineLostError) and not running.late:
                running.since = None
                self._send(running)
            else:
                yield self._conclude(future, running)
        for future, running in self._running.items():
            self._time_out(future, running)

    def _time_out(self, future: Future[Solved], running: _Running) -> None:
        """Counted from when a worker took it."""
        if not future.running():
            return
        running.since = running.since or self._clock()
        if not running.late and (self._clock() - running.since).total_seconds() > self._limits.seconds:
            running.late = True
            self._workers.kill(future)

    def _conclude(self, future: Future[Solved], running: _Running) -> Row:
        shutil.rmtree(self._out / FETCHED / str(running.number), ignore_errors=True)
        error = failure(future)
        if error is None:
            solved = future.result()
            about = {"mark": running.mark, "input": solved.input_digest, "images": solved.images}
            if running.mark:
                write(self.folder(running.study_uid) / SOURCE, json.dumps(about).encode())
            return self._row(running.study_uid, solved)
        late = f"it took longer than {self._limits.seconds:g} seconds and was ended"
        return Row(running.study_uid, State.FAILED, why=late if running.late else words(error))

    def _row(self, study_uid: str, solved: Solved) -> Row:
        answer, folder = solved.answer, self.folder(study_uid)
        row = Row(study_uid, _STATES[answer.outcome], answer.outcome, answer.summary, answer.reason)
        return replace(
            row,
            measurements=measurements(folder),
            images=solved.images,
            seconds=round(solved.seconds, 2),
            kept=solved.kept,
            folder=folder.name,
            input_digest=solved.input_digest,
        )


def tally(states: Counter[str]) -> str:
    """In words."""
    return ", ".join(f"{states[state]} {state}" for state in State)


def _reason(error: AncillaError | OSError) -> str:
    """No path: a file name may hold a patient's."""
    return (
        str(error)
        if isinstance(error, AncillaError)
        else f"its files could not be made ready: {error.strerror or 'system error'}"
    )
