"""The one public face of what survives a power cut: every method is one transaction that carries its own audit rows."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select, update

from db.acceptances import Acceptances
from db.admissions import Admissions
from db.audit import Record
from db.commitments import Commitments
from db.database import Database
from db.evidence import Testimony
from db.figures import Figures
from db.forwarding import ForwardedLog
from db.habits import Habits
from db.increments import Increments
from db.jobs import Jobs, requeue
from db.patients import Patients
from db.purges import Purges
from db.receiving import Receiving, close_association
from db.reports import Reporting
from db.reruns import Reruns
from db.schema import associations, jobs, studies
from db.shadows import Shadows
from db.studies import Studies
from db.times import seconds
from domain.moves import JobState, StudyState


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a start-up had to put right: how many associations and jobs the last stop had left open."""

    associations: int
    jobs: int


class Store(
    Receiving,
    Admissions,
    Acceptances,
    Commitments,
    Testimony,
    Habits,
    Patients,
    Studies,
    Reruns,
    Purges,
    Shadows,
    Jobs,
    Reporting,
    Record,
    Figures,
    Increments,
    ForwardedLog,
):
    """Studies, jobs and the audit log in one database. Any number of threads may use it at once.

    Every method may raise TransientError when the database cannot be used now (OutOfSpaceError: its disk is full).
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def recover(self, quiet_seconds: float = 0.0, elsewhere: Collection[str] = ()) -> Recovery:
        """At start-up, before the receiver and the runner: nobody holds an association or a job of the last run any more,
        except the associations ``elsewhere``, which another process holds just now.

        Studies that were receiving stay open for ``quiet_seconds``: the sender may come back.
        """
        with self._database.write() as tx:
            quiet_at = tx.now + seconds(quiet_seconds)
            all_open = tx.connection.execute(select(associations).where(associations.c.closed_at.is_(None)))
            found = [row for row in all_open if row.association_id not in elsewhere]
            for row in found:
                close_association(tx, row.association_id, "lost", "node", seconds(quiet_seconds))
            early = (studies.c.state == StudyState.RECEIVING, studies.c.quiet_at < quiet_at)
            tx.connection.execute(update(studies).where(*early).values(quiet_at=quiet_at))
            running = requeue(tx, jobs.c.state == JobState.RUNNING, "the node was stopped")
        return Recovery(len(found), len(running))

    def close(self) -> None:
        """Give the database back; no other method may be called afterwards."""
        self._database.close()
