"""How far the audit log was sent to a repository: what a restarted node must not forget, and what it must not send too early.

Rows about receiving are not synced one by one. One that a power cut takes back must not stand in a repository already: its number
would be given to another. So ``offer`` syncs the log up to the rows that are about to leave. Nothing here makes anybody wait who
sends images, and nothing here is work that an image brings with it.
"""

from typing import Any

from sqlalchemy import insert, select, update

from db.audit import row_of
from db.audit_rows import Transaction
from db.database import Database
from db.schema import audit, audit_forwarding, audit_head
from db.times import maybe_from_micros
from domain.audit import AuditRow, Event
from domain.repositories import Forwarded

_ID = 1
_TABLE = audit_forwarding.c


class ForwardedLog:
    """The part of the store that knows what of the log left."""

    _database: Database

    def forwarded(self) -> Forwarded:
        """How things stand, at one moment."""
        with self._database.read(latest=False) as connection:
            rows = connection.execute(select(audit_head.c.rows)).scalar_one()
            found = connection.execute(select(audit_forwarding)).one_or_none()
        if found is None:
            return Forwarded(behind=rows)
        at, since = maybe_from_micros(found.at), maybe_from_micros(found.since)
        return Forwarded(found.seq, found.offered, max(0, rows - found.seq), at, found.words, since)

    def log_behind(self, seq: int, limit: int) -> list[AuditRow]:
        """At most ``limit`` rows behind number ``seq``, oldest first, of those that are written."""
        query = select(audit).where(audit.c.seq > seq).order_by(audit.c.seq).limit(limit)
        with self._database.read(latest=False) as connection:
            return [row_of(row) for row in connection.execute(query)]

    def offer(self, seq: int) -> None:
        """Rows up to ``seq`` are about to leave: on return they survive a power cut."""
        with self._database.write(in_order=False) as tx:
            _set(tx, offered=seq)

    def forwarded_to(self, seq: int, before: int) -> bool:
        """Rows up to ``seq`` need not be sent again, and all is well. False, and nothing changes, when the number is not
        ``before`` any more: an operator has moved it. A power cut may take this back: rows are sent twice then."""
        with self._database.write(durable=False, in_order=False) as tx:
            if (tx.connection.execute(select(_TABLE.seq)).scalar() or 0) != before:
                return False
            _set(tx, seq=seq, at=tx.now, words="", since=None)
        return True

    def not_forwarded(self, words: str) -> None:
        """It does not go on, and why. The time is that of the first such word."""
        with self._database.write(durable=False, in_order=False) as tx:
            found = tx.connection.execute(select(_TABLE.since)).one_or_none()
            _set(tx, words=words, since=tx.now if found is None or found.since is None else found.since)

    def forward_again(self, seq: int, actor: str) -> None:
        """An operator wants the rows behind ``seq`` sent, again or not at all up to there; with its audit row."""
        with self._database.write() as tx:
            found = tx.connection.execute(select(_TABLE.seq)).one_or_none()
            _set(tx, seq=seq, at=tx.now)
            tx.audit(Event.AUDIT_RESENT, actor, {"after": seq, "instead_of": 0 if found is None else found.seq})


def _set(tx: Transaction, **values: Any) -> None:
    if not tx.connection.execute(update(audit_forwarding).where(_TABLE.forwarding_id == _ID).values(values)).rowcount:
        fresh = {"forwarding_id": _ID, "seq": 0, "offered": 0, "words": ""}
        tx.connection.execute(insert(audit_forwarding).values(fresh | values))
