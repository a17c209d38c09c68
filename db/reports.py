"""Reports of storage commitment that are owed: a row from the moment of the promise until the modality has taken the report."""

import json
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, delete, insert, select

from db.audit_rows import Transaction
from db.database import Database
from db.schema import reports
from domain.evidence import Commitment, Member
from domain.instances import Caller

_MOST: Final = 10_000  # rows kept; who asks and never listens makes them
_OLDEST: Final = 7 * 24 * 3600 * 1_000_000  # microseconds; a modality that was away longer asks again


class Reporting:
    """The part of the store that knows what is owed."""

    _database: Database

    def owed_reports(self) -> list[tuple[Caller, Commitment]]:
        """What is owed, oldest first; what is older than a week is forgotten."""
        with self._database.write() as tx:
            tx.connection.execute(delete(reports).where(reports.c.at < tx.now - _OLDEST))
            rows = tx.connection.execute(select(reports).order_by(reports.c.at, reports.c.transaction_uid)).all()
        return [
            (
                Caller(row.calling_ae, row.called_ae, row.address),
                Commitment(row.transaction_uid, _members(row.durable), _members(row.missing)),
            )
            for row in rows
        ]

    def reported(self, caller: Caller, transaction_uid: str) -> None:
        """The report is not owed any more."""
        with self._database.write() as tx:
            tx.connection.execute(delete(reports).where(_is(caller, transaction_uid)))


def owe(tx: Transaction, caller: Caller, commitment: Commitment) -> None:
    """Inside the transaction of the promise. A transaction UID used again replaces what was owed for it."""
    tx.connection.execute(delete(reports).where(_is(caller, commitment.transaction_uid)))
    beyond = select(reports.c.at).order_by(reports.c.at.desc()).offset(_MOST - 1).limit(1).scalar_subquery()
    tx.connection.execute(delete(reports).where(reports.c.at <= beyond))
    values: dict[str, Any] = {
        "calling_ae": caller.calling_ae,
        "called_ae": caller.called_ae,
        "address": caller.address,
        "transaction_uid": commitment.transaction_uid,
        "durable": _json(commitment.durable),
        "missing": _json(commitment.missing),
        "at": tx.now,
    }
    tx.connection.execute(insert(reports).values(**values))


def _is(caller: Caller, transaction_uid: str) -> ColumnElement[bool]:
    return and_(
        reports.c.calling_ae == caller.calling_ae,
        reports.c.called_ae == caller.called_ae,
        reports.c.address == caller.address,
        reports.c.transaction_uid == transaction_uid,
    )


def _json(members: Sequence[Member]) -> str:
    return json.dumps([[member.sop_class_uid, member.sop_instance_uid] for member in members], separators=(",", ":"))


def _members(words: str) -> tuple[Member, ...]:
    return tuple(Member(*pair) for pair in json.loads(words))
