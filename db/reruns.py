"""A closed study is judged again: new jobs in a revision of their own, stored answers sent once more, all or nothing."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, and_, insert, or_, select, update

from db.audit_rows import Transaction, as_json
from db.database import Database
from db.evidence import HOLDS
from db.habits import SETTLED
from db.job_moves import move_job
from db.receiving import move_study
from db.rows import job_of
from db.schema import evidence, jobs, studies
from db.studies import input_digest, queue, with_counts
from domain.audit import Event
from domain.errors import TransientError
from domain.jobs import Job, JobKind, NewJob
from domain.moves import JobMove, JobState, StudyMove

RERUN: Final = "rerun"  # by what such a revision is complete
_OPEN: Final = (JobState.QUEUED, JobState.RUNNING)


class Reruns:
    """The part of the store that judges again."""

    _database: Database

    def input_digest(self, study_uid: str, revision: int, series_uids: Sequence[str]) -> str:
        """What a job of these series would have as its input digest."""
        with self._database.read() as connection:
            return input_digest(connection, study_uid, revision, series_uids)

    def rerun(
        self,
        study_uid: str,
        revision: int,
        seen: int,
        anew: Sequence[NewJob],
        again: Mapping[int, NewJob],
        actor: str,
    ) -> dict[str, int]:
        """Queue jobs of a closed study for an operator; returns the id of the job of each model by ``NewJob.name``.

        ``anew`` are analysed in a new revision, so that their results have UIDs of their own and name the former ones; what still
        waits or runs of the same models is cancelled, by one in shadow only what runs in shadow too. ``again`` are ended jobs
        whose stored answer still stands, with where it goes now: they keep their revision and their UIDs. ``revision`` and
        ``seen`` (winning instances) are what the caller judged by. Raises TransientError when that has changed, PermanentError
        when the study is not closed.
        """
        with self._database.write() as tx:
            row = tx.connection.execute(with_counts().where(studies.c.study_uid == study_uid)).one_or_none()
            if row is None or (row.revision, row.instances) != (revision, seen):
                raise TransientError(
                    f"images of study {study_uid} have arrived just now; wait until it is complete and try again"
                )
            state = move_study(row.state, StudyMove.RERUN)
            former = [job_of(found) for found in tx.connection.execute(select(jobs).where(jobs.c.job_id.in_(again))).all()]
            models = {"again": sorted(job.model_id for job in former), "anew": sorted(job.model_id for job in anew)}
            target = revision + 1 if anew else revision
            tx.audit(Event.RERUN, actor, {**models, "revision": target}, study_uid)
            if anew:
                tx.connection.execute(update(studies).where(_is(row)).values(state=state, revision=target))
                _inherit(tx, row, target)
            queued = {job.name: _anew(tx, row, target, job) for job in anew}
            return queued | {again[job.job_id].name: _again(tx, job, again[job.job_id], actor) for job in former}


def _is(row: Row[Any]) -> Any:
    return studies.c.study_uid == row.study_uid


def _inherit(tx: Transaction, row: Row[Any], revision: int) -> None:
    """The new revision is complete because an operator says so; what the former one lacked, it lacks too."""
    holds = and_(evidence.c.study_uid == row.study_uid, evidence.c.revision == row.revision, evidence.c.kind.in_(HOLDS))
    found = tx.connection.execute(select(evidence).where(holds)).all()
    about = {"study_uid": row.study_uid, "revision": revision, "at": tx.now}
    rows = [{**about, "kind": hold.kind, "subject": hold.subject, "details": hold.details} for hold in found]
    rows.append({**about, "kind": SETTLED, "subject": RERUN, "details": as_json({"callers": []})})
    tx.connection.execute(insert(evidence), rows)


def _anew(tx: Transaction, row: Row[Any], revision: int, job: NewJob) -> int:
    mine = jobs.c.shadow == int(job.shadow)  # not those of the version it runs beside
    if not job.shadow:
        mine = or_(mine, jobs.c.package_digest == job.package_digest)  # the same in shadow would only be done twice
    same = and_(jobs.c.study_uid == row.study_uid, jobs.c.kind == JobKind.INFER, jobs.c.model_id == job.model_id, mine)
    for old in tx.connection.execute(select(jobs).where(same, jobs.c.state.in_(_OPEN)).order_by(jobs.c.job_id)).all():
        move_job(tx, job_of(old), JobMove.CANCEL, "node", {"reason": f"superseded by revision {revision}"})
    digest = input_digest(tx.connection, row.study_uid, revision, job.series_uids)
    return queue(tx, row.study_uid, revision, job, digest)


def _again(tx: Transaction, job: Job, now: NewJob, actor: str) -> int:
    """Its worker finds the stored files and gives them back; a delivery for each destination follows."""
    fresh = {"attempts": 0, "run_at": tx.now, "reason": "", "destinations": as_json(list(now.destinations))}
    fresh |= {"shadow": int(now.shadow), "priority": int(now.priority)}
    move_job(tx, job, JobMove.REVIVE, actor, fresh, {"shadow": "off"} if job.shadow and not now.shadow else {})
    return job.job_id
