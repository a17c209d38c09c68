"""What others say belongs to a study: kept as lists, compared with what is here by the database, never in memory."""

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, exists, func, insert, literal, or_, select, text, update

from db.audit_rows import Transaction, actor_of
from db.database import Database
from db.reports import owe
from db.schema import associations, evidence, habits, instances, jobs, members, sent, statements, studies
from db.times import from_micros
from domain.audit import Event
from domain.completeness import Hold, HoldKind, Standing, Statement
from domain.evidence import Commitment, Evidence, Source
from domain.instances import Caller
from domain.moves import StudyState

_NAMED: Final = 10  # missing instances named in a standing
_FORGET: Final = 7 * 86_400 * 1_000_000  # microseconds after which a statement about a study that never came is dropped
_DOUBTFUL: Final = (Source.AVAILABILITY, Source.COMMITMENT)  # some devices make them for every image
HOLDS: Final = tuple(kind.value for kind in HoldKind)


class Testimony:
    """The part of the store that listens to statements; ``domain.evidence.Witness`` is made of it."""

    _database: Database

    def step_created(self, caller: Caller, given: Evidence) -> bool:
        """An MPPS N-CREATE; False when that SOP Instance UID exists already."""
        with self._database.write() as tx:
            if _find(tx, given.source, given.subject):
                return False
            _record(tx, caller, given)
        return True

    def step_set(self, caller: Caller, given: Evidence) -> str:
        """An MPPS N-SET; "" or why not: "unknown" or "final" (a finished step may not change). Without a list the old stays."""
        with self._database.write() as tx:
            found = _find(tx, given.source, given.subject)
            if not found:
                return "unknown"
            if found[0].final:
                return "final"
            tx.connection.execute(update(statements).where(_is(found[0])).values(final=int(given.final), at=tx.now))
            if given.members:
                _list(tx, found[0].statement_id, [member.sop_instance_uid for member in given.members])
            _audit(tx, Event.TESTIFIED, caller, given, found[0].study_uid)
        return ""

    def testify(self, caller: Caller, given: Evidence) -> None:
        """Any other statement; a later one of the same source and subject replaces it."""
        with self._database.write() as tx:
            for row in _find(tx, given.source, given.subject):
                _drop(tx, row)
            _record(tx, caller, given)

    def commit(self, caller: Caller, given: Evidence) -> Commitment:
        """A storage commitment request. What is indexed is durable: its bytes were synced before its row was written.

        It becomes evidence for the studies of what is here. What is not here belongs to the same study when there is but one.
        """
        with self._database.write() as tx:
            for row in _find(tx, given.source, given.subject):
                _drop(tx, row)
            whole = _insert(tx, caller, given, "", [member.sop_instance_uid for member in given.members])
            here = _here(tx.connection, whole)
            known = sorted(set(here.values()))
            if len(known) == 1:
                tx.connection.execute(update(statements).where(statements.c.statement_id == whole).values(study_uid=known[0]))
            for study_uid in known if len(known) > 1 else ():
                _insert(tx, caller, given, study_uid, [uid for uid, study in here.items() if study == study_uid])
            durable = tuple(member for member in given.members if member.sop_instance_uid in here)
            missing = tuple(member for member in given.members if member.sop_instance_uid not in here)
            for study_uid in known or [""]:
                details = {"transaction": given.subject, "durable": len(durable), "missing": len(missing)}
                tx.audit(Event.COMMITMENT, actor_of(caller), details, study_uid)
            commitment = Commitment(given.subject, durable, missing)
            owe(tx, caller, commitment)
        return commitment

    def present(self, sop_instance_uids: Sequence[str]) -> set[str]:
        """Those of the instances that are here."""
        found: set[str] = set()
        with self._database.read() as connection:
            for start in range(0, len(sop_instance_uids), 500):
                some = sop_instance_uids[start : start + 500]
                query = select(instances.c.sop_instance_uid).where(
                    instances.c.sop_instance_uid.in_(some), instances.c.winner == 1
                )
                found.update(connection.execute(query).scalars())
        return found

    def last_caller(self, study_uid: str) -> str:
        """The calling AE title the newest image of a study came from, or ""."""
        newest = select(instances.c.calling_ae).where(instances.c.study_uid == study_uid)
        with self._database.read() as connection:
            found = connection.execute(newest.order_by(instances.c.instance_id.desc()).limit(1)).scalar_one_or_none()
        return str(found or "")

    def is_listed_complete(self, study_uid: str) -> bool:
        """Whether all that others listed of a study, and nothing else, is here."""
        with self._database.read() as connection:
            query = select(studies.c.study_uid).where(studies.c.study_uid == study_uid, listed_complete())
            return connection.execute(query).first() is not None

    def delivered(self, study_uid: str, destination: str) -> int:
        """How many instances of a study, results of ours, a destination has accepted."""
        accepted = or_(sent.c.status == 0, sent.c.status.between(0xB000, 0xBFFF))
        ours = and_(jobs.c.study_uid == study_uid, jobs.c.destination == destination, sent.c.job_id == jobs.c.job_id)
        with self._database.read() as connection:
            different = select(func.count(sent.c.sop_instance_uid.distinct())).where(ours, accepted)
            return int(connection.execute(different).scalar_one())

    def standing(self, study_uid: str) -> Standing:
        """How a study stands at this moment."""
        with self._database.read() as connection:
            said = connection.execute(
                select(statements).where(statements.c.study_uid == study_uid).order_by(statements.c.at)
            ).all()
            of_study = select(studies.c.study_uid).where(studies.c.study_uid == study_uid)
            unlisted = select(func.count()).select_from(instances).where(_unlisted(study_uid))
            open_ = select(func.count(associations.c.association_id.distinct())).where(_sending(study_uid))
            return Standing(
                tuple(_statement(connection, row) for row in said),
                holds(connection, study_uid),
                int(connection.execute(unlisted).scalar_one()) if said else 0,
                int(connection.execute(open_).scalar_one()) if connection.execute(of_study).first() else 0,
            )


