"""What the receiver tells the store: associations, instances, refusals. Fast: each call is a few prepared statements."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import select

from db.audit_rows import Transaction, actor_of, as_json
from db.database import Database
from db.habits import opened_again
from db.rows import stranger_of
from db.schema import pack_ends, strangers
from db.sql import Sql
from db.times import seconds, to_micros
from domain.audit import Event
from domain.errors import PermanentError
from domain.instances import Caller, Instance, Receipt
from domain.moves import STUDY_MOVES, StudyMove, StudyState
from domain.strangers import Stranger

_STRANGERS: Final = 1000  # rows kept: anybody on the network can make one
_COPIES = Sql("SELECT digest FROM instances WHERE sop_instance_uid = :sop_instance_uid")
_STUDY = Sql("SELECT state, revision, deadline FROM studies WHERE study_uid = :study_uid")
_NEW_STUDY = Sql(
    "INSERT INTO studies (study_uid, state, revision, quiet_at, deadline, first_at, last_at)"
    " VALUES (:study_uid, 'receiving', 1, :quiet_at, :deadline, :now, :now)"
)
_TOUCH_STUDY = Sql(
    "UPDATE studies SET state = :state, revision = :revision, quiet_at = :quiet_at, deadline = :deadline, last_at = :now"
    " WHERE study_uid = :study_uid"
)
_NEW_INSTANCE = Sql(
    "INSERT INTO instances (study_uid, revision, series_uid, sop_instance_uid, sop_class_uid, transfer_syntax_uid, modality,"
    ' winner, digest, pack, "offset", length, calling_ae, called_ae, address, association_id, received_at)'
    " VALUES (:study_uid, :revision, :series_uid, :sop_instance_uid, :sop_class_uid, :transfer_syntax_uid, :modality,"
    " :winner, :digest, :pack, :offset, :length, :calling_ae, :called_ae, :address, :association_id, :received_at)"
)
_NEW_EVIDENCE = Sql(
    "INSERT INTO evidence (study_uid, revision, kind, subject, details, at)"
    " VALUES (:study_uid, :revision, 'association', :association_id, :details, :now) ON CONFLICT DO NOTHING"
)
_OPEN = Sql(
    "INSERT INTO associations (association_id, calling_ae, called_ae, address, opened_at, how)"
    " VALUES (:association_id, :calling_ae, :called_ae, :address, :now, '')"
)
_CLOSE = Sql("UPDATE associations SET closed_at = :now, how = :how WHERE association_id = :association_id AND closed_at IS NULL")
_CLOSE_EVIDENCE = Sql(
    "UPDATE evidence SET details = :details, at = :now"
    " WHERE kind = 'association' AND subject = :association_id AND details = :open"
)
_QUIET = Sql(
    "UPDATE studies SET quiet_at = :quiet_at WHERE state = 'receiving' AND quiet_at < :quiet_at"
    " AND study_uid IN (SELECT study_uid FROM evidence WHERE kind = 'association' AND subject = :association_id)"
)
_STRANGER = Sql(
    "INSERT INTO strangers (calling_ae, called_ae, address, count, first_at, last_at, words, proposed)"
    " VALUES (:calling_ae, :called_ae, :address, 1, :now, :now, :words, :proposed)"
    " ON CONFLICT (calling_ae, called_ae, address) DO UPDATE"
    " SET count = strangers.count + 1, last_at = excluded.last_at, words = excluded.words, proposed = excluded.proposed"
)
_FORGET_STRANGERS = Sql(
    "DELETE FROM strangers WHERE last_at < (SELECT last_at FROM strangers ORDER BY last_at DESC LIMIT 1 OFFSET :keep)"
)
_CALLER = Sql("SELECT calling_ae, called_ae, address FROM associations WHERE association_id = :association_id")
_IS_OPEN = as_json({"how": "open"})
_EVENTS: Final = {
    Receipt.STORED: Event.STORED,
    Receipt.DUPLICATE: Event.DUPLICATE,
    Receipt.CONFLICT: Event.CONFLICT,
}


class Undigested:
    """An instance whose digest is worked out later, and once."""

    def __init__(self, instance: Instance, digest: Callable[[], str]) -> None:
        self._instance, self._digest = instance, digest
        self._error: PermanentError | None = None

    def work_out(self) -> None:
        """Raises TransientError, to be tried again."""
        try:
            self._instance = replace(self._instance, digest=self._digest())
        except PermanentError as error:
            self._error = error

    def digested(self) -> Instance:
        """The instance. Raises PermanentError when its bytes cannot be read."""
        if self._error:
            raise self._error
        return self._instance


class Receiving:
    """The part of the store that the receiver speaks to; rows here need not wait for the disk (see ``db.database``)."""

    _database: Database

    def opened(self, association_id: str, caller: Caller) -> None:
        """An association was accepted; while it is open, no study it sends to settles."""
        with self._database.write(durable=False, in_order=False) as tx:
            _OPEN.run(tx.hot, {"association_id": association_id, "now": tx.now, **_peer(caller)})
            tx.audit(Event.ASSOCIATION_OPENED, actor_of(caller), {"association": association_id, "called": caller.called_ae})

    def received(self, instance: Instance, quiet_seconds: float, max_wait_seconds: float) -> Receipt:
        """Index one durable instance. The first copy of a SOP Instance UID wins; equal copies leave no row but an audit row.

        A new image moves the study's quiet point to now + ``quiet_seconds``; one for a closed study opens the next
        revision, which is complete after ``max_wait_seconds`` at the latest. Raises TransientError.
        """
        with self._database.write(durable=False) as tx:
            return index(tx, instance, quiet_seconds, max_wait_seconds)

    def received_later(
        self, instance: Instance, quiet_seconds: float, max_wait_seconds: float, digest: Callable[[], str] | None = None
    ) -> None:
        """The same within milliseconds, together with others; whoever asks this store finds it indexed.

        ``digest`` works out what the instance has none of yet. Raises TransientError when the database cannot be written and a
        thousand wait already.
        """
        if digest is None:
            self._database.defer(lambda tx: index(tx, instance, quiet_seconds, max_wait_seconds))
            return
        late = Undigested(instance, digest)
        self._database.defer(
            lambda tx: index(tx, late.digested(), quiet_seconds, max_wait_seconds), late.work_out, instance.place.length
        )

    def closed(self, association_id: str, how: str, quiet_seconds: float) -> None:
        """The association ended ("released", "aborted", "lost"); its open studies stay open for ``quiet_seconds`` from now."""
        with self._database.write(durable=False) as tx:
            _closed(tx, association_id, how, quiet_seconds)

    def closed_later(self, association_id: str, how: str, quiet_seconds: float) -> None:
        """The same within milliseconds, behind the images of the association; see ``received_later``."""
        self._database.defer(lambda tx: _closed(tx, association_id, how, quiet_seconds))

    def refused(self, caller: Caller, association_id: str, status: int, words: str) -> None:
        """An object was answered with a failure status (PS3.4 B.2.3)."""
        with self._database.write(durable=False, in_order=False) as tx:
            details = {"association": association_id, "status": f"0x{status:04X}", "words": words}
            tx.audit(Event.REFUSED, actor_of(caller), details)

    def rejected(self, caller: Caller, words: str, proposed: Sequence[str] = ()) -> None:
        """An association was rejected; the caller is listed with the SOP classes it ``proposed`` to send, the longest unseen
        are forgotten beyond a thousand."""
        values = {"words": words, "proposed": as_json(list(proposed)), **_peer(caller)}
        with self._database.write(durable=False, in_order=False) as tx:
            _STRANGER.run(tx.hot, {"now": tx.now, **values})
            _FORGET_STRANGERS.run(tx.hot, {"keep": _STRANGERS - 1})
            tx.audit(Event.ASSOCIATION_REJECTED, actor_of(caller), {"called": caller.called_ae, "words": words})

    def strangers(self) -> list[Stranger]:
        """Rejected callers, the last seen first."""
        with self._database.read() as connection:
            return [stranger_of(row) for row in connection.execute(select(strangers).order_by(strangers.c.last_at.desc()))]

    def indexed(self) -> dict[str, int]:
        """Pack -> end of its last indexed record, in bytes."""
        with self._database.read() as connection:
            return {row[0]: row[1] for row in connection.execute(select(pack_ends.c.pack, pack_ends.c.end))}


def index(tx: Transaction, instance: Instance, quiet_seconds: float, max_wait_seconds: float) -> Receipt:
    """The rows of one instance; see ``Receiving.received``."""
    header = instance.header
    copies = _COPIES.rows(tx.hot, {"sop_instance_uid": header.sop_instance_uid})
    receipt = _judge(instance.digest, copies)
    revision = _touch(tx, instance, receipt, seconds(quiet_seconds), seconds(max_wait_seconds))
    tx.reached(instance.place.pack, instance.place.offset + instance.place.length)
    if receipt is not Receipt.DUPLICATE:
        _insert(tx, instance, revision, winner=receipt is Receipt.STORED)
    details = {"association": instance.association_id, "digest": instance.digest, "instance": header.sop_instance_uid}
    tx.audit(_EVENTS[receipt], actor_of(instance.caller), details, header.study_uid)
    return receipt


def _closed(tx: Transaction, association_id: str, how: str, quiet_seconds: float) -> None:
    found = _CALLER.rows(tx.hot, {"association_id": association_id})
    actor = actor_of(Caller(*found[0])) if found else "node"
    close_association(tx, association_id, how, actor, seconds(quiet_seconds))


def close_association(tx: Transaction, association_id: str, how: str, actor: str, quiet: int) -> None:
    """Close it, say so in the evidence of its studies, and give those a quiet span (microseconds) from now."""
    values: dict[str, Any] = {"association_id": association_id, "how": how, "now": tx.now, "quiet_at": tx.now + quiet}
    if _CLOSE.run(tx.hot, values):
        _QUIET.run(tx.hot, values)
        _CLOSE_EVIDENCE.run(tx.hot, {**values, "details": as_json({"how": how}), "open": _IS_OPEN})
        tx.audit(Event.ASSOCIATION_CLOSED, actor, {"association": association_id, "how": how})


def _peer(caller: Caller) -> dict[str, str]:
    return {"calling_ae": caller.calling_ae, "called_ae": caller.called_ae, "address": caller.address}


def _judge(digest: str, copies: list[tuple[Any, ...]]) -> Receipt:
    if not copies:
        return Receipt.STORED
    return Receipt.DUPLICATE if (digest,) in copies else Receipt.CONFLICT


def _touch(tx: Transaction, instance: Instance, receipt: Receipt, quiet: int, max_wait: int) -> int:
    """Move the study along; returns the revision the instance belongs to. Copies never open a closed study again."""
    study_uid = instance.header.study_uid
    by = (instance.association_id, quiet)
    before = tx.touched.get(study_uid)
    if before and before[:2] == by:  # nothing would change: all of a transaction is one moment
        return before[2]
    found = _STUDY.rows(tx.hot, {"study_uid": study_uid})
    values: dict[str, Any] = {"study_uid": study_uid, "now": tx.now, "quiet_at": tx.now + quiet, "revision": 1}
    if not found:
        _NEW_STUDY.run(tx.hot, {**values, "deadline": tx.now + max_wait})
    else:
        [(state, values["revision"], deadline)] = found
        if state != StudyState.RECEIVING:
            if receipt is not Receipt.STORED:
                return int(values["revision"])
            state, deadline = move_study(state, StudyMove.REOPEN), tx.now + max_wait
            values["revision"] += 1
            if found[0][0] != StudyState.PURGED:  # what comes after its images were deleted says nothing about the device
                opened_again(tx, study_uid, int(values["revision"]) - 1)
            tx.audit(Event.REOPENED, "node", {"revision": values["revision"]}, study_uid)
        _TOUCH_STUDY.run(tx.hot, {**values, "state": state, "deadline": deadline})
    _NEW_EVIDENCE.run(tx.hot, {**values, "association_id": instance.association_id, "details": _IS_OPEN})
    tx.touched[study_uid] = (*by, int(values["revision"]))
    return int(values["revision"])


def move_study(state: str, move: StudyMove) -> StudyState:
    """Where a move leads. Raises PermanentError for one that is not in the table."""
    target = STUDY_MOVES.get((StudyState(state), move))
    if target is None:
        raise PermanentError(f"a study that is {state} cannot {move.value}")
    return target


def _insert(tx: Transaction, instance: Instance, revision: int, winner: bool) -> None:
    header, place = instance.header, instance.place
    values = {
        "study_uid": header.study_uid,
        "revision": revision,
        "series_uid": header.series_uid,
        "sop_instance_uid": header.sop_instance_uid,
        "sop_class_uid": header.sop_class_uid,
        "transfer_syntax_uid": header.transfer_syntax_uid,
        "modality": header.modality,
        "winner": int(winner),
        "digest": instance.digest,
        "pack": place.pack,
        "offset": place.offset,
        "length": place.length,
        "association_id": instance.association_id,
        "received_at": to_micros(instance.received_at),
        **_peer(instance.caller),
    }
    _NEW_INSTANCE.run(tx.hot, values)
