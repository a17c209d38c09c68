"""Instances, callers and a clock for the tests of the database; nothing here is patient data."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from db.engine import open_store
from db.spool import Recovered, Spool, Torn
from db.store import Store
from domain.instances import Caller, Header, Instance, Place
from domain.jobs import Answer, Artifact, Job, JobKind, NewJob, Outcome

CALLER = Caller("CT01", "ANCILLA", "192.0.2.7")
META = bytes(128) + b"DICM" + b"group 0002"
CT = "1.2.840.10008.5.1.4.1.1.2"


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def header(number: int = 1, study: str = "1.2.3", series: str = "1") -> Header:
    return Header(CT, f"1.2.826.0.1.{number}", "1.2.840.10008.1.2.1", study, f"{study}.{series}", "CT")


def instance(number: int = 1, study: str = "1.2.3", series: str = "1", association: str = "a1", content: str = "") -> Instance:
    digest = hashlib.sha256(f"{study} {number} {content}".encode()).hexdigest()
    place = Place(f"00/{study}/{association}.pack", number * 100, 100)
    return Instance(header(number, study, series), place, digest, CALLER, association, datetime(2026, 3, 1, tzinfo=UTC))


def put(spool: Spool, payload: bytes, number: int = 1, study: str = "1.2.3", association: str = "a1") -> tuple[Place, str]:
    writer = spool.writer(association, CALLER, header(number, study), META)
    writer.write(payload)
    return writer.commit()


def found(spool: Spool, indexed: dict[str, int] | None = None) -> tuple[list[Instance], list[Torn]]:
    """What start-up finds: the intact records and the torn tails."""
    both = list(spool.recover(indexed or {}))
    return [each.instance for each in both if isinstance(each, Recovered)], [each for each in both if isinstance(each, Torn)]


def new_store(folder: Path, clock: Clock) -> Store:
    return open_store(folder / "ancilla.db", clock)


def model(name: str = "lung", series: str = "1", study: str = "1.2.3", destinations: tuple[str, ...] = ("pacs",)) -> NewJob:
    return NewJob(name, "d" * 64, (f"{study}.{series}",), destinations)


def answer(outcome: Outcome = Outcome.POSITIVE, name: str = "sr") -> Answer:
    wrote = (
        Artifact(name, f"results/{name}.dcm", "e" * 64, 1000, "1.2.840.10008.5.1.4.1.1.88.33", f"2.25.{len(name)}", "2.25.9"),
    )
    return Answer(outcome, "Two findings.", wrote, "" if outcome is Outcome.POSITIVE else "slices too thick", {"load": 0.25})


def settled(store: Store, clock: Clock, *jobs: NewJob, study: str = "1.2.3", number: int = 1) -> None:
    """One image from one association, released; the study settled with the jobs."""
    association = f"assoc{study}-{number}".replace(".", "_")
    store.opened(association, CALLER)
    store.received(instance(number, study, association=association), 30, 600)
    store.closed(association, "released", 30)
    clock.forward(31)
    due = {each.study_uid: each for each in store.due()}[study]
    assert store.settle(study, due.revision, jobs)


def claimed(store: Store, kind: JobKind = JobKind.INFER) -> Job:
    job = store.claim(kind, "worker-1", 60)
    assert job is not None
    return job


def events(store: Store) -> list[str]:
    return [row.event for row in store.audit()]