def holds(connection: Connection, study_uid: str) -> tuple[Hold, ...]:
    """Why the newest revision of a study waits or waited."""
    newest = select(studies.c.revision).where(studies.c.study_uid == study_uid).scalar_subquery()
    ours = and_(evidence.c.study_uid == study_uid, evidence.c.revision == newest, evidence.c.kind.in_(HOLDS))
    rows = connection.execute(select(evidence).where(ours).order_by(evidence.c.kind, evidence.c.subject))
    return tuple(Hold(HoldKind(row.kind), row.subject, json.loads(row.details)["words"]) for row in rows)


def listed_complete() -> ColumnElement[bool]:
    """SQL: final statements list instances, and these are exactly what is here. To be used beside ``studies``.

    An image nobody listed means that more is going on than was said; the study then waits until it is quiet.
    """
    hasty = _exists(habits, habits.c.calling_ae == statements.c.calling_ae, habits.c.hasty > 0)
    trusted = or_(statements.c.source.not_in(_DOUBTFUL), ~hasty)
    of_study = statements.c.study_uid == studies.c.study_uid
    listing = _exists_listed(of_study, trusted)
    unlisted = _exists(instances, _unlisted(studies.c.study_uid))
    return and_(listing, ~blocked(), ~unlisted)


def blocked() -> ColumnElement[bool]:
    """SQL: a final statement lists what is not here, or a procedure step is in progress. To be used beside ``studies``."""
    of_study = statements.c.study_uid == studies.c.study_uid
    in_progress = _exists(statements, of_study, statements.c.final == 0)
    return or_(in_progress, _exists_listed(of_study, ~_arrived()))


def strongest(connection: Connection, study_uid: str) -> str:
    """The strongest source that lists something of a study, or ""."""
    with_list = _exists(members, members.c.statement_id == statements.c.statement_id)
    ours = and_(statements.c.study_uid == study_uid, statements.c.final == 1, with_list)
    found = set(connection.execute(select(statements.c.source).where(ours).distinct()).scalars())
    return next((source.value for source in Source if source in found), "")


def callers(connection: Connection, study_uid: str, source: str) -> list[str]:
    """The calling AE titles behind the statements of one source."""
    ours = and_(statements.c.study_uid == study_uid, statements.c.source == source)
    found = select(statements.c.calling_ae).where(ours).distinct().order_by(statements.c.calling_ae)
    return list(connection.execute(found).scalars())


def _exists(table: Table, *terms: ColumnElement[bool]) -> ColumnElement[bool]:
    """EXISTS over one table; whatever else the terms name belongs to the statement around it."""
    found: ColumnElement[bool] = exists(literal(1)).select_from(table).where(*terms).correlate_except(table)
    return found


def _exists_listed(*terms: ColumnElement[bool]) -> ColumnElement[bool]:
    """EXISTS over the members of final statements."""
    joined = statements.c.statement_id == members.c.statement_id
    final = exists(literal(1)).where(joined, statements.c.final == 1, *terms)
    found: ColumnElement[bool] = final.correlate_except(statements, members)
    return found


def _arrived() -> ColumnElement[bool]:
    return _exists(instances, instances.c.sop_instance_uid == members.c.sop_instance_uid, instances.c.winner == 1)


