"""Which SOP Classes a destination takes, as it was found out by sending."""

from collections.abc import Mapping

from sqlalchemy import delete, insert, select

from db.audit_rows import Transaction
from db.database import Database
from db.schema import acceptances
from db.times import from_micros
from domain.audit import Event
from domain.destinations import Acceptance


class Acceptances:
    """The part of the store that knows what destinations take."""

    _database: Database

    def acceptances(self, destination: str) -> list[Acceptance]:
        """What is known about one destination, however old."""
        query = select(acceptances).where(acceptances.c.destination == destination).order_by(acceptances.c.sop_class_uid)
        with self._database.read(latest=False) as connection:
            rows = connection.execute(query).all()
        return [Acceptance(row.sop_class_uid, bool(row.accepted), from_micros(row.at)) for row in rows]

    def forget_acceptances(self, destination: str, actor: str) -> int:
        """An operator wants the destination to be asked anew; returns how many rows went."""
        with self._database.write() as tx:
            found = tx.connection.execute(delete(acceptances).where(acceptances.c.destination == destination)).rowcount
            tx.audit(Event.FORGOTTEN, actor, {"destination": destination, "sop_classes": found})
        return int(found)


def learn(tx: Transaction, destination: str, learned: Mapping[str, bool]) -> None:
    """Note what a delivery found out; the newest word counts."""
    for uid, accepted in learned.items():
        this = (acceptances.c.destination == destination, acceptances.c.sop_class_uid == uid)
        tx.connection.execute(delete(acceptances).where(*this))
        values = {"destination": destination, "sop_class_uid": uid, "accepted": int(accepted), "at": tx.now}
        tx.connection.execute(insert(acceptances).values(values))
