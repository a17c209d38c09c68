"""Jobs: claimed with a lease and a fencing token, finished once, and everything that follows in the same transaction."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, delete, exists, func, insert, or_, select, update

from db.acceptances import learn
from db.audit_rows import Transaction, as_json
from db.database import Database
from db.gone import refuse_purged
from db.job_moves import insert_job, move_job
from db.rows import artifact_of, job_of
from db.schema import artifacts, jobs, sent
from db.times import seconds, to_micros
from domain.audit import Event
from domain.destinations import Instead, Sent
from domain.errors import LostLeaseError, PermanentError
from domain.jobs import Answer, Artifact, Job, JobKind, Outcome, Priority
from domain.moves import JobMove, JobState

_MOVE_OF: Final = {
    Outcome.POSITIVE: JobMove.FINISH,
    Outcome.NEGATIVE: JobMove.FINISH,
    Outcome.NOT_ANALYSED: JobMove.DECLINE,
    Outcome.FAILED: JobMove.FAIL,
}


class Jobs:
    """The part of the store that knows jobs."""

    _database: Database

    def claim(
        self,
        kind: JobKind,
        worker: str,
        lease_seconds: float,
        destination: str | None = None,
        without: Collection[str] = (),
        least: Priority = Priority.LOW,
    ) -> Job | None:
        """The most urgent job, of these the one that has waited longest, now running and leased to ``worker``; None for none.

        ``started_at`` is that of the first claim for ever. ``destination`` narrows deliveries to one, ``without`` leaves out jobs
        of these packages (digests), ``least`` those that are less urgent.
        """
        about = (kind, destination, frozenset(without), least)
        if self._next(*about) is None:
            return None  # no write lock for an empty queue
        with self._database.write() as tx:
            row = tx.connection.execute(_waiting(*about, tx.now)).one_or_none()
            if row is None:
                return None
            job = job_of(row)
            values = {"attempts": job.attempts + 1, "token": job.token + 1, "worker": worker}
            times = {"lease_until": tx.now + seconds(lease_seconds), "started_at": row.started_at or tx.now}
            move_job(tx, job, JobMove.CLAIM, "node", {**values, **times}, {"worker": worker})
            return _get(tx, job.job_id)

    def waits(self, kind: JobKind, without: Collection[str] = (), least: Priority = Priority.LOW) -> Job | None:
        """The job that ``claim`` would give."""
        row = self._next(kind, None, frozenset(without), least)
        return None if row is None else job_of(row)

    def renew(self, job: Job, lease_seconds: float) -> None:
        """Hold on to a running job. Raises LostLeaseError."""
        held = (jobs.c.job_id == job.job_id, jobs.c.state == JobState.RUNNING, jobs.c.token == job.token)
        with self._database.write(durable=False) as tx:
            lease = {"lease_until": tx.now + seconds(lease_seconds)}
            if tx.connection.execute(update(jobs).where(*held).values(lease)).rowcount != 1:
                raise LostLeaseError(f"job {job.job_id} is held by somebody else now")

    def finish(self, job: Job, answer: Answer) -> None:
        """An infer job was answered: done, declined or (by a verdict) failed; each destination gets a delivery in any case, none
        when the job runs in shadow.

        Raises LostLeaseError, and then nothing has changed.
        """
        if job.kind is not JobKind.INFER:
            raise PermanentError(f"job {job.job_id} is a delivery: it ends with what the destination said")
        timings = {part: round(spent, 6) for part, spent in answer.timings.items()}
        with self._database.write() as tx:
            details = {"artifacts": len(answer.artifacts), "outcome": answer.outcome.value, "timings": timings}
            details |= {"precision": answer.precision} if answer.precision else {}
            values = {"outcome": answer.outcome, "summary": answer.summary, "timings": as_json(timings), "reason": answer.reason}
            move_job(tx, job, _MOVE_OF[answer.outcome], "node", values, details)
            _replace_artifacts(tx, job.job_id, answer.artifacts)
            if job.shadow:
                said = {"destinations": list(job.destinations), "model": job.model_id, "outcome": answer.outcome.value}
                tx.audit(Event.WITHHELD, "node", said, job.study_uid, job.job_id)
            else:
                _deliver(tx, job)

    def withhold(self, job: Job) -> None:
        """A delivery that was claimed does not leave: its model runs in shadow now. Raises LostLeaseError."""
        if job.kind is not JobKind.DELIVER:
            raise PermanentError(f"job {job.job_id} is not a delivery")
        said = {"destination": job.destination, "model": job.model_id}
        with self._database.write() as tx:
            move_job(tx, job, JobMove.CANCEL, "node", {"reason": "its model runs in shadow now"}, said, Event.WITHHELD)

    def sent(
        self,
        job: Job,
        results: Sequence[Sent],
        instead: Sequence[Instead] = (),
        learned: Mapping[str, bool] | None = None,
        commit: bool = False,
    ) -> None:
        """A delivery was answered: one row per instance; done when each was accepted or something was ``instead`` of it, else
        failed. ``learned`` SOP Classes are remembered. ``commit``: the archive is to be asked for commitment next. Raises
        LostLeaseError.
        """
        if job.kind is not JobKind.DELIVER:
            raise PermanentError(f"job {job.job_id} is not a delivery")
        covered = {uid for one in instead for uid in one.sop_instance_uids}
        refused = [result for result in results if not result.accepted and result.sop_instance_uid not in covered]
        with self._database.write() as tx:
            said: dict[str, Any] = {
                "destination": job.destination,
                "instances": [[one.sop_instance_uid, f"0x{one.status:04X}"] for one in results],
            }
            if instead:
                said["instead"] = {one.wanted: one.given for one in instead}
            if refused:
                move_job(tx, job, JobMove.FAIL, "node", {"reason": _refusal(tx, job, refused)}, said)
            else:
                move_job(tx, job, JobMove.FINISH, "node", {"reason": ""}, said, Event.SENT)
            _insert_sent(tx, job, results)
            learn(tx, job.destination, learned or {})
            if commit and any(one.accepted for one in results):
                _follow(tx, job, JobKind.COMMIT, job.destination)

    def fail(self, job: Job, reason: str) -> None:
        """Give a running job up. Raises LostLeaseError."""
        self._move(job, JobMove.FAIL, {"reason": reason})

    def retry(self, job: Job, reason: str, run_at: datetime) -> None:
        """Back into the queue, not before ``run_at``; attempts go on counting. Raises LostLeaseError."""
        self._move(job, JobMove.RETRY, {"reason": reason, "run_at": to_micros(run_at)})

    def expire(self) -> list[Job]:
        """Running jobs whose lease ran out go back into the queue; returns them as they are now."""
        late = and_(jobs.c.state == JobState.RUNNING, jobs.c.lease_until < self._database.now())
        with self._database.read(latest=False) as connection:
            if not connection.execute(select(jobs.c.job_id).where(late)).all():
                return []
        with self._database.write() as tx:
            return requeue(tx, late, "the lease ran out")

    def cancel(self, job_id: int, actor: str) -> None:
        """An operator stops a job that waits or runs; a running one cannot finish any more. Raises PermanentError."""
        with self._database.write() as tx:
            move_job(tx, _get(tx, job_id), JobMove.CANCEL, actor, {"reason": "cancelled by an operator"})

    def revive(self, job_id: int, actor: str) -> None:
        """An operator starts an ended job again, with all its attempts. Raises PermanentError, also when what it is about was
        purged."""
        with self._database.write() as tx:
            fresh = {"attempts": 0, "run_at": tx.now, "reason": ""}
            job = _get(tx, job_id)
            refuse_purged(tx.connection, job)
            move_job(tx, job, JobMove.REVIVE, actor, fresh)

    def job(self, job_id: int) -> Job | None:
        """One job, or None."""
        found = self.jobs(job_id=job_id)
        return found[0] if found else None

    def jobs(
        self,
        *,
        job_id: int | None = None,
        study_uid: str | None = None,
        kind: JobKind | None = None,
        state: JobState | None = None,
        model_id: str | None = None,
        destination: str | None = None,
        parent_id: int | None = None,
        revision: int | None = None,
        limit: int = 1000,
        before: int | None = None,
    ) -> list[Job]:
        """The newest first; ``before``: only lower numbers."""
        wanted = {"job_id": job_id, "study_uid": study_uid, "kind": kind, "state": state, "model_id": model_id}
        wanted |= {"destination": destination, "parent_id": parent_id, "revision": revision}
        terms = [jobs.c[name] == value for name, value in wanted.items() if value is not None]
        terms += [] if before is None else [jobs.c.job_id < before]
        with self._database.read(latest=False) as connection:
            rows = connection.execute(select(jobs).where(*terms).order_by(jobs.c.job_id.desc()).limit(limit))
            return [job_of(row) for row in rows]

    def job_counts(self) -> dict[tuple[JobKind, JobState], int]:
        """How many there are of each kind in each state."""
        query = select(jobs.c.kind, jobs.c.state, func.count()).group_by(jobs.c.state, jobs.c.kind)
        with self._database.read(latest=False) as connection:
            return {(JobKind(kind), JobState(state)): count for kind, state, count in connection.execute(query)}

    def waiting_destinations(self) -> list[str]:
        """Names of destinations for which deliveries are queued, due or not."""
        waiting = (jobs.c.state == JobState.QUEUED, jobs.c.kind == JobKind.DELIVER)
        query = select(jobs.c.destination).where(*waiting).distinct().order_by(jobs.c.destination)
        with self._database.read(latest=False) as connection:
            return list(connection.execute(query).scalars())

    def artifacts(self, job_id: int) -> list[Artifact]:
        """What an infer job wrote, in the order it named them."""
        query = select(artifacts).where(artifacts.c.job_id == job_id).order_by(artifacts.c.artifact_id)
        with self._database.read(latest=False) as connection:
            return [artifact_of(row) for row in connection.execute(query)]

    def predecessors(self, job: Job) -> list[Artifact]:
        """The artifacts of the newest answer (of any outcome) of the same study and model with a lower revision. Answers kept
        in shadow supersede nothing and are superseded by nothing: a report must not name one that no archive has."""
        before = and_(
            jobs.c.study_uid == job.study_uid,
            jobs.c.model_id == job.model_id,
            jobs.c.kind == JobKind.INFER,
            jobs.c.shadow == 0,
            jobs.c.state.in_((JobState.DONE, JobState.DECLINED, JobState.FAILED)),
            jobs.c.revision < job.revision,
            exists().where(artifacts.c.job_id == jobs.c.job_id),
        )
        query = select(jobs.c.job_id).where(before).order_by(jobs.c.revision.desc(), jobs.c.job_id.desc()).limit(1)
        with self._database.read(latest=False) as connection:
            found = connection.execute(query).scalar_one_or_none()
        return [] if found is None else self.artifacts(found)

    def accepted(self, sop_instance_uids: Collection[str]) -> set[str]:
        """Those of the instances that some destination took."""
        good = or_(sent.c.status == 0, sent.c.status.between(0xB000, 0xBFFF))
        query = select(sent.c.sop_instance_uid).where(sent.c.sop_instance_uid.in_(sop_instance_uids), good)
        with self._database.read(latest=False) as connection:
            return set(connection.execute(query).scalars())

    def statuses(self, job_id: int) -> list[Sent]:
        """What the destination said to each instance of a delivery, oldest attempt first."""
        query = select(sent).where(sent.c.job_id == job_id).order_by(sent.c.sent_id)
        with self._database.read(latest=False) as connection:
            return [Sent(row.sop_instance_uid, row.status, row.comment) for row in connection.execute(query)]

    def _next(self, kind: JobKind, destination: str | None, without: frozenset[str], least: Priority) -> Row[Any] | None:
        with self._database.read(latest=False) as connection:
            return connection.execute(_waiting(kind, destination, without, least, self._database.now())).one_or_none()

    def _move(self, job: Job, move: JobMove, values: dict[str, Any]) -> None:
        with self._database.write() as tx:
            move_job(tx, job, move, "node", values)


def requeue(tx: Transaction, which: ColumnElement[bool], reason: str) -> list[Job]:
    """Running jobs go back into the queue; returns them as they are now."""
    found = [job_of(row) for row in tx.connection.execute(select(jobs).where(which).order_by(jobs.c.job_id)).all()]
    for job in found:
        move_job(tx, job, JobMove.EXPIRE, "node", {"reason": reason, "run_at": tx.now})
    return [_get(tx, job.job_id) for job in found]


def _waiting(kind: JobKind, destination: str | None, without: frozenset[str], least: Priority, now: int) -> Any:
    urgent = jobs.c.priority.in_([int(each) for each in Priority if each <= least])  # one by one: see the index jobs_queue
    terms = [jobs.c.state == JobState.QUEUED, jobs.c.kind == kind, jobs.c.run_at <= now, urgent]
    if without:
        terms.append(jobs.c.package_digest.not_in(sorted(without)))
    if destination is not None:
        terms.append(jobs.c.destination == destination)
    return select(jobs).where(*terms).order_by(jobs.c.priority, jobs.c.run_at, jobs.c.job_id).limit(1)


def _get(tx: Transaction, job_id: int) -> Job:
    row = tx.connection.execute(select(jobs).where(jobs.c.job_id == job_id)).one_or_none()
    if row is None:
        raise PermanentError(f"there is no job {job_id}")
    return job_of(row)


def _replace_artifacts(tx: Transaction, job_id: int, new: Sequence[Artifact]) -> None:
    tx.connection.execute(delete(artifacts).where(artifacts.c.job_id == job_id))
    for each in new:
        values = {name: getattr(each, name) for name in ("role", "path", "digest", "size")}
        uids = {name: getattr(each, name) for name in ("sop_class_uid", "sop_instance_uid", "series_uid")}
        tx.connection.execute(insert(artifacts).values(job_id=job_id, **values, **uids))


def _deliver(tx: Transaction, job: Job) -> None:
    """One delivery per destination; those of an earlier run that still wait would send the same and are cancelled."""
    waiting = and_(jobs.c.parent_id == job.job_id, jobs.c.state == JobState.QUEUED)
    for row in tx.connection.execute(select(jobs).where(waiting)).all():
        move_job(tx, job_of(row), JobMove.CANCEL, "node", {"reason": "the analysis was run again"})
    for destination in job.destinations:
        _follow(tx, job, JobKind.DELIVER, destination)


def _follow(tx: Transaction, job: Job, kind: JobKind, destination: str) -> None:
    """Queue what comes after a job."""
    insert_job(
        tx,
        kind=kind,
        study_uid=job.study_uid,
        revision=job.revision,
        model_id=job.model_id,
        package_digest=job.package_digest,
        series_uids=job.series_uids,
        input_digest=job.input_digest,
        destination=destination,
        parent_id=job.job_id,
        priority=job.priority,
    )


def _insert_sent(tx: Transaction, job: Job, results: Sequence[Sent]) -> None:
    for one in results:
        said = {"sop_instance_uid": one.sop_instance_uid, "status": one.status, "comment": one.comment}
        tx.connection.execute(insert(sent).values(job_id=job.job_id, attempt=job.attempts, at=tx.now, **said))


def _refusal(tx: Transaction, job: Job, refused: Sequence[Sent]) -> str:
    """Which kinds of object were refused with which status; the other side's comment stays out: it may name a patient."""
    query = select(artifacts.c.sop_instance_uid, artifacts.c.sop_class_uid).where(artifacts.c.job_id == job.parent_id)
    classes = {row.sop_instance_uid: row.sop_class_uid for row in tx.connection.execute(query)}
    said = sorted({f"{classes.get(one.sop_instance_uid, 'an object')} with 0x{one.status:04X}" for one in refused})
    return f"{job.destination} refused {', '.join(said)}"
