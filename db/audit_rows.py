"""Audit rows are appended inside the transaction of the change they describe, and each carries the hash of the one before."""

import hashlib
import json
from typing import Any, Final

from sqlalchemy import Connection

from db.sql import Hot, Sql
from domain.audit import Event
from domain.instances import Caller

START: Final = "0" * 64  # what stands before the first row
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_HEAD = Sql("SELECT rows, hash FROM audit_head")
_INSERT = Sql(
    "INSERT INTO audit (seq, at, event, study_uid, job_id, actor, details, hash)"
    " VALUES (:seq, :at, :event, :study_uid, :job_id, :actor, :details, :hash)"
)
_PACK_END = Sql(
    'INSERT INTO pack_ends (pack, "end") VALUES (:pack, :end)'
    ' ON CONFLICT (pack) DO UPDATE SET "end" = excluded."end" WHERE excluded."end" > pack_ends."end"'
)
_MOVE_HEAD = Sql("UPDATE audit_head SET rows = :rows, hash = :hash")


def row_hash(before: str, seq: int, at: int, event: str, study_uid: str, job_id: int | None, actor: str, details: str) -> str:
    """SHA-256 (hex) over the hash of the row before and a JSON list of the fields; ``at`` is microseconds since 1970, UTC."""
    words = before + _encode([seq, at, event, study_uid, job_id, actor, details])
    return hashlib.sha256(words.encode("ascii")).hexdigest()


def as_json(details: Any) -> str:
    """JSON with sorted keys."""
    return _encode(details)


def actor_of(caller: Caller) -> str:
    """How a peer is named in the log."""
    return f"{caller.calling_ae}@{caller.address}"


class Transaction:
    """One write transaction: its connection, its one point in time (microseconds), the audit rows to be chained at its end."""

    def __init__(self, connection: Connection, now: int) -> None:
        self.connection, self.now = connection, now
        self.hot = Hot(connection)
        self.touched: dict[str, tuple[str, int, int]] = {}  # studies already moved along in this transaction (``db.receiving``)
        self._rows: list[tuple[str, str, int | None, str, str]] = []
        self._ends: dict[str, int] = {}

    def audit(self, event: Event, actor: str, details: dict[str, Any], study_uid: str = "", job_id: int | None = None) -> None:
        """One more row, in the order of the calls."""
        self._rows.append((event.value, study_uid, job_id, actor, _encode(details)))

    def reached(self, pack: str, end: int) -> None:
        """What a pack holds up to byte ``end`` is indexed: start-up need not look at it again."""
        self._ends[pack] = max(end, self._ends.get(pack, 0))

    def finish(self) -> None:
        """Write what was collected: ends of packs, then audit rows behind the head, which the write lock keeps others from."""
        _PACK_END.run_each(self.hot, [{"pack": pack, "end": end} for pack, end in self._ends.items()])
        self._chain()

    def _chain(self) -> None:
        if not self._rows:
            return
        [(seq, last)] = _HEAD.rows(self.hot, {})
        chained = []
        for event, study_uid, job_id, actor, details in self._rows:
            seq += 1
            last = row_hash(last, seq, self.now, event, study_uid, job_id, actor, details)
            values = {"seq": seq, "at": self.now, "event": event, "study_uid": study_uid, "job_id": job_id}
            chained.append({**values, "actor": actor, "details": details, "hash": last})
        _INSERT.run_each(self.hot, chained)
        _MOVE_HEAD.run(self.hot, {"rows": seq, "hash": last})
