"""Answers kept in shadow beside the live ones of the same studies: how far they agree."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from domain.jobs import Job, Outcome

_ANALYSED: Final = (Outcome.POSITIVE, Outcome.NEGATIVE)
_PARTS: Final = ("load", "infer", "write")  # of the timings


@dataclass(frozen=True, slots=True)
class Said:
    """One answer. ``measurements`` are the first of its numbers, as text; ``seconds`` are those of the worker."""

    model_id: str
    package_digest: str
    job_id: int
    revision: int
    outcome: str
    summary: str
    reason: str
    measurements: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Pair:
    """One study and one model in shadow. ``live`` None: nobody else was told anything about it."""

    study_uid: str
    agreement: str
    same_images: bool
    shadow: Said
    live: Said | None


@dataclass(frozen=True, slots=True)
class Side:
    """One side of all pairs: how often it said what, and its median time in seconds where it has one."""

    answers: int
    outcomes: dict[str, int]
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """All pairs together. ``rate`` is the part of those that both analysed in which both say the same; None: there are none."""

    counts: dict[str, int]
    both_analysed: int
    rate: float | None
    shadow: Side
    live: Side


def pairs(jobs: Iterable[Job], numbers: Callable[[Job], str], model_id: str = "", beside: str = "") -> list[Pair]:
    """The newest answer in shadow of each study and model, with the newest live one of the model ``beside`` (the same model, when
    it is empty); the newest first. ``numbers`` reads those of a job; ``model_id`` "": every model that has answers in shadow."""
    shadows: dict[tuple[str, str], Job] = {}
    live: dict[tuple[str, str], Job] = {}
    for job in sorted(jobs, key=lambda job: (job.revision, job.job_id)):
        (shadows if job.shadow else live)[job.study_uid, job.model_id] = job
    wanted = sorted((job for job in shadows.values() if model_id in ("", job.model_id)), key=lambda job: -job.job_id)
    return [_pair(job, live.get((job.study_uid, beside or job.model_id)), numbers) for job in wanted]


def agreement(found: Sequence[Pair]) -> Agreement:
    """How far the two sides agree."""
    analysed = [
        (pair.shadow.outcome, pair.live.outcome)
        for pair in found
        if pair.live and pair.live.outcome in _ANALYSED and pair.shadow.outcome in _ANALYSED
    ]
    same = sum(ours == theirs for ours, theirs in analysed)
    return Agreement(
        counts=dict(sorted(Counter(pair.agreement for pair in found).items())),
        both_analysed=len(analysed),
        rate=round(same / len(analysed), 4) if analysed else None,
        shadow=_side([pair.shadow for pair in found]),
        live=_side([pair.live for pair in found if pair.live]),
    )


def _pair(shadow: Job, live: Job | None, numbers: Callable[[Job], str]) -> Pair:
    same = live is not None and live.input_digest == shadow.input_digest
    words = _agreement(shadow.outcome, live.outcome if live else None)
    return Pair(shadow.study_uid, words, same, _said(shadow, numbers), _said(live, numbers) if live else None)


def _agreement(shadow: Outcome | None, live: Outcome | None) -> str:
    if live is None:
        return "no live answer"
    if shadow == live:
        return f"both {live}"
    if shadow in _ANALYSED and live in _ANALYSED:
        return "only live positive" if live is Outcome.POSITIVE else "only shadow positive"
    return f"live {live}, shadow {shadow}"


def _said(job: Job, numbers: Callable[[Job], str]) -> Said:
    seconds = round(sum(job.timings.get(part, 0.0) for part in _PARTS), 2)
    said = (str(job.outcome or ""), job.summary, job.reason)
    return Said(job.model_id, job.package_digest, job.job_id, job.revision, *said, numbers(job), seconds)


def _side(answers: Sequence[Said]) -> Side:
    timed = [said.seconds for said in answers if said.seconds]
    counts = Counter(said.outcome for said in answers)
    return Side(len(answers), dict(sorted(counts.items())), round(median(timed), 2) if timed else None)