def _unlisted(study_uid: Any) -> ColumnElement[bool]:
    """Winning instances of a study that are in no final list."""
    same = members.c.sop_instance_uid == instances.c.sop_instance_uid
    listed = _exists_listed(statements.c.study_uid == study_uid, same)
    return and_(instances.c.study_uid == study_uid, instances.c.winner == 1, ~listed)


def _sending(study_uid: str) -> ColumnElement[bool]:
    newest = select(studies.c.revision).where(studies.c.study_uid == study_uid).scalar_subquery()
    sent = _exists(
        evidence,
        evidence.c.kind == "association",
        evidence.c.subject == associations.c.association_id,
        evidence.c.study_uid == study_uid,
        evidence.c.revision == newest,
    )
    return and_(associations.c.closed_at.is_(None), sent)


def _statement(connection: Connection, row: Any) -> Statement:
    listed = and_(members.c.statement_id == row.statement_id)
    absent = and_(listed, ~_arrived())
    first = select(members.c.sop_instance_uid).where(absent).order_by(members.c.sop_instance_uid).limit(_NAMED)
    return Statement(
        row.source,
        row.subject,
        f"{row.calling_ae}@{row.address}",
        bool(row.final),
        int(connection.execute(select(func.count()).select_from(members).where(listed)).scalar_one()),
        int(connection.execute(select(func.count()).select_from(members).where(absent)).scalar_one()),
        tuple(connection.execute(first).scalars()),
        from_micros(row.at),
    )


def _find(tx: Transaction, source: Source, subject: str) -> Sequence[Any]:
    same = and_(statements.c.source == source, statements.c.subject == subject)
    return tx.connection.execute(select(statements).where(same)).all()


def _is(row: Any) -> ColumnElement[bool]:
    same: ColumnElement[bool] = statements.c.statement_id == row.statement_id
    return same


def _drop(tx: Transaction, row: Any) -> None:
    tx.connection.execute(delete(members).where(members.c.statement_id == row.statement_id))
    tx.connection.execute(delete(statements).where(_is(row)))


def _record(tx: Transaction, caller: Caller, given: Evidence) -> None:
    _insert(tx, caller, given, given.study_uid, [member.sop_instance_uid for member in given.members])
    _audit(tx, Event.TESTIFIED, caller, given, given.study_uid)


def _insert(tx: Transaction, caller: Caller, given: Evidence, study_uid: str, listed: Sequence[str]) -> int:
    _forget(tx)
    values = {
        "source": given.source,
        "subject": given.subject,
        "study_uid": study_uid,
        "calling_ae": caller.calling_ae,
        "address": caller.address,
        "final": int(given.final),
        "at": tx.now,
    }
    new = insert(statements).values(values).returning(statements.c.statement_id)
    statement_id = int(tx.connection.execute(new).scalar_one())
    _list(tx, statement_id, listed)
    return statement_id


def _list(tx: Transaction, statement_id: int, listed: Sequence[str]) -> None:
    tx.connection.execute(delete(members).where(members.c.statement_id == statement_id))
    rows = [{"statement_id": statement_id, "sop_instance_uid": uid} for uid in dict.fromkeys(listed)]
    if rows:
        tx.connection.execute(insert(members), rows)


def _here(connection: Connection, statement_id: int) -> dict[str, str]:
    """SOP Instance UID -> study of what a statement lists and is kept here."""
    query = (
        select(members.c.sop_instance_uid, instances.c.study_uid)
        .join(instances, and_(instances.c.sop_instance_uid == members.c.sop_instance_uid, instances.c.winner == 1))
        .join(studies, studies.c.study_uid == instances.c.study_uid)
        .where(members.c.statement_id == statement_id, studies.c.state != StudyState.PURGED)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def _audit(tx: Transaction, event: Event, caller: Caller, given: Evidence, study_uid: str) -> None:
    details = {"final": given.final, "listed": len(given.members), "source": given.source.value, "subject": given.subject}
    tx.audit(event, actor_of(caller), details, study_uid)


def _forget(tx: Transaction) -> None:
    """Statements about studies that never came must not pile up. Each is looked at once when it is old enough."""
    old = and_(text("statements.kept = 0"), statements.c.at < tx.now - _FORGET)  # written out: so SQLite sees that the index fits
    known = _exists(studies, studies.c.study_uid == statements.c.study_uid)
    tx.connection.execute(update(statements).where(old, known).values(kept=1))
    tx.connection.execute(delete(members).where(members.c.statement_id.in_(select(statements.c.statement_id).where(old))))
    tx.connection.execute(delete(statements).where(old))
