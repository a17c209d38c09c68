"""Between rows and the nouns of the domain."""

import json
from typing import Any

from sqlalchemy import Row

from db.times import from_micros, maybe_from_micros
from domain.instances import Caller, Header, Instance, Place
from domain.jobs import Artifact, Job, JobKind, Outcome, Priority
from domain.moves import JobState, StudyState
from domain.strangers import Stranger
from domain.studies import Evidence, Study


def instance_of(row: Row[Any]) -> Instance:
    """A row of ``instances``."""
    header = Header(row.sop_class_uid, row.sop_instance_uid, row.transfer_syntax_uid, row.study_uid, row.series_uid, row.modality)
    place = Place(row.pack, row.offset, row.length)
    caller = Caller(row.calling_ae, row.called_ae, row.address)
    return Instance(header, place, row.digest, caller, row.association_id, from_micros(row.received_at))


def study_of(row: Row[Any]) -> Study:
    """A row of ``studies`` with the counts ``series`` and ``instances``."""
    return Study(
        row.study_uid,
        StudyState(row.state),
        row.revision,
        from_micros(row.quiet_at),
        from_micros(row.deadline),
        from_micros(row.first_at),
        from_micros(row.last_at),
        row.series,
        row.instances,
    )


def evidence_of(row: Row[Any]) -> Evidence:
    """A row of ``evidence``."""
    return Evidence(row.study_uid, row.revision, row.kind, row.subject, row.details, from_micros(row.at))


def job_of(row: Row[Any]) -> Job:
    """A row of ``jobs``."""
    return Job(
        job_id=row.job_id,
        kind=JobKind(row.kind),
        state=JobState(row.state),
        study_uid=row.study_uid,
        revision=row.revision,
        model_id=row.model_id,
        package_digest=row.package_digest,
        series_uids=tuple(json.loads(row.series_uids)),
        input_digest=row.input_digest,
        destinations=tuple(json.loads(row.destinations)),
        destination=row.destination,
        parent_id=row.parent_id,
        attempts=row.attempts,
        token=row.token,
        run_at=from_micros(row.run_at),
        lease_until=maybe_from_micros(row.lease_until),
        created_at=from_micros(row.created_at),
        started_at=maybe_from_micros(row.started_at),
        finished_at=maybe_from_micros(row.finished_at),
        reason=row.reason,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        summary=row.summary,
        timings=json.loads(row.timings),
        missing=tuple(json.loads(row.missing)),
        priority=Priority(row.priority),
        shadow=bool(row.shadow),
    )


def artifact_of(row: Row[Any]) -> Artifact:
    """A row of ``artifacts``."""
    return Artifact(row.role, row.path, row.digest, row.size, row.sop_class_uid, row.sop_instance_uid, row.series_uid)


def stranger_of(row: Row[Any]) -> Stranger:
    """A row of ``strangers``."""
    caller = Caller(row.calling_ae, row.called_ae, row.address)
    return Stranger(
        caller,
        row._mapping["count"],
        from_micros(row.first_at),
        from_micros(row.last_at),
        row.words,
        tuple(json.loads(row.proposed)),
    )
