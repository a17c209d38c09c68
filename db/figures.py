"""What an administrator looks at: small answers that cost the same however large the archive is."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, and_, case, func, select

from db.database import Database
from db.schema import instances, jobs, sent, studies
from db.times import from_micros, maybe_from_micros
from domain.figures import Contact, Waiting
from domain.jobs import JobKind, Outcome, model_name
from domain.moves import JobState, StudyState

_RECENT: Final = 1000  # ended deliveries, or answers, that are looked at


class Figures:
    """The part of the store that is asked for figures. None of them disturbs who sends just now (see ``Database.read``)."""

    _database: Database

    def find_study(self, uid: str) -> str:
        """The Study Instance UID of a study, of one of its images or of a result that was sent; "" for none."""
        of_study = select(studies.c.study_uid).where(studies.c.study_uid == uid)
        of_image = select(instances.c.study_uid).where(instances.c.sop_instance_uid == uid).limit(1)
        of_result = select(jobs.c.study_uid).join(sent, sent.c.job_id == jobs.c.job_id)
        of_result = of_result.where(sent.c.sop_instance_uid == uid).limit(1)
        with self._database.read(latest=False) as connection:
            found = (connection.execute(query).scalar_one_or_none() for query in (of_study, of_image, of_result))
            return next((str(one) for one in found if one is not None), "")

    def waiting(self) -> Waiting:
        """The oldest of what is waited for."""
        queued = select(jobs.c.kind, func.min(jobs.c.created_at)).where(jobs.c.state == JobState.QUEUED).group_by(jobs.c.kind)
        quiet = select(func.min(studies.c.last_at)).where(studies.c.state == StudyState.RECEIVING)
        with self._database.read(latest=False) as connection:
            oldest = {JobKind(kind): from_micros(at) for kind, at in connection.execute(queued)}
            return Waiting(oldest, maybe_from_micros(connection.execute(quiet).scalar()))

    def contacts(self) -> dict[str, Contact]:
        """What each destination said of late: of the last thousand deliveries that ended well, and that ended badly."""
        with self._database.read(latest=False) as connection:
            good, bad = (_ended(connection, state) for state in (JobState.DONE, JobState.FAILED))
            waits = {row.destination: row for row in _waits(connection)}
            reasons = _reasons(connection)
        names = good.keys() | bad.keys() | waits.keys()
        return {name: _contact(good.get(name), bad.get(name), waits.get(name), reasons.get(name, "")) for name in names}

    def recent_outcomes(self) -> dict[tuple[str, Outcome], int]:
        """What the last thousand answers were, by model (and whether it ran in shadow: ``domain.jobs.model_name``)."""
        answered = (jobs.c.kind == JobKind.INFER, jobs.c.outcome.is_not(None))
        columns = (jobs.c.model_id, jobs.c.shadow, jobs.c.outcome)
        last = select(*columns).where(*answered).order_by(jobs.c.job_id.desc()).limit(_RECENT).subquery()
        counted = select(*last.c, func.count()).group_by(*last.c)
        with self._database.read(latest=False) as connection:
            rows = connection.execute(counted).all()
        return {(model_name(row[0], bool(row[1])), Outcome(row[2])): row[3] for row in rows}


def _ended(connection: Connection, state: JobState) -> dict[str, Any]:
    """The newest delivery that ended so, by destination."""
    which = (jobs.c.state == state, jobs.c.kind == JobKind.DELIVER)
    columns = (jobs.c.destination, jobs.c.finished_at, jobs.c.reason)
    last = select(*columns).where(*which).order_by(jobs.c.job_id.desc()).limit(_RECENT).subquery()
    place = func.row_number().over(partition_by=last.c.destination, order_by=last.c.finished_at.desc()).label("place")
    ranked = select(last, place).subquery()
    return {row.destination: row for row in connection.execute(select(ranked).where(ranked.c.place == 1))}


def _waits(connection: Connection) -> Sequence[Any]:
    queued = and_(jobs.c.state == JobState.QUEUED, jobs.c.kind == JobKind.DELIVER)
    tried = func.sum(case((jobs.c.attempts > 0, 1), else_=0)).label("tried")
    columns = (jobs.c.destination, func.count().label("number"), func.min(jobs.c.created_at).label("since"), tried)
    return connection.execute(select(*columns).where(queued).group_by(jobs.c.destination)).all()


def _reasons(connection: Connection) -> dict[str, str]:
    """Why the newest of the deliveries that are tried again was not taken."""
    tried = and_(jobs.c.state == JobState.QUEUED, jobs.c.kind == JobKind.DELIVER, jobs.c.attempts > 0)
    newest = select(func.max(jobs.c.job_id)).where(tried).group_by(jobs.c.destination)
    rows = connection.execute(select(jobs.c.destination, jobs.c.reason).where(jobs.c.job_id.in_(newest)))
    return {row.destination: row.reason for row in rows}


def _contact(good: Any, bad: Any, waits: Any, reason: str) -> Contact:
    return Contact(
        sent_at=maybe_from_micros(good.finished_at) if good else None,
        failed_at=maybe_from_micros(bad.finished_at) if bad else None,
        waiting=waits.number if waits else 0,
        waiting_since=from_micros(waits.since) if waits else None,
        retrying=int(waits.tried) if waits else 0,
        why=reason or (bad.reason if bad else ""),
    )
