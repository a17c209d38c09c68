"""Transactions: who may write when, and how durable it is.

There is one writer at a time. Two connections write. The *receiving* connection commits without waiting for the disk
(SQLite: ``synchronous = NORMAL``), the other one waits (``FULL``). Both append to the same write-ahead log, in the
order of their commits, and a FULL commit syncs everything before it. So a power cut can lose only the youngest rows
about receiving, never a row from the middle, and never a job move or anything a job move was based on. The audit chain
stays whole: its head is a row of the same log. Lost instance rows are made again from the packs, which were synced
before the sender got its answer (see ``db.spool``).
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError, OperationalError

from db.audit_rows import Transaction
from db.times import to_micros
from domain.errors import OutOfSpaceError, PermanentError, TransientError

WRITER = "ancilla_writer"  # execution option: this connection begins its transactions with the write lock


class Database:
    """The engine for readers, the two connections for writers, and the clock."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime], receiving: str) -> None:
        self._engine, self._clock = engine, clock
        self._lock = threading.Lock()
        self._durable = self._writer("FULL")
        self._receiving = self._writer(receiving)

    def now(self) -> int:
        """The clock, in microseconds."""
        return to_micros(self._clock())

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot. Raises TransientError when the database cannot be read now."""
        with _translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, durable: bool = True) -> Iterator[Transaction]:
        """One transaction under the write lock; audit rows are chained at its end; an exception undoes all of it."""
        connection = self._durable if durable else self._receiving
        with _translated(), self._lock, connection.begin():
            transaction = Transaction(connection, self.now())
            yield transaction
            transaction.chain()

    def close(self) -> None:
        """Give everything back."""
        with self._lock:
            self._receiving.close()
            self._durable.close()
            self._engine.dispose()

    def _writer(self, synchronous: str) -> Connection:
        connection = self._engine.connect()
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute(f"PRAGMA synchronous = {synchronous}")
        return connection.execution_options(**{WRITER: True})


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of the database in our own words; parameters are hidden by the engine."""
    try:
        yield
    except (OperationalError, sqlite3.OperationalError) as error:
        said = str(getattr(error, "orig", error))
        if "full" in said:
            raise OutOfSpaceError("the disk of the database is full") from error
        raise TransientError(f"the database cannot be used now: {said}") from error
    except (IntegrityError, sqlite3.IntegrityError) as error:
        raise PermanentError(f"the database refused a row: {getattr(error, 'orig', error)}") from error
