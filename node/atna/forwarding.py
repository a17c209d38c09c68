"""Sends the audit log to a repository, row by row, beside everything else: no image waits for it, no row is left out.

What survives a stop is one number in the store: rows up to there need not be sent again. It moves when a connection has lived on
for a while after they were sent, or when the other side has closed it properly; after a broken one, what was sent since is sent
again.
"""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from db.store import Store
from delivery.syslog import Line, packet
from domain.audit import AuditRow
from domain.errors import AncillaError
from domain.repositories import Repository
from node.atna.source import Source, source_of
from node.atna.xml import DECLARATION, told
from node.backoff import pause
from node.config import Settings
from node.holding import failure, words
from node.log import event, warn

BATCH: Final = 250  # rows at once, about half a megabyte
BATCHES: Final = 20  # before the loop looks around again
SETTLE: Final = timedelta(seconds=5)  # so long a connection must live on before its rows count as sent
BREATH: Final = timedelta(seconds=1)  # between two turns of the lane: its syncs and its work must not crowd out images
BUSY: Final = 20  # more new rows than this between two looks: images are coming in
FIRST_SECONDS, LONGEST_SECONDS = 0.5, 60.0  # pauses between two tries
LAST_SECONDS: Final = 5.0  # for what is left when the node stops


class Wire(Protocol):
    """What is needed of ``delivery.syslog.Line``."""

    repository: Repository

    def send(self, packets: list[bytes], /) -> None:
        """In their order."""

    def check(self) -> None:
        """Raises TransientError when it is broken."""

    def close(self) -> bool:
        """True: all was read."""

    def cut(self) -> None:
        """End it now."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """Rows up to ``seq`` were sent at that time, on the connection that is still open."""

    at: datetime
    seq: int


class Forwarding:
    """The forwarding of this node; ``turn`` is called by the loop again and again. ``settings`` is replaced as a whole."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        clock: Callable[[], datetime],
        wake: Callable[[], None],
        dial: Callable[[Repository], Wire] = Line,
        lane: Executor | None = None,
    ) -> None:
        self.settings = settings
        self._store, self._clock, self._wake, self._dial = store, clock, wake, dial
        self._lane = lane or ThreadPoolExecutor(1, "audit")
        self._future: Future[None] | None = None
        self._wire: Wire | None = None
        self._marks: deque[_Mark] = deque()
        self._seq = self._sent = -1  # up to where rows need not be sent again; the last that was sent on this connection
        self._said = ""
        self._next = clock()
        self._attempts = 0
        self._ending = False
        self._seen, self._busy = -1, False  # the last row at the last look; whether many had come since the look before

    def turn(self) -> bool:
        """Take what the lane has done, give it more to do. True if anything was done."""
        if self._future is not None:
            if not self._future.done():
                return False
            self._collect(self._future)
            return True
        if self._waits() or not self._has_work():
            return False
        self._submit()
        return True

    def _waits(self) -> bool:
        """Not for longer than the longest pause: a clock may have been put back."""
        return 0 < (self._next - self._clock()).total_seconds() <= LONGEST_SECONDS

    def finish(self) -> None:
        """The node stops: send what is left, if that is quickly done, and close. What is not sent then is sent after the next
        start."""
        self._ending = True
        if self._future is not None:
            wait([self._future], LAST_SECONDS)
        if self._wire is not None and (self._future is None or self._future.done()):
            self._future = self._lane.submit(self._leave)
            wait([self._future], LAST_SECONDS)
        if self._wire is not None:
            self._wire.cut()
        self._lane.shutdown(wait=False, cancel_futures=True)

    def _has_work(self) -> bool:
        if self._wire is not None and self._wire.repository != self.settings.audit:
            return True
        if self.settings.audit is None:
            return False
        stands = self._store.forwarded()
        if stands.seq != self._seq:  # the first look, or an operator wants rows again
            self._seq = self._sent = stands.seq
            self._marks.clear()
        if self._has_just_begun(stands.seq + stands.behind):
            self._next = self._clock() + BREATH
            return False
        return self._seen > self._sent or bool(self._marks and self._is_old(self._marks[0]))

    def _has_just_begun(self, last: int) -> bool:
        """Whether images have begun to come in: a short transfer should be over before anything is sent."""
        before, self._busy = self._busy, self._seen >= 0 and last - self._seen > BUSY
        self._seen = last
        return self._busy and not before

    def _submit(self) -> None:
        self._future = self._lane.submit(self._work)
        self._future.add_done_callback(lambda _: self._wake())

    def _collect(self, future: Future[None]) -> None:
        self._future = None
        error = failure(future)
        if error is None:
            self._next = self._clock() + BREATH
            return
        self._hang_up()
        self._attempts += 1
        self._next = self._clock() + pause(0, self._attempts, FIRST_SECONDS, LONGEST_SECONDS)
        if words(error) != self._said:
            self._said = words(error)
            warn("audit-not-sent", reason=self._said)
            self._store.not_forwarded(self._said)
        if not isinstance(error, AncillaError):
            raise error

    def _hang_up(self) -> None:
        """What was sent on this connection and has not settled is sent again."""
        if self._wire is not None:
            self._wire.cut()
            self._wire.close()
        self._wire, self._sent = None, self._seq
        self._marks.clear()

    def _work(self) -> None:
        """In the lane. Raises TransientError."""
        repository = self.settings.audit
        if self._wire is not None and self._wire.repository != repository:
            self._leave()
        if repository is None:
            return
        if self._wire is None:
            self._wire = self._dial(repository)
            if not self._said:
                event("audit-connected", repository=repository.name)
        self._wire.check()
        self._settle()
        source = source_of(self.settings)
        for _ in range(BATCHES):
            if not self._send_batch(self._wire, source):
                return
            if self._busy or self._store.is_behind():
                return

    def _send_batch(self, wire: Wire, source: Source) -> bool:
        rows = self._store.log_behind(self._sent, BATCH)
        if not rows or self._ending:
            return False
        self._give(wire, rows, source)
        return len(rows) == BATCH

    def _give(self, wire: Wire, rows: list[AuditRow], source: Source) -> None:
        last = rows[-1].seq
        self._store.offer(last)
        wire.send([_packet(row, source) for row in rows])
        self._sent = last
        self._marks.append(_Mark(self._clock(), last))

    def _settle(self) -> None:
        """The connection lives: what was sent on it long enough ago has arrived."""
        seq = None
        while self._marks and self._is_old(self._marks[0]):
            seq = self._marks.popleft().seq
        if seq is not None:
            self._arrived(seq)

    def _is_old(self, mark: _Mark) -> bool:
        return abs(self._clock() - mark.at) >= SETTLE

    def _arrived(self, seq: int) -> None:
        if self._store.forwarded_to(seq, self._seq):
            self._seq = seq
        if self._said:
            event("audit-sent-again", row=seq)
        self._attempts, self._said = 0, ""

    def _leave(self) -> None:
        """Send a last batch when the node ends, close properly, and know by that what has arrived."""
        wire = self._wire
        if wire is None:
            return
        if self._ending and (rows := self._store.log_behind(self._sent, BATCH)):
            wire.check()
            self._give(wire, rows, source_of(self.settings))
        sent, pending = self._sent, bool(self._marks)
        self._wire, self._sent = None, self._seq
        self._marks.clear()
        if wire.close() and pending:
            self._arrived(sent)
            self._sent = self._seq


def _packet(row: AuditRow, source: Source) -> bytes:
    outcome, text = told(row, source)
    return packet(row.at, outcome, source.host, os.getpid(), DECLARATION + text)
