"""Storage commitment as user: what was asked of archives, and what they answered, whenever and on whatever association."""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Select, func, insert, or_, select

from db.audit_rows import Transaction
from db.database import Database
from db.job_moves import move_job
from db.rows import job_of
from db.schema import artifacts, jobs, requests, sent
from db.times import seconds
from domain.audit import Event
from domain.errors import PermanentError
from domain.evidence import Commitment, Member
from domain.jobs import Job, JobKind
from domain.moves import JobMove, JobState

_OPEN: Final = (JobState.QUEUED, JobState.RUNNING)
_DELIVERED: Final = (JobState.DONE, JobState.FAILED)
RESENDS: Final = 2  # how often results are sent again to an archive that does not commit to them
RESEND_PAUSE: Final = 60.0  # seconds before the first time, twice as many before the second


class Commitments:
    """The part of the store that knows what archives have promised."""

    _database: Database

    def to_be_committed(self, job: Job) -> list[Member]:
        """What the delivery of a commit job brought: instances that were accepted, each once."""
        if job.kind is not JobKind.COMMIT or job.parent_id is None:
            raise PermanentError(f"job {job.job_id} asks for no commitment")
        with self._database.read() as connection:
            rows = connection.execute(_delivered(job.parent_id)).all()
        return [Member(row.sop_class_uid, row.sop_instance_uid, row.series_uid) for row in rows]

    def asked(self, job: Job, transaction_uid: str) -> None:
        """Before an archive is asked: so that its answer finds the job whenever it comes."""
        with self._database.write() as tx:
            tx.connection.execute(insert(requests).values(transaction_uid=transaction_uid, job_id=job.job_id, at=tx.now))
            details = {"destination": job.destination, "transaction": transaction_uid}
            tx.audit(Event.ASKED, "node", details, job.study_uid, job.job_id)

    def promised(self, actor: str, commitment: Commitment, proof: str = "storage-commitment") -> bool:
        """An archive answered; the job is done when it committed to everything, else failed, and what it belongs to is delivered
        again, at most ``RESENDS`` times. False: nobody asked for that.

        ``proof`` says how it answered. An answer to a job that has ended changes nothing.
        """
        with self._database.write() as tx:
            query = select(jobs).join(requests, requests.c.job_id == jobs.c.job_id)
            row = tx.connection.execute(query.where(requests.c.transaction_uid == commitment.transaction_uid)).one_or_none()
            if row is None:
                return False
            job = job_of(row)
            if job.state in _OPEN:
                _conclude(tx, job, actor, {member.sop_instance_uid for member in commitment.durable}, proof)
        return True


def _conclude(tx: Transaction, job: Job, actor: str, durable: Collection[str], proof: str) -> None:
    assert job.parent_id is not None
    wanted = [row.sop_instance_uid for row in tx.connection.execute(_delivered(job.parent_id))]
    missing = [uid for uid in wanted if uid not in durable]
    details = {"destination": job.destination, "instances": len(wanted), "missing": missing, "proof": proof}
    if missing:
        reason = f"{job.destination} does not commit to {len(missing)} of {len(wanted)} objects"
        move_job(tx, job, JobMove.DENY, actor, {"reason": reason}, details)
        _send_again(tx, job, reason)
    else:
        move_job(tx, job, JobMove.CONFIRM, actor, {"reason": ""}, details)


def _send_again(tx: Transaction, job: Job, reason: str) -> None:
    """The delivery of a commit job that was denied goes back into the queue; a new request follows it. An archive that never
    commits is given up after a few times, and the commit jobs say so."""
    delivery = job_of(tx.connection.execute(select(jobs).where(jobs.c.job_id == job.parent_id)).one())
    denied = (jobs.c.parent_id == job.parent_id, jobs.c.kind == JobKind.COMMIT, jobs.c.state == JobState.FAILED)
    times: int = tx.connection.execute(select(func.count()).where(*denied)).scalar_one()
    if times > RESENDS or delivery.state not in _DELIVERED:
        return
    fresh: dict[str, Any] = {"attempts": 0, "run_at": tx.now + seconds(RESEND_PAUSE * times), "reason": reason}
    move_job(tx, delivery, JobMove.REVIVE, "node", fresh, {"destination": job.destination, "resend": times, "of": RESENDS})


def _delivered(delivery_id: int) -> Select[tuple[str, str, str]]:
    """SOP Class, instance and series of what one delivery brought."""
    good = or_(sent.c.status == 0, sent.c.status.between(0xB000, 0xBFFF))
    parent = select(jobs.c.parent_id).where(jobs.c.job_id == delivery_id).scalar_subquery()
    columns = (artifacts.c.sop_class_uid, artifacts.c.sop_instance_uid, artifacts.c.series_uid)
    told = select(sent.c.sop_instance_uid).where(sent.c.job_id == delivery_id, good)
    of_parent = (artifacts.c.job_id == parent, artifacts.c.sop_instance_uid.in_(told))
    return select(*columns).where(*of_parent).order_by(artifacts.c.artifact_id)
