"""Storage commitment as user: what was asked of archives, and what they answered, whenever and on whatever association."""

from collections.abc import Collection

from sqlalchemy import Select, insert, or_, select

from db.audit_rows import Transaction
from db.database import Database
from db.job_moves import move_job
from db.rows import job_of
from db.schema import artifacts, jobs, requests, sent
from domain.audit import Event
from domain.errors import PermanentError
from domain.evidence import Commitment, Member
from domain.jobs import Job, JobKind
from domain.moves import JobMove, JobState

_OPEN = (JobState.QUEUED, JobState.RUNNING)


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
        """An archive answered; the job is done when it committed to everything, else failed. False: nobody asked for that.

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
    else:
        move_job(tx, job, JobMove.CONFIRM, actor, {"reason": ""}, details)


def _delivered(delivery_id: int) -> Select[tuple[str, str, str]]:
    """SOP Class, instance and series of what one delivery brought."""
    good = or_(sent.c.status == 0, sent.c.status.between(0xB000, 0xBFFF))
    parent = select(jobs.c.parent_id).where(jobs.c.job_id == delivery_id).scalar_subquery()
    columns = (artifacts.c.sop_class_uid, artifacts.c.sop_instance_uid, artifacts.c.series_uid)
    told = select(sent.c.sop_instance_uid).where(sent.c.job_id == delivery_id, good)
    of_parent = (artifacts.c.job_id == parent, artifacts.c.sop_instance_uid.in_(told))
    return select(*columns).where(*of_parent).order_by(artifacts.c.artifact_id)
