"""Studies: which are complete by the evidence, and closing them together with queueing their jobs."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from db.audit_rows import Transaction, as_json
from db.database import Database
from db.evidence import HOLDS, blocked, callers, listed_complete, strongest
from db.gone import purged_revision
from db.habits import SETTLED, learn
from db.job_moves import insert_job, move_job
from db.receiving import move_study
from db.rows import evidence_of, instance_of, job_of, study_of
from db.schema import associations, evidence, instances, jobs, studies
from db.times import seconds, to_micros
from domain.audit import Event
from domain.completeness import Hold
from domain.instances import Instance
from domain.jobs import JobKind, NewJob
from domain.moves import JobMove, JobState, StudyMove, StudyState
from domain.studies import Evidence, Study


class Studies:
    """The part of the store that knows studies."""

    _database: Database

    def due(self, latest: bool = True) -> list[Study]:
        """Receiving studies of which all that others listed is here; or that are quiet, with no association open that sent to
        them and nothing listed missing; or that are past their deadline. ``latest``: see ``Database.read``."""
        with self._database.read(latest) as connection:
            found = connection.execute(with_counts().where(_is_due(self._database.now())).order_by(studies.c.quiet_at))
            return [study_of(row) for row in found]

    def is_behind(self) -> bool:
        """Whether rows of images wait to be written: somebody sends just now, and what is written seems to pause though it does
        not."""
        return self._database.is_behind

    def next_due(self) -> float | None:
        """Seconds until the next receiving study will have been quiet for long enough, as far as is written down; None: no study
        is waited for."""
        now = self._database.now()
        waiting = (studies.c.state == StudyState.RECEIVING, studies.c.quiet_at > now)
        with self._database.read(latest=False) as connection:
            at = connection.execute(select(func.min(studies.c.quiet_at)).where(*waiting)).scalar()
        return None if at is None else (at - now) / 1_000_000

    def settle(
        self,
        study_uid: str,
        revision: int,
        new_jobs: Sequence[NewJob],
        seen: int | None = None,
        missing: Sequence[str] = (),
        unmet: Mapping[str, Sequence[str]] | None = None,
    ) -> bool:
        """Close a due study and queue its jobs. False: something arrived meanwhile, look again.

        ``seen`` is the number of winning instances the caller judged by, ``missing`` what it knows to be missing, in sentences.
        ``unmet``: by model that wants nothing of it, the DICOM keywords of the clauses that failed; for the log, when none does.
        Queued infer jobs of older revisions are cancelled; a job whose input and package are the same as last time is left out.
        """
        with self._database.write() as tx:
            due = and_(studies.c.study_uid == study_uid, studies.c.revision == revision, _is_due(tx.now))
            row = tx.connection.execute(with_counts().where(due)).one_or_none()
            if row is None or seen not in (None, row.instances):
                return False
            state = move_study(row.state, StudyMove.SETTLE)
            tx.connection.execute(update(studies).where(studies.c.study_uid == study_uid).values(state=state))
            by = _why(tx.connection, row, tx.now)
            details = {"instances": row.instances, "models": [job.model_id for job in new_jobs], "revision": revision}
            tx.audit(Event.SETTLED, "node", {**details, "by": by} | ({"missing": list(missing)} if missing else {}), study_uid)
            _close(tx, study_uid, revision, by, missing)
            _supersede(tx, study_uid, revision)
            for job in new_jobs:
                _queue(tx, study_uid, revision, job)
            if not new_jobs:
                why = {model_id: list(keywords) for model_id, keywords in (unmet or {}).items()}
                tx.audit(Event.UNMATCHED, "node", {"revision": revision, "unmet": why}, study_uid)
        return True

    def hold(self, study_uid: str, revision: int, why: Sequence[Hold], wait_seconds: float) -> bool:
        """A quiet study lacks something: look again in ``wait_seconds``, or at the deadline. False: something arrived meanwhile.

        The reasons replace those of before; a change of them is one audit row.
        """
        with self._database.write() as tx:
            due = and_(studies.c.study_uid == study_uid, studies.c.revision == revision, _is_due(tx.now))
            row = tx.connection.execute(select(studies).where(due)).one_or_none()
            if row is None:
                return False
            until = min(tx.now + seconds(wait_seconds), row.deadline)
            tx.connection.execute(update(studies).where(studies.c.study_uid == study_uid).values(quiet_at=until))
            if _write_holds(tx, study_uid, revision, why):
                tx.audit(Event.HELD, "node", {"reasons": [hold.words for hold in why], "revision": revision}, study_uid)
        return True

    def studies(
        self,
        limit: int = 100,
        state: StudyState | None = None,
        latest: bool = True,
        before: tuple[datetime, str] | None = None,
    ) -> list[Study]:
        """The newest first; ``latest``: see ``Database.read``. ``before``: behind this ``last_at`` and Study Instance UID in the
        list, however much has come on top of it meanwhile."""
        terms: list[ColumnElement[bool]] = [] if state is None else [studies.c.state == state]
        if before is not None:
            terms.append(tuple_(studies.c.last_at, studies.c.study_uid) < tuple_(to_micros(before[0]), before[1]))
        newest = select(studies).where(*terms).order_by(studies.c.last_at.desc(), studies.c.study_uid.desc()).limit(limit)
        found = newest.subquery("newest")  # images are counted of these, and not of all that might have been among them
        query = with_counts(found).order_by(found.c.last_at.desc(), found.c.study_uid.desc())
        with self._database.read(latest) as connection:
            return [study_of(row) for row in connection.execute(query)]

    def study_counts(self, latest: bool = True) -> dict[StudyState, int]:
        """How many there are in each state; ``latest``: see ``Database.read``."""
        query = select(studies.c.state, func.count()).group_by(studies.c.state).order_by(studies.c.state)
        with self._database.read(latest) as connection:
            return {StudyState(state): count for state, count in connection.execute(query)}

    def study(self, uid: str, latest: bool = True) -> Study | None:
        """One study, or None; ``latest``: see ``Database.read``."""
        with self._database.read(latest) as connection:
            row = connection.execute(with_counts().where(studies.c.study_uid == uid)).one_or_none()
        return None if row is None else study_of(row)

    def instances(
        self, study_uid: str, revision: int | None = None, series_uids: Sequence[str] | None = None, latest: bool = True
    ) -> list[Instance]:
        """The winning copies, in the order of arrival; with ``revision``, those that were there then. ``latest``: see
        ``Database.read``."""
        query = select(instances).where(_winners(study_uid, revision, series_uids)).order_by(instances.c.instance_id)
        with self._database.read(latest) as connection:
            return [instance_of(row) for row in connection.execute(query)]

    def conflicts(self, study_uid: str) -> list[Instance]:
        """The copies that were kept but do not count."""
        losers = and_(instances.c.study_uid == study_uid, instances.c.winner == 0)
        with self._database.read() as connection:
            rows = connection.execute(select(instances).where(losers).order_by(instances.c.instance_id))
            return [instance_of(row) for row in rows]

    def evidence(self, study_uid: str) -> list[Evidence]:
        """What is known about whether the study is complete, oldest revision first."""
        query = select(evidence).where(evidence.c.study_uid == study_uid).order_by(evidence.c.revision, evidence.c.at)
        with self._database.read() as connection:
            return [evidence_of(row) for row in connection.execute(query)]


def with_counts(some: FromClause = studies) -> Select[Any]:
    """Studies with the counts ``series`` and ``instances`` of what counts."""
    winners = and_(instances.c.study_uid == some.c.study_uid, instances.c.winner == 1)
    series = select(func.count(instances.c.series_uid.distinct())).where(winners).scalar_subquery()
    images = select(func.count()).select_from(instances).where(winners).scalar_subquery()
    return select(some, series.label("series"), images.label("instances"))


def _is_due(now: int) -> ColumnElement[bool]:
    sending = exists().where(
        associations.c.closed_at.is_(None),
        associations.c.association_id == evidence.c.subject,
        evidence.c.kind == "association",
        evidence.c.study_uid == studies.c.study_uid,
        evidence.c.revision == studies.c.revision,
    )
    quiet = and_(studies.c.quiet_at <= now, ~sending, ~blocked())
    return and_(studies.c.state == StudyState.RECEIVING, or_(quiet, studies.c.deadline <= now, listed_complete()))


def _why(connection: Connection, row: Any, now: int) -> str:
    """By what a due study is complete: the source whose list it fulfils, "quiet" or "deadline"."""
    this = select(studies.c.study_uid).where(studies.c.study_uid == row.study_uid)
    if connection.execute(this.where(listed_complete())).first():
        return strongest(connection, row.study_uid)
    return "deadline" if row.deadline <= now else "quiet"


def _close(tx: Transaction, study_uid: str, revision: int, by: str, missing: Sequence[str]) -> None:
    """Keep why this revision was complete, and learn from it."""
    if by != "deadline":
        _write_holds(tx, study_uid, revision, ())
    details = {"callers": callers(tx.connection, study_uid, by)} | ({"missing": list(missing)} if missing else {})
    values = {"study_uid": study_uid, "revision": revision, "kind": SETTLED, "subject": by, "at": tx.now}
    tx.connection.execute(insert(evidence).values(details=as_json(details), **values))
    learn(tx, study_uid, revision)


def _write_holds(tx: Transaction, study_uid: str, revision: int, why: Sequence[Hold]) -> bool:
    """Replace the reasons for waiting; whether they are others than before."""
    mine = and_(evidence.c.study_uid == study_uid, evidence.c.revision == revision, evidence.c.kind.in_(HOLDS))
    before = {(row.kind, row.subject, row.details) for row in tx.connection.execute(select(evidence).where(mine))}
    after = {(hold.kind.value, hold.subject, as_json({"words": hold.words})) for hold in why}
    if before == after:
        return False
    tx.connection.execute(delete(evidence).where(mine))
    about = {"study_uid": study_uid, "revision": revision, "at": tx.now}
    rows = [{**about, "kind": kind, "subject": subject, "details": words} for kind, subject, words in sorted(after)]
    if rows:
        tx.connection.execute(insert(evidence), rows)
    return True


def _winners(study_uid: str, revision: int | None, series_uids: Sequence[str] | None) -> ColumnElement[bool]:
    terms = [instances.c.study_uid == study_uid, instances.c.winner == 1]
    if revision is not None:
        terms.append(instances.c.revision <= revision)
    if series_uids is not None:
        terms.append(instances.c.series_uid.in_(series_uids))
    return and_(*terms)


def _supersede(tx: Transaction, study_uid: str, revision: int) -> None:
    old = and_(
        jobs.c.study_uid == study_uid,
        jobs.c.kind == JobKind.INFER,
        jobs.c.state == JobState.QUEUED,
        jobs.c.revision < revision,
    )
    for row in tx.connection.execute(select(jobs).where(old).order_by(jobs.c.job_id)).all():
        move_job(tx, job_of(row), JobMove.CANCEL, "node", {"reason": f"superseded by revision {revision}"})


def _queue(tx: Transaction, study_uid: str, revision: int, job: NewJob) -> None:
    digest = input_digest(tx.connection, study_uid, revision, job.series_uids)
    if digest == _last_input(tx.connection, study_uid, job):
        tx.audit(Event.UNCHANGED, "node", {"input": digest, "model": job.model_id, "revision": revision}, study_uid)
        return
    queue(tx, study_uid, revision, job, digest)


def queue(tx: Transaction, study_uid: str, revision: int, job: NewJob, digest: str) -> int:
    """A new infer job for what a revision shows; ``digest`` is its ``input_digest``. Returns its id."""
    return insert_job(
        tx,
        kind=JobKind.INFER,
        study_uid=study_uid,
        revision=revision,
        model_id=job.model_id,
        package_digest=job.package_digest,
        series_uids=job.series_uids,
        input_digest=digest,
        destinations=job.destinations,
        missing=job.missing,
        priority=job.priority,
        shadow=job.shadow,
    )


def input_digest(connection: Connection, study_uid: str, revision: int, series_uids: Sequence[str]) -> str:
    """SHA-256 (hex) over the sorted digests (hex, joined) of the winning instances of the series up to the revision."""
    query = select(instances.c.digest).where(_winners(study_uid, revision, series_uids))
    return hashlib.sha256("".join(sorted(connection.execute(query).scalars())).encode("ascii")).hexdigest()


def _last_input(connection: Connection, study_uid: str, job: NewJob) -> str | None:
    same = and_(
        jobs.c.study_uid == study_uid,
        jobs.c.kind == JobKind.INFER,
        jobs.c.model_id == job.model_id,
        jobs.c.package_digest == job.package_digest,
        jobs.c.shadow <= int(job.shadow),  # what was kept in shadow has told nobody anything
        jobs.c.revision > purged_revision(connection, study_uid),  # results that are gone do not stand for an answer
        jobs.c.state.not_in([JobState.CANCELLED, JobState.FAILED]),
    )
    query = select(jobs.c.input_digest).where(same).order_by(jobs.c.revision.desc(), jobs.c.job_id.desc()).limit(1)
    return connection.execute(query).scalar_one_or_none()
