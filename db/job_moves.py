"""The only place that writes the state of a job: what is not in the table of moves, or not ours any more, cannot happen."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import insert, update

from db.audit_rows import Transaction, as_json
from db.schema import jobs
from domain.audit import Event
from domain.errors import LostLeaseError, PermanentError
from domain.jobs import Job, JobKind, Priority
from domain.moves import JOB_MOVES, JobMove

_EVENTS: Final = {
    JobMove.CLAIM: Event.CLAIMED,
    JobMove.FINISH: Event.FINISHED,
    JobMove.DECLINE: Event.DECLINED,
    JobMove.FAIL: Event.FAILED,
    JobMove.RETRY: Event.RETRIED,
    JobMove.EXPIRE: Event.EXPIRED,
    JobMove.CANCEL: Event.CANCELLED,
    JobMove.REVIVE: Event.REVIVED,
    JobMove.CONFIRM: Event.COMMITTED,
    JobMove.DENY: Event.FAILED,
}
_ENDS: Final = frozenset({JobMove.FINISH, JobMove.DECLINE, JobMove.FAIL, JobMove.CANCEL, JobMove.CONFIRM, JobMove.DENY})


def move_job(
    tx: Transaction,
    job: Job,
    move: JobMove,
    actor: str,
    values: Mapping[str, Any],
    details: Mapping[str, Any] | None = None,
    event: Event | None = None,
) -> None:
    """Move a job on, with its audit row. ``values`` are further columns, ``details`` more for the log.

    Raises PermanentError for a move that is not in the table, LostLeaseError when state or token changed meanwhile.
    """
    target = JOB_MOVES.get((job.state, move))
    if target is None:
        raise PermanentError(f"job {job.job_id} is {job.state.value}: it cannot {move.value}")
    columns = {"finished_at": tx.now if move in _ENDS else None, "lease_until": None, "worker": "", **values}
    held = (jobs.c.job_id == job.job_id, jobs.c.state == job.state, jobs.c.token == job.token)
    if tx.connection.execute(update(jobs).where(*held).values(state=target, **columns)).rowcount != 1:
        raise LostLeaseError(f"job {job.job_id} is held by somebody else now")
    said: dict[str, Any] = {"attempt": values.get("attempts", job.attempts), "kind": job.kind.value, **(details or {})}
    if job.destination:
        said["destination"] = job.destination
    if values.get("reason"):
        said["reason"] = values["reason"]
    tx.audit(event or _EVENTS[move], actor, said, job.study_uid, job.job_id)


def insert_job(
    tx: Transaction,
    *,
    kind: JobKind,
    study_uid: str,
    revision: int,
    model_id: str,
    package_digest: str,
    series_uids: tuple[str, ...],
    input_digest: str,
    destinations: tuple[str, ...] = (),
    destination: str = "",
    parent_id: int | None = None,
    missing: tuple[str, ...] = (),
    priority: Priority = Priority.ROUTINE,
    shadow: bool = False,
) -> int:
    """Queue a new job, with its audit row; returns its id."""
    values = {
        "kind": kind,
        "state": "queued",
        "study_uid": study_uid,
        "revision": revision,
        "model_id": model_id,
        "package_digest": package_digest,
        "series_uids": as_json(list(series_uids)),
        "input_digest": input_digest,
        "destinations": as_json(list(destinations)),
        "destination": destination,
        "parent_id": parent_id,
        "attempts": 0,
        "token": 0,
        "worker": "",
        "run_at": tx.now,
        "created_at": tx.now,
        "reason": "",
        "summary": "",
        "timings": "{}",
        "missing": as_json(list(missing)),
        "priority": int(priority),
        "shadow": int(shadow),
    }
    job_id = int(tx.connection.execute(insert(jobs).values(values).returning(jobs.c.job_id)).scalar_one())
    details: dict[str, Any] = {"destination": destination, "input": input_digest, "kind": kind.value}
    details |= {"model": model_id, "revision": revision}
    if priority is not Priority.ROUTINE:
        details["priority"] = priority.name.lower()
    if shadow:
        details["shadow"] = True
    tx.audit(Event.QUEUED, "node", details, study_uid, job_id)
    return job_id
