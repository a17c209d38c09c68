"""Received objects into spool and store: bytes durable first, then the row, and only then may the receiver say 0x0000."""

import uuid
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import NamedTuple, Protocol

from db.spool import Spool
from db.store import Store
from domain.errors import TransientError
from domain.instances import Caller, Header, Instance, Place, Receipt


class _Pack(Protocol):
    def write(self, fragment: bytes | memoryview) -> None: ...

    def commit(self, last: Sequence[bytes | memoryview] = ()) -> tuple[Place, str]: ...

    def discard(self) -> None: ...


class _Ended(NamedTuple):
    association_id: str
    how: str
    calling_ae: str


class Intake:
    """Implements ``domain.seams.Intake``. Receiver threads call it at the same time; all that matters is in the store."""

    def __init__(
        self,
        spool: Spool,
        store: Store,
        quiet_seconds: float,
        max_wait_seconds: float,
        clock: Callable[[], datetime],
        quiet: Callable[[str], float] | None = None,
        arrived: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``quiet`` gives the quiet time of a calling AE title, else ``quiet_seconds`` is; ``arrived`` is told each instance."""
        self._spool, self._store, self._clock = spool, store, clock
        self._quiet, self._max_wait_seconds = quiet or (lambda _: quiet_seconds), max_wait_seconds
        self._arrived = arrived
        self._callers: dict[str, str] = {}  # calling AE titles of open associations
        self._owed: deque[_Ended] = deque()  # what the store does not know yet

    def opened(self, caller: Caller) -> str:
        """See ``domain.seams.Intake``. The id becomes part of a file name, so it is ours and not the caller's."""
        association_id = uuid.uuid4().hex
        self._store.opened(association_id, caller)
        self._callers[association_id] = caller.calling_ae
        return association_id

    def writer(self, association_id: str, caller: Caller, header: Header, meta: bytes) -> "Writer":
        """See ``domain.seams.Intake``. Raises OutOfSpaceError."""
        return self.writer_to(self.index, association_id, caller, header, meta)

    def writer_to(
        self,
        taken: Callable[[Instance], Receipt],
        association_id: str,
        caller: Caller,
        header: Header,
        meta: bytes,
        durable: bool = True,
        digest: bool = True,
    ) -> "Writer":
        """A writer whose instance goes to ``taken`` once its bytes are in the pack; without ``digest`` it has none yet, unless it
        is small. Raises OutOfSpaceError."""

        def committed(place: Place, digest: str) -> Receipt:
            return taken(Instance(header, place, digest, caller, association_id, self._clock()))

        return Writer(self._spool.writer(association_id, caller, header, meta, durable, digest), committed)

    def index(self, instance: Instance) -> Receipt:
        """Write the rows of a durable instance. Raises TransientError."""
        receipt = self._store.received(instance, self._quiet(instance.caller.calling_ae), self._max_wait_seconds)
        self._arrived(instance.header.sop_instance_uid)
        return receipt

    def index_later(self, instance: Instance, data_at: int) -> Receipt:
        """The same within milliseconds, and before anybody asks the store; a digest it has not is worked out then.

        ``data_at`` is where in its PS3.10 bytes the data set begins. Raises TransientError when too many wait already.
        """
        late = None if instance.digest else partial(self._spool.digest_of, instance.place, data_at)
        self._store.received_later(instance, self._quiet(instance.caller.calling_ae), self._max_wait_seconds, late)
        self._arrived(instance.header.sop_instance_uid)
        return Receipt.TAKEN

    def closed(self, association_id: str, how: str) -> None:
        """See ``domain.seams.Intake``."""
        self._spool.close(association_id)
        self._end(_Ended(association_id, how, self._callers.pop(association_id, "")))

    def catch_up(self) -> None:
        """Tell the store of associations whose end it could not write down: a full disk must not keep their studies open.

        For one thread; raises TransientError when it still cannot.
        """
        while self._owed:
            self._end(self._owed.popleft())

    def _end(self, ended: _Ended) -> None:
        try:
            self._store.closed_later(ended.association_id, ended.how, self._quiet(ended.calling_ae))
        except TransientError:
            self._owed.append(ended)
            raise

    def refused(self, caller: Caller, association_id: str, status: int, words: str) -> None:
        """See ``domain.seams.Intake``."""
        self._store.refused(caller, association_id, status, words)

    def rejected(self, caller: Caller, words: str, proposed: Sequence[str] = ()) -> None:
        """See ``domain.seams.Intake``."""
        self._store.rejected(caller, words, proposed)


class Writer:
    """Implements ``domain.seams.ObjectWriter`` over a pack."""

    def __init__(self, pack: _Pack, received: Callable[[Place, str], Receipt]) -> None:
        self._pack, self._received = pack, received

    def write(self, fragment: bytes | memoryview) -> None:
        """Append a fragment of the data set. Raises OutOfSpaceError."""
        self._pack.write(fragment)

    def commit(self, last: Sequence[bytes | memoryview] = ()) -> Receipt:
        """In the pack, then indexed. Should indexing fail, the sender gets an error and start-up finds the bytes in the pack."""
        place, digest = self._pack.commit(last)
        return self._received(place, digest)

    def discard(self) -> None:
        """Forget what was written."""
        self._pack.discard()
