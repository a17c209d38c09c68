"""Purging: a closed study whose answers have arrived gives its images and results back; what happened to it stays readable.

The move, the rows of its images and the list of files to be deleted are one transaction. Files are deleted after it, and a file
leaves the list only when it is gone for good: whatever end the process finds, start-up deletes the rest before it looks for
images that are not indexed.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from db.audit_rows import Transaction, as_json
from db.database import Database
from db.gone import PURGED, last_purge, purged_revision
from db.pack import folder_of
from db.receiving import move_study
from db.rows import job_of
from db.schema import (
    artifacts,
    associations,
    audit,
    evidence,
    instances,
    jobs,
    leftovers,
    members,
    pack_ends,
    reports,
    statements,
    studies,
)
from db.times import from_micros, to_micros
from domain.audit import Event
from domain.errors import PermanentError
from domain.evidence import Source
from domain.jobs import Job, JobKind
from domain.moves import JobState, StudyMove, StudyState
from domain.retention import KEPT_ROLES, Ground, Keep, Left, Leftover, Purged, Sight, Weight

_OPEN: Final = (JobState.QUEUED, JobState.RUNNING)
_AT_ONCE: Final = 500


class Purges:
    """The part of the store that lets go. ``committing`` names the destinations that are asked to commit to what they get."""

    _database: Database

    def sight(self, study_uid: str, committing: Collection[str] = ()) -> Sight:
        """What purging a study would delete, and what speaks against it."""
        with self._database.read() as connection:
            return _sight(connection, study_uid, committing)

    def purge(
        self,
        study_uid: str,
        actor: str,
        committing: Collection[str] = (),
        waived: frozenset[Ground] = frozenset(),
        proof: str = "",
        revision: int | None = None,
    ) -> Weight:
        """Let the images and results of a study go; their files are ``leftovers`` then. Returns what that is.

        Everything is judged again inside the transaction. ``waived`` reasons were set aside: by an operator, or because of
        ``proof``, which was found for this ``revision``. Raises PermanentError with the reasons that are left.
        """
        with self._database.write() as tx:
            found = _sight(tx.connection, study_uid, committing)
            if revision not in (None, found.weight.revision):
                raise PermanentError(f"study {study_uid} stays: images of it have arrived just now")
            if left := found.against(waived):
                raise PermanentError(f"study {study_uid} stays: {'; '.join(keep.words for keep in left)}")
            set_aside = sorted(keep.ground.value for keep in found.keeps)
            _let_go(tx, found.weight, actor, {"waived": set_aside} if set_aside else {}, proof)
        return found.weight

    def last_purge(self, study_uid: str) -> Purged | None:
        """The newest purge of a study, or None."""
        with self._database.read(latest=False) as connection:
            return last_purge(connection, study_uid)

    def untouched(
        self, before: datetime, after: tuple[datetime, str] | None = None, limit: int = 50
    ) -> list[tuple[datetime, str]]:
        """Complete studies with no image and no row of the audit log since ``before``, oldest first: when their last image came
        and their UID. ``after`` is the last of the list before."""
        touched = select(audit.c.at).where(audit.c.study_uid == studies.c.study_uid).order_by(audit.c.seq.desc()).limit(1)
        others = [state for state in StudyState if state is not StudyState.COMPLETE]  # by the index of states all would be sorted
        terms = [studies.c.last_at < to_micros(before), studies.c.state.not_in(others)]
        if after is not None:
            at = to_micros(after[0])  # written so that SQLite begins there in the index
            terms += [studies.c.last_at >= at, or_(studies.c.last_at > at, studies.c.study_uid > after[1])]
        terms.append(touched.scalar_subquery() < to_micros(before))
        query = select(studies.c.last_at, studies.c.study_uid).where(*terms)
        with self._database.read(latest=False) as connection:
            rows = connection.execute(query.order_by(studies.c.last_at, studies.c.study_uid).limit(limit)).all()
        return [(from_micros(row.last_at), row.study_uid) for row in rows]

    def leftovers(self, limit: int = _AT_ONCE) -> list[Leftover]:
        """Files of purged studies that are not known to be gone."""
        query = select(leftovers).order_by(leftovers.c.kind, leftovers.c.path).limit(limit)
        with self._database.read(latest=False) as connection:
            return [Leftover(row.study_uid, Left(row.kind), row.path) for row in connection.execute(query)]

    def removed(self, gone: Sequence[Leftover]) -> None:
        """These files are gone, durably."""
        with self._database.write() as tx:
            for one in gone:
                tx.connection.execute(delete(leftovers).where(leftovers.c.kind == one.kind, leftovers.c.path == one.path))
                if one.kind is Left.PACK:
                    tx.connection.execute(delete(pack_ends).where(pack_ends.c.pack == one.path))


def _sight(connection: Connection, study_uid: str, committing: Collection[str]) -> Sight:
    row = connection.execute(select(studies).where(studies.c.study_uid == study_uid)).one_or_none()
    if row is None:
        words = "there is no such study; `ancilla studies` lists them"
        return Sight(Weight(study_uid, 0, 0, 0, 0, 0, None), (Keep(Ground.UNKNOWN, words),))
    packs, results = _packs(connection, study_uid), _results(connection, study_uid)
    winners = and_(instances.c.study_uid == study_uid, instances.c.winner == 1)
    images = connection.execute(select(func.count()).select_from(instances).where(winners)).scalar_one()
    size = sum(packs.values()) + sum(row.size for row in results)
    touched = select(audit.c.at).where(audit.c.study_uid == study_uid).order_by(audit.c.seq.desc()).limit(1)
    at = connection.execute(touched).scalar_one_or_none()
    weight = Weight(study_uid, row.revision, images, len(packs), len(results), size, None if at is None else from_micros(at))
    if row.state == StudyState.PURGED:
        return Sight(weight, (Keep(Ground.PURGED, "it was purged already"),))
    keeps = [Keep(Ground.RECEIVING, "it is still being received")] if row.state == StudyState.RECEIVING else []
    keeps += _open(connection, study_uid, packs)
    keeps += _unanswered(connection, study_uid, frozenset(committing), purged_revision(connection, study_uid))
    keeps += _promises(connection, study_uid)
    return Sight(weight, tuple(keeps))


def _packs(connection: Connection, study_uid: str) -> dict[str, int]:
    """The packs of a study with their sizes in bytes; those that hold nothing but duplicates have no row of an instance."""
    folder = folder_of(study_uid).as_posix()
    inside = and_(pack_ends.c.pack > f"{folder}/", pack_ends.c.pack < f"{folder}0")  # "0" is what follows "/"
    found = {row.pack: int(row.end) for row in connection.execute(select(pack_ends).where(inside))}
    for (pack,) in connection.execute(select(instances.c.pack).where(instances.c.study_uid == study_uid).distinct()).all():
        if pack not in found:
            found[pack] = connection.execute(select(pack_ends.c.end).where(pack_ends.c.pack == pack)).scalar_one_or_none() or 0
    return found


def _results(connection: Connection, study_uid: str) -> Sequence[Any]:
    """Result files that go, each path once: jobs that were done over name the same."""
    ours = and_(jobs.c.study_uid == study_uid, artifacts.c.job_id == jobs.c.job_id, ~artifacts.c.role.startswith(KEPT_ROLES))
    old = select(func.max(evidence.c.revision)).where(evidence.c.study_uid == study_uid, evidence.c.kind == PURGED)
    fresh = jobs.c.revision > func.coalesce(old.scalar_subquery(), 0)
    query = select(artifacts.c.path, func.max(artifacts.c.size).label("size")).select_from(jobs, artifacts)
    return connection.execute(query.where(ours, fresh).group_by(artifacts.c.path)).all()


def _open(connection: Connection, study_uid: str, packs: Collection[str]) -> Iterator[Keep]:
    """Who sends may append to a pack at any moment, also to one that holds only duplicates so far."""
    sent = select(instances.c.association_id).where(instances.c.study_uid == study_uid).distinct()
    named = {pack.rpartition("/")[2].partition(".")[0] for pack in packs}
    known = sorted(named | set(connection.execute(sent).scalars()))
    for start in range(0, len(known), _AT_ONCE):
        some = associations.c.association_id.in_(known[start : start + _AT_ONCE])
        query = select(associations.c.calling_ae).where(some, associations.c.closed_at.is_(None)).limit(1)
        if (caller := connection.execute(query).scalar_one_or_none()) is not None:
            yield Keep(Ground.SENDING, f"an association of {caller} that sent images of it is still open")
            return


def _unanswered(connection: Connection, study_uid: str, committing: frozenset[str], gone: int) -> Iterator[Keep]:
    """Work that is not done; answers that did not reach everybody they are for, but for those purged with revision ``gone``.
    Answers kept in shadow are for nobody; the newest live one before them is still owed."""
    rows = connection.execute(select(jobs).where(jobs.c.study_uid == study_uid).order_by(jobs.c.job_id.desc())).all()
    found = [job_of(row) for row in rows]  # the newest first
    waiting = [job for job in found if job.state in _OPEN]
    if waiting:
        said = ", ".join(f"{job.job_id} ({job.kind.value}, {job.state.value})" for job in waiting[:3])
        yield Keep(Ground.WORKING, f"jobs of it are not done: {said}{', ...' if len(waiting) > 3 else ''}")
    answers: dict[str, Job] = {}
    for job in found:
        if job.kind is JobKind.INFER and job.state is not JobState.CANCELLED and job.revision > gone and not job.shadow:
            best = answers.get(job.model_id)
            if best is None or (job.revision, job.job_id) > (best.revision, best.job_id):
                answers[job.model_id] = job
    for answer in sorted(answers.values(), key=lambda job: job.job_id):
        if answer.state not in _OPEN:
            yield from _undelivered(answer, found, committing)


def _undelivered(answer: Job, found: Sequence[Job], committing: frozenset[str]) -> Iterator[Keep]:
    """Destinations without the answer of one job. What an operator cancelled is not waited for."""
    for name in answer.destinations:
        about = [job for job in found if job.model_id == answer.model_id and job.destination == name]
        delivery = next((job for job in about if job.kind is JobKind.DELIVER and job.parent_id == answer.job_id), None)
        what = f"the answer of {answer.model_id} was not delivered to {name}"
        if delivery is None:
            yield Keep(Ground.UNDELIVERED, f"{what} (job {answer.job_id} {answer.state.value}: {answer.reason or 'no answer'})")
        elif delivery.state is JobState.FAILED:
            yield Keep(Ground.UNDELIVERED, f"{what} (job {delivery.job_id} failed: {delivery.reason})")
        elif delivery.state is JobState.DONE and name in committing:
            asked = next((job for job in about if job.kind is JobKind.COMMIT and job.parent_id == delivery.job_id), None)
            if asked is None or asked.state is JobState.FAILED:
                why = f"job {asked.job_id} failed: {asked.reason}" if asked else "it was never asked"
                yield Keep(Ground.UNCOMMITTED, f"{name} has not committed to the answer of {answer.model_id} ({why})")


def _promises(connection: Connection, study_uid: str) -> Iterator[Keep]:
    """Where this node has answered a storage commitment request (PS3.4 Annex J), it is responsible for the images."""
    ours = and_(statements.c.study_uid == study_uid, statements.c.source == Source.COMMITMENT)
    rows = connection.execute(select(statements.c.subject, statements.c.calling_ae).where(ours)).all()
    owed = select(reports.c.calling_ae).where(reports.c.transaction_uid.in_([row.subject for row in rows]))
    for caller in sorted(set(connection.execute(owed).scalars())) if rows else []:
        yield Keep(Ground.REPORT, f"a storage commitment report about it is still owed to {caller}")
    if rows:
        callers = ", ".join(sorted({row.calling_ae for row in rows}))
        yield Keep(Ground.PROMISED, f"this node has committed to its images (storage commitment, asked by {callers})")


def _let_go(tx: Transaction, weight: Weight, actor: str, waived: dict[str, Any], proof: str) -> None:
    study_uid, connection = weight.study_uid, tx.connection
    state = move_study(StudyState.COMPLETE, StudyMove.PURGE)
    connection.execute(update(studies).where(studies.c.study_uid == study_uid).values(state=state))
    rows = [{"kind": Left.PACK.value, "path": pack, "study_uid": study_uid} for pack in _packs(connection, study_uid)]
    rows += [{"kind": Left.RESULT.value, "path": row.path, "study_uid": study_uid} for row in _results(connection, study_uid)]
    if rows:
        connection.execute(insert(leftovers), rows)
    connection.execute(delete(instances).where(instances.c.study_uid == study_uid))
    _forget_statements(connection, study_uid)
    details = {"actor": actor, "bytes": weight.size, "images": weight.images}
    about = {"study_uid": study_uid, "revision": weight.revision, "kind": PURGED, "subject": "", "at": tx.now}
    connection.execute(insert(evidence).values(details=as_json(details), **about))
    said = {"bytes": weight.size, "images": weight.images, "results": weight.results, "revision": weight.revision}
    tx.audit(Event.PURGED, actor, said | waived | ({"proof": proof} if proof else {}), study_uid)


def _forget_statements(connection: Connection, study_uid: str) -> None:
    """Lists of what belonged to the study have done their work; a late image must not wait for what was here once."""
    mine: ColumnElement[bool] = statements.c.study_uid == study_uid
    connection.execute(delete(members).where(members.c.statement_id.in_(select(statements.c.statement_id).where(mine))))
    connection.execute(delete(statements).where(mine))
