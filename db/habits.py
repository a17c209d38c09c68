"""How long each device pauses within a study, learned from the studies that are complete.

Each study adds one number: the longest pause between two images of it from that device. Most pauses are those from one image
to the next; the one that matters is the longest, between two series or two associations. Older studies weigh less.
"""

import json
from collections.abc import Sequence
from math import ceil, log2
from typing import Final

from sqlalchemy import and_, insert, select, update

from db.audit_rows import Transaction, as_json
from db.database import Database
from db.schema import evidence, habits, instances
from domain.completeness import Habit
from domain.evidence import Source

SETTLED: Final = "settled"  # kind of the evidence row that says how a revision was judged complete; its subject is the source
_FADE: Final = 0.995  # weight of a study when the next one comes: half after 139 studies
_STEPS: Final = 4  # bounds per doubling of the pause
_SHORTEST: Final = 0.25  # seconds; shorter pauses count as this long
_LONGEST: Final = 86_400.0  # seconds; longer ones are no pauses: somebody sent old images again


class Habits:
    """The part of the store that knows devices."""

    _database: Database

    def habits(self) -> dict[str, Habit]:
        """What was learned, by calling AE title."""
        with self._database.read() as connection:
            rows = connection.execute(select(habits).order_by(habits.c.calling_ae)).all()
        return {row.calling_ae: Habit(row.calling_ae, row.studies, _pauses(row.pauses), row.hasty) for row in rows}


def learn(tx: Transaction, study_uid: str, revision: int) -> None:
    """Take the pauses of a revision into account; the one that opened it belongs to it."""
    query = select(instances.c.calling_ae, instances.c.received_at, instances.c.revision).where(
        instances.c.study_uid == study_uid, instances.c.winner == 1, instances.c.revision >= revision - 1
    )
    last: dict[str, int] = {}
    longest: dict[str, float] = {}
    for calling_ae, at, of in tx.connection.execute(query.order_by(instances.c.instance_id)):
        pause = (at - last.get(calling_ae, at)) / 1e6
        last[calling_ae] = at
        if of == revision and pause <= _LONGEST:
            longest[calling_ae] = max(pause, longest.get(calling_ae, 0.0))
    for calling_ae, pause in longest.items():
        _take(tx, calling_ae, pause)


def opened_again(tx: Transaction, study_uid: str, revision: int) -> None:
    """A study is opened again behind ``revision``: was that closed because a device asked for commitment? It spoke too soon."""
    closed_by = select(evidence.c.subject, evidence.c.details).where(
        evidence.c.study_uid == study_uid, evidence.c.revision == revision, evidence.c.kind == SETTLED
    )
    row = tx.connection.execute(closed_by).one_or_none()
    if row is None or row.subject not in (Source.COMMITMENT, Source.AVAILABILITY):
        return
    for calling_ae in json.loads(row.details)["callers"]:
        _ensure(tx, calling_ae)
        mine = habits.c.calling_ae == calling_ae
        tx.connection.execute(update(habits).where(mine).values(hasty=habits.c.hasty + 1))


def _take(tx: Transaction, calling_ae: str, pause: float) -> None:
    row = _ensure(tx, calling_ae)
    weights = {bound: weight * _FADE for bound, weight in _pauses(row)}
    bound = _bound(pause)
    weights[bound] = weights.get(bound, 0.0) + 1.0
    kept = [[bound, round(weight, 6)] for bound, weight in sorted(weights.items()) if weight > 0.001]
    values = {"pauses": as_json(kept), "studies": habits.c.studies + 1}
    tx.connection.execute(update(habits).where(habits.c.calling_ae == calling_ae).values(values))


def _ensure(tx: Transaction, calling_ae: str) -> str:
    """The pauses of a device, which has a row afterwards."""
    query = select(habits.c.pauses).where(and_(habits.c.calling_ae == calling_ae))
    found = tx.connection.execute(query).scalar_one_or_none()
    if found is None:
        tx.connection.execute(insert(habits).values(calling_ae=calling_ae, studies=0, pauses="[]", hasty=0))
    return found or "[]"


def _bound(pause: float) -> float:
    """The upper bound of the class a pause falls into, in seconds: a quarter of a doubling wide, so at most 19 % too long."""
    steps = ceil(round(_STEPS * log2(max(pause, _SHORTEST) / _SHORTEST), 9))
    return float(round(_SHORTEST * 2.0 ** (steps / _STEPS), 6))


def _pauses(text: str) -> tuple[tuple[float, float], ...]:
    pairs: Sequence[Sequence[float]] = json.loads(text)
    return tuple((float(bound), float(weight)) for bound, weight in pairs)
