"""Counters for whoever scrapes: what was written since the last time, so that an archive of years costs nothing."""

from collections import Counter
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, or_, select, text

from db.database import Database
from db.schema import NOT_STORED, audit, instances, jobs
from domain.audit import Event
from domain.figures import Increment, Mark
from domain.jobs import JobKind, Outcome, model_name

_OTHERS: Final = [event.value for event in Event if event is not Event.STORED]
_ENDS: Final = {Event.DECLINED: Outcome.NOT_ANALYSED, Event.FAILED: Outcome.FAILED}
_ANSWERED: Final = (Event.FINISHED, Event.DECLINED, Event.FAILED)
_DELIVERED: Final = (Event.SENT, Event.COMMITTED, Event.FAILED, Event.RETRIED)


class Increments:
    """The part of the store that counts. Nothing here disturbs who sends just now (see ``Database.read``)."""

    _database: Database

    def mark(self) -> Mark:
        """Now."""
        with self._database.read(latest=False) as connection:
            return _mark(connection)

    def since(self, mark: Mark) -> Increment:
        """What was written behind a mark; every row is counted once by whoever goes on from ``Increment.mark``."""
        with self._database.read(latest=False) as connection:
            now = _mark(connection)
            rows = and_(audit.c.seq > mark.row, audit.c.seq <= now.row, text(NOT_STORED))
            return Increment(
                now,
                _images(connection, mark.image, now.image),
                _events(connection, rows),
                _answers(connection, rows),
                _deliveries(connection, rows),
                _delays(connection, rows),
            )


def _mark(connection: Connection) -> Mark:
    image = connection.execute(select(func.max(instances.c.instance_id))).scalar()
    row = connection.execute(select(func.max(audit.c.seq))).scalar()
    return Mark(image or 0, row or 0)


def _images(connection: Connection, low: int, high: int) -> dict[str, tuple[int, int]]:
    new = and_(instances.c.instance_id > low, instances.c.instance_id <= high)
    query = select(instances.c.calling_ae, func.count(), func.sum(instances.c.length)).where(new).group_by(instances.c.calling_ae)
    return {title: (number, size) for title, number, size in connection.execute(query)}


def _events(connection: Connection, rows: ColumnElement[bool]) -> dict[str, int]:
    query = select(audit.c.event, func.count()).where(rows, audit.c.event.in_(_OTHERS)).group_by(audit.c.event)
    return {row[0]: row[1] for row in connection.execute(query)}


def _answers(connection: Connection, rows: ColumnElement[bool]) -> dict[tuple[str, Outcome], int]:
    which = and_(rows, audit.c.event.in_(_ANSWERED), jobs.c.kind == JobKind.INFER)
    columns = (jobs.c.model_id, jobs.c.shadow, audit.c.event, jobs.c.outcome)
    found: Counter[tuple[str, Outcome]] = Counter()
    for model, shadow, event, outcome, number in connection.execute(
        _of_jobs(*columns, func.count()).where(which).group_by(*columns)
    ):
        found[model_name(model, bool(shadow)), _ENDS.get(event) or Outcome(outcome or Outcome.FAILED)] += number
    return dict(found)


def _deliveries(connection: Connection, rows: ColumnElement[bool]) -> dict[tuple[JobKind, str, str], int]:
    which = and_(rows, audit.c.event.in_(_DELIVERED), jobs.c.kind.in_((JobKind.DELIVER, JobKind.COMMIT)))
    columns = (jobs.c.kind, jobs.c.destination, audit.c.event)
    query = _of_jobs(*columns, func.count()).where(which).group_by(*columns)
    return {(JobKind(kind), name, event): number for kind, name, event, number in connection.execute(query)}


def _delays(connection: Connection, rows: ColumnElement[bool]) -> tuple[tuple[str, float], ...]:
    """Of deliveries nobody had started again by hand, of revisions that images have made: the rest says nothing about speed."""
    before = audit.alias("before")
    by_hand = or_(before.c.job_id == jobs.c.job_id, before.c.job_id == jobs.c.parent_id)
    again = exists().where(by_hand, before.c.event == Event.REVIVED)
    of_revision = and_(instances.c.study_uid == jobs.c.study_uid, instances.c.revision == jobs.c.revision)
    last = select(func.max(instances.c.received_at)).where(of_revision).correlate(jobs).scalar_subquery()
    which = and_(rows, audit.c.event == Event.SENT, jobs.c.kind == JobKind.DELIVER, ~again)
    query = _of_jobs(jobs.c.destination, audit.c.at, last.label("last")).where(which).order_by(audit.c.seq)
    return tuple((name, max(at - since, 0) / 1e6) for name, at, since in connection.execute(query) if since is not None)


def _of_jobs(*columns: ColumnElement[Any]) -> Select[Any]:
    return select(*columns).select_from(audit.join(jobs, jobs.c.job_id == audit.c.job_id))
