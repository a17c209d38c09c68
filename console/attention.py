"""What somebody should look at, in sentences, the most pressing first."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from console.board import DestinationLine, ModelLine, Overview
from domain.jobs import JobKind
from domain.moves import JobState

LONG: Final = timedelta(minutes=30)  # that an analysis waits
RECENT: Final = timedelta(days=1)  # that a caller was turned away


def attention(seen: Overview, destinations: Sequence[DestinationLine], models: Sequence[ModelLine]) -> list[str]:
    """Empty when all is well."""
    return [*_disk(seen), *_destinations(destinations), *_models(models), *_work(seen), *_record(seen), *_callers(seen)]


def _disk(seen: Overview) -> Iterator[str]:
    if seen.free_bytes <= seen.reserve_bytes:
        yield "The disk is full: images are refused with 0xA700 until there is space."
    elif seen.free_bytes < 2 * seen.reserve_bytes:
        yield "The disk is nearly full: less than twice the reserve is free."


def _destinations(destinations: Sequence[DestinationLine]) -> Iterator[str]:
    if not destinations:
        yield "No destination is configured: results stay here."
    for line in destinations:
        contact = line.contact
        if contact.retrying:
            yield f"{line.name} does not take what it is sent; {contact.retrying} tried again: {contact.why}"
        elif contact.failed_at and (contact.sent_at is None or contact.failed_at > contact.sent_at):
            yield f"The last delivery to {line.name} was given up: {contact.why}"


def _models(models: Sequence[ModelLine]) -> Iterator[str]:
    if not models:
        yield "No model is configured: studies are stored and never answered."
    for line in models:
        if line.refused:
            yield f"{line.key} does not run here: {line.runs}"


def _work(seen: Overview) -> Iterator[str]:
    oldest = seen.waiting.jobs.get(JobKind.INFER)
    if oldest and seen.at - oldest > LONG:
        yield f"An analysis has waited for more than {LONG.total_seconds() / 60:.0f} minutes."
    failed = seen.jobs.get((JobKind.INFER, JobState.FAILED), 0)
    if failed:
        yield f"Analyses that failed: {failed}."


def _record(seen: Overview) -> Iterator[str]:
    if seen.audit and seen.forwarded.since:
        yield f"The audit log does not reach its repository: {seen.forwarded.words}"


def _callers(seen: Overview) -> Iterator[str]:
    recent = [one for one in seen.strangers if seen.at - one.last_at < RECENT]
    if recent:
        yield f"Callers turned away within a day: {len(recent)}."
