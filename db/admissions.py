"""Whom an administrator has let in or sent away again; a running node looks here, so nothing has to be restarted."""

import ipaddress

from sqlalchemy import Row, delete, select

from db.database import Database
from db.schema import admissions, strangers
from db.times import from_micros
from domain.audit import Event
from domain.strangers import Admission


class Admissions:
    """The part of the store that the administrator's ``ancilla admit`` speaks to."""

    _database: Database

    def admit(self, ae_title: str, address: str, port: int, actor: str) -> None:
        """Let a caller in from an IP address or network (empty: from anywhere); again: with another ``port``.

        It is no stranger any more and leaves their list.
        """
        key = (admissions.c.ae_title == ae_title, admissions.c.address == address)
        with self._database.write() as tx:
            tx.connection.execute(delete(admissions).where(*key))
            row = {"ae_title": ae_title, "address": address, "port": port, "actor": actor, "at": tx.now}
            tx.connection.execute(admissions.insert(), row)
            for seen in tx.connection.execute(select(strangers).where(strangers.c.calling_ae == ae_title)).all():
                if _covers(address, seen.address):
                    same = (strangers.c[name] == getattr(seen, name) for name in ("calling_ae", "called_ae", "address"))
                    tx.connection.execute(delete(strangers).where(*same))
            tx.audit(Event.ADMITTED, actor, {"ae_title": ae_title, "address": address, "port": port})

    def dismiss(self, ae_title: str, address: str | None, actor: str) -> list[Admission]:
        """Take back what ``admit`` gave; ``address`` None: all of this title. Returns what was taken back, maybe nothing.

        Associations that run now go on.
        """
        where = [admissions.c.ae_title == ae_title]
        if address is not None:
            where.append(admissions.c.address == address)
        with self._database.write() as tx:
            found = [_admission_of(row) for row in tx.connection.execute(select(admissions).where(*where)).all()]
            tx.connection.execute(delete(admissions).where(*where))
            for one in found:
                tx.audit(Event.DISMISSED, actor, {"ae_title": one.ae_title, "address": one.address})
        return found

    def admissions(self) -> list[Admission]:
        """Everybody let in this way, by title and address."""
        ordered = select(admissions).order_by(admissions.c.ae_title, admissions.c.address)
        with self._database.read(latest=False) as connection:
            return [_admission_of(row) for row in connection.execute(ordered)]


def _admission_of(row: Row[tuple[object, ...]]) -> Admission:
    return Admission(row.ae_title, row.address, row.port, row.actor, from_micros(row.at))


def _covers(network: str, address: str) -> bool:
    if not network:
        return True
    try:
        return ipaddress.ip_address(address.partition("%")[0]) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
