"""Transactions: who may write when, and how durable it is.

There is one writer at a time. Two connections write. The *receiving* connection commits without waiting for the disk
(SQLite: ``synchronous = NORMAL``), the other one waits (``FULL``). Both append to the same write-ahead log, in the
order of their commits, and a FULL commit syncs everything before it. So a power cut can lose only the youngest rows
about receiving, never a row from the middle, and never a job move or anything a job move was based on. The audit chain
stays whole: its head is a row of the same log. Lost instance rows are made again from the packs, which were synced
before the sender got its answer (see ``db.spool``).

For the same reason rows about receiving may come a moment later than their images: ``defer`` queues a step, and many steps
become one transaction. Whoever reads or writes here does the queued steps first, so nobody in this process can tell; only who
looks around again and again, or at what no image changes, says that it need not be so. What a
step has to work out before (a digest) is worked out outside the lock, by the thread that waits for it or by the indexer.
"""

import itertools
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError, OperationalError

from db.audit_rows import Transaction
from db.times import to_micros
from domain.errors import OutOfSpaceError, PermanentError, TransientError

LOG: Final = logging.getLogger(__name__)
GATHER_SECONDS: Final = 0.02  # a queued step waits for others as long as they come this fast, while nobody asks ...
LONGEST_SECONDS: Final = 1.0  # ... but no longer than this: who sends in numbers has the processors to himself for so long
RETRY_SECONDS: Final = 1.0
MOST_DEFERRED: Final = 4000  # queued steps; beyond that the receiver itself waits for the database
MOST_WEIGHT: Final = 512 << 20  # the same for what queued steps have to work out before; see ``defer``
Step = Callable[["Transaction"], object]


def nothing() -> None:
    """A step that needs no preparation."""


class Deferred:
    """A step and what has to be worked out before it, once."""

    def __init__(self, step: Step, prepare: Callable[[], None], prepared: Callable[[], object]) -> None:
        """``prepared`` is told once."""
        self.step = step
        self.ready = prepare is nothing
        self._prepare, self._prepared, self._lock = prepare, prepared, threading.Lock()

    def prepare(self) -> None:
        """Raises TransientError; to be tried again then. What can never be worked out is left to the step to refuse."""
        if self.ready:
            return
        with self._lock:
            if not self.ready:
                self._prepare()
                self.ready = True
                self._prepared()


WRITER = "ancilla_writer"  # execution option: this connection begins its transactions with the write lock


class Database:
    """The engine for readers, the two connections for writers, and the clock."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime], receiving: str) -> None:
        self._engine, self._clock = engine, clock
        self._lock = threading.Lock()
        self._durable = self._writer("FULL")
        self._receiving = self._writer(receiving)
        self._deferred: deque[Deferred] = deque()  # a step leaves it when it is committed
        self._weight, self._weighing = 0, threading.Lock()  # of what is not prepared yet
        self._news, self._closing = threading.Event(), threading.Event()
        self._indexer: threading.Thread | None = None

    def now(self) -> int:
        """The clock, in microseconds."""
        return to_micros(self._clock())

    @contextmanager
    def read(self, latest: bool = True) -> Iterator[Connection]:
        """A snapshot, deferred steps included; not ``latest``: those of the last second may be missing, and nobody who sends is
        disturbed. Raises TransientError when the database cannot be read now."""
        if latest:
            self.catch_up()
        with _translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self, durable: bool = True, in_order: bool = True) -> Iterator[Transaction]:
        """One transaction under the write lock; audit rows are chained at its end; an exception undoes all of it.

        ``in_order``: after everything that was deferred before. Else steps that need preparation may come later: nobody who
        opens an association should wait for the digests of others.
        """
        if in_order:
            self._prepare_deferred()
        with self._lock:
            self._do_deferred()
            with self._transaction(self._durable if durable else self._receiving) as transaction:
                yield transaction

    def defer(self, step: Step, prepare: Callable[[], None] = nothing, weight: int = 0) -> None:
        """Do this soon, in the order of the calls and before anybody reads; a power cut may lose it.

        ``prepare`` is called once before; it may take long and may raise TransientError. ``weight`` says how long (bytes to be
        read). Raises TransientError, and forgets the step, when the database cannot be written and much waits already.
        """
        if len(self._deferred) >= MOST_DEFERRED:
            self.catch_up()
        self._deferred.append(Deferred(step, prepare, lambda: self._weigh(-weight)))
        if weight:
            self._help(weight)
        if self._indexer is None:
            self._start_indexer()
        self._news.set()

    @property
    def is_behind(self) -> bool:
        """Whether something that was deferred is not written yet."""
        return bool(self._deferred)

    def catch_up(self) -> None:
        """Do what was deferred until now. Raises TransientError; the steps are kept then."""
        if self._deferred:
            self._prepare_deferred()
            with self._lock:
                self._do_deferred()

    def _prepare_deferred(self) -> None:
        """Whatever was deferred until now; without the lock, so that others may go on receiving."""
        for deferred in list(self._deferred):
            deferred.prepare()

    def _help(self, weight: int) -> None:
        """Who defers faster than the indexer prepares does the oldest himself."""
        if self._weigh(weight) <= MOST_WEIGHT:
            return
        oldest = next((deferred for deferred in list(self._deferred) if not deferred.ready), None)
        if oldest:
            with suppress(TransientError):  # the indexer tries again
                oldest.prepare()

    def _weigh(self, weight: int) -> int:
        with self._weighing:
            self._weight += weight
            return self._weight

    def close(self) -> None:
        """Give everything back; what could not be written yet is made again from the packs."""
        self._closing.set()
        self._news.set()
        if self._indexer is not None:
            self._indexer.join()
        with self._lock:
            self._receiving.close()
            self._durable.close()
            self._engine.dispose()

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[Transaction]:
        with _translated(), connection.begin():
            transaction = Transaction(connection, self.now())
            yield transaction
            transaction.finish()

    def _do_deferred(self) -> None:
        """All or, when one of them is refused, one by one; always in their order. Under the write lock."""
        steps = list(itertools.takewhile(lambda deferred: deferred.ready, list(self._deferred)))
        if not steps:
            return
        try:
            self._do(steps)
        except PermanentError:
            for step in steps:
                self._do_alone(step)

    def _do_alone(self, step: Deferred) -> None:
        try:
            self._do([step])
        except PermanentError as error:  # its bytes stay in the pack
            self._deferred.popleft()
            LOG.error("a row about receiving was refused: %s", error)

    def _do(self, steps: Sequence[Deferred]) -> None:
        with self._transaction(self._receiving) as transaction:
            for deferred in steps:
                deferred.step(transaction)
        for _ in steps:
            self._deferred.popleft()

    def _start_indexer(self) -> None:
        with self._lock:
            if self._indexer is None and not self._closing.is_set():
                self._indexer = threading.Thread(target=self._index, name="indexer", daemon=True)
                self._indexer.start()

    def _index(self) -> None:
        while not self._closing.is_set() or self._deferred:
            self._news.wait()
            self._gather()
            try:
                self.catch_up()
            except TransientError as error:
                LOG.warning("rows about receiving wait: %s", error)
                if self._closing.wait(RETRY_SECONDS):
                    return
                self._news.set()

    def _gather(self) -> None:
        """Wait until no more steps come, or too many are there."""
        ends = time.monotonic() + LONGEST_SECONDS
        while self._news.is_set() and not self._closing.is_set():
            self._news.clear()
            self._closing.wait(GATHER_SECONDS)
            if len(self._deferred) > MOST_DEFERRED // 2 or time.monotonic() > ends:
                self._news.clear()

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
