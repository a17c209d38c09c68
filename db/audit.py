"""Reading and proving the audit log: the first row that was changed, removed or put in is named."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import ColumnElement, Connection, Row, func, select, text

from db.audit_rows import START, row_hash
from db.database import Database
from db.schema import NOT_STORED, audit, audit_head
from db.times import from_micros, to_micros
from domain.audit import AuditRow, Event

_BEFORE_ALL: Final = -(1 << 63)  # a row somebody put in before the first has to be seen too
_PAGE: Final = 1000  # rows read at once: memory stays the same and no reader holds the log back for long


@dataclass(frozen=True, slots=True)
class Verification:
    """``broken_seq`` is the first row that is not as it was written, or None. ``head`` is the hash to keep elsewhere."""

    rows: int
    broken_seq: int | None
    words: str
    head: str = ""


class Record:
    """The part of the store that keeps the record."""

    _database: Database

    def note(self, event: Event, actor: str, details: dict[str, Any], study_uid: str = "", job_id: int | None = None) -> None:
        """An audit row that belongs to no other change (the node started, an operator looked)."""
        with self._database.write() as tx:
            tx.audit(event, actor, details, study_uid, job_id)

    def audit(
        self,
        *,
        event: str | None = None,
        study_uid: str | None = None,
        job_id: int | None = None,
        actor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: int = 0,
        limit: int | None = None,
    ) -> Iterator[AuditRow]:
        """Rows behind number ``after``, oldest first; ``since`` is included, ``until`` is not."""
        wanted = {"event": event, "study_uid": study_uid, "job_id": job_id, "actor": actor}
        terms = [audit.c[name] == value for name, value in wanted.items() if value is not None]
        terms += [audit.c.at >= to_micros(since)] if since else []
        terms += [audit.c.at < to_micros(until)] if until else []
        return map(row_of, self._rows(terms, after, limit))

    def chain(self) -> Iterator[Row[Any]]:
        """Every row as it is kept, oldest first: its times are microseconds, nothing is converted."""
        return self._rows([], _BEFORE_ALL, None)

    def newest(
        self, limit: int, event: str | None = None, study_uid: str | None = None, before: int | None = None
    ) -> list[AuditRow]:
        """The newest rows, oldest of them first; ``before``: only lower numbers."""
        terms: list[ColumnElement[bool]] = [audit.c.event == event] if event is not None else []
        terms += [] if before is None else [audit.c.seq < before]
        if study_uid is not None:
            terms.append(audit.c.study_uid == study_uid)
        elif event not in (None, Event.STORED):
            terms.append(cast(ColumnElement[bool], text(NOT_STORED)))  # says nothing new, but names the index
        query = select(audit).where(*terms).order_by(audit.c.seq.desc()).limit(limit)
        with self._database.read() as connection:
            return [row_of(row) for row in connection.execute(query)][::-1]

    def event_counts(self, study_uid: str) -> dict[str, int]:
        """How many rows of each kind a study has, by name."""
        counted = select(audit.c.event, func.count()).where(audit.c.study_uid == study_uid)
        with self._database.read() as connection:
            rows = connection.execute(counted.group_by(audit.c.event).order_by(audit.c.event)).all()
        return {row[0]: row[1] for row in rows}

    def latest(self, events: Sequence[Event]) -> AuditRow | None:
        """The newest row of one of these kinds."""
        found = [row for event in events for row in self.newest(1, event)]
        return max(found, key=lambda row: row.seq, default=None)

    def head(self) -> tuple[int, str, int]:
        """How many rows there should be, the hash of the last, and the highest number there is, at one moment."""
        with self._database.read() as connection:
            rows, last = connection.execute(select(audit_head.c.rows, audit_head.c.hash)).one()
            highest = connection.execute(select(func.max(audit.c.seq))).scalar_one()
        return rows, last, highest or 0

    def _rows(self, terms: list[ColumnElement[bool]], after: int, limit: int | None) -> Iterator[Row[Any]]:
        while limit is None or limit > 0:
            size = _PAGE if limit is None else min(_PAGE, limit)
            with self._database.read() as connection:
                page = _page(connection, terms, after, size)
            yield from page
            if len(page) < size:
                return
            after = page[-1].seq
            limit = None if limit is None else limit - size


def _page(connection: Connection, terms: list[ColumnElement[bool]], after: int, size: int) -> Sequence[Row[Any]]:
    query = select(audit).where(audit.c.seq > after, *terms).order_by(audit.c.seq).limit(size)
    return connection.execute(query).all()


def row_of(row: Row[Any]) -> AuditRow:
    """A row of the table as everybody else knows it."""
    return AuditRow(row.seq, from_micros(row.at), row.event, row.study_uid, row.job_id, row.actor, row.details, row.hash)


def verify(store: Record) -> Verification:
    """Walk the whole chain, in constant memory. Rows appended while it walks are left for the next time."""
    count, head, highest = store.head()
    last, seen = START, 0
    for row in store.chain():
        seq, *fields, written = tuple(row)
        if seq > count:
            break
        wrong = _misplaced(seq, seen + 1) or _changed(written, last, seq, *fields)
        if wrong:
            return Verification(count, min(seq, seen + 1), wrong, head)
        last, seen = written, seq
    return Verification(count, *_end(count, head, highest, last, seen), head)


def _misplaced(seq: int, expected: int) -> str:
    if seq == expected:
        return ""
    if seq < expected:
        return f"row {seq} was put in before the first row"
    return f"row {seq} comes where row {expected} should: that one is missing"


def _changed(written: str, last: str, seq: int, *fields: Any) -> str:
    if written == row_hash(last, seq, *fields):
        return ""
    return f"row {seq} was changed or put in, or a row before it was exchanged"


def _end(count: int, head: str, highest: int, last: str, seen: int) -> tuple[int | None, str]:
    if seen < count:
        return seen + 1, f"row {seen + 1} and all behind it up to {count} are missing"
    if last != head:
        return count, f"row {count} is not the row that was written last"
    if highest > count:
        return count + 1, f"row {count + 1} was put in behind the last row that was written"
    return None, f"{count} rows, none changed, removed or put in; the last has the hash {head}"
