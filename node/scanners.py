"""The intake as the receiver of C-STORE sees it: no receipts, so rows follow their images in numbers; two levels of durability.

Level ``instance``: each image is durable before its answer. Level ``association``: the images of an association are durable
before its release is answered. There an image is indexed only once it is durable, so nothing is judged, analysed or committed
to that a power cut could still take away.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final

from db.spool import Spool
from domain.errors import AncillaError, NotKeptError
from domain.instances import Caller, Header, Instance, Receipt
from node.intake import Intake, Writer

LONGEST: Final = 1.0  # seconds of images that wait for their sync and their rows while more of them come
MUCH: Final = 32 << 20  # bytes that another thread syncs meanwhile, so that little is left when the association ends


class Scanners:
    """Implements ``domain.seams.Intake`` in front of the one that all ways in share."""

    def __init__(
        self, intake: Intake, spool: Spool, each_durable: bool = True, timer: Callable[[], float] = time.monotonic
    ) -> None:
        """``each_durable``: level ``instance``."""
        self._intake, self._spool, self._each_durable, self._timer = intake, spool, each_durable, timer
        self._waiting: dict[str, Waiting] = {}  # of associations that have images that are not durable yet
        self._syncer = ThreadPoolExecutor(1, "syncer")  # its thread begins with the first work

    def opened(self, caller: Caller) -> str:
        """See ``domain.seams.Intake``."""
        return self._intake.opened(caller)

    def writer(self, association_id: str, caller: Caller, header: Header, meta: bytes) -> Writer:
        """See ``domain.seams.Intake``. Raises OutOfSpaceError."""
        later = self._intake.index_later if self._each_durable else self._wait
        taken = partial(later, data_at=len(meta))
        return self._intake.writer_to(taken, association_id, caller, header, meta, self._each_durable, digest=False)

    def closed(self, association_id: str, how: str) -> None:
        """See ``domain.seams.Intake``. Raises NotKeptError when acknowledged images could not be made durable."""
        fault: AncillaError | None = None
        try:
            self._sync(association_id)
        except AncillaError as error:
            fault = error
        self._waiting.pop(association_id, None)
        self._intake.closed(association_id, how if fault is None else "lost")
        if fault:
            raise NotKeptError("the disk failed before all images were durable") from fault

    def make_durable(self) -> None:
        """Sync and index whatever was acknowledged: somebody asks what is durable. Raises TransientError."""
        for association_id in list(self._waiting):
            self._sync(association_id)

    def refused(self, caller: Caller, association_id: str, status: int, words: str) -> None:
        """See ``domain.seams.Intake``."""
        self._intake.refused(caller, association_id, status, words)

    def rejected(self, caller: Caller, words: str, proposed: Sequence[str] = ()) -> None:
        """See ``domain.seams.Intake``."""
        self._intake.rejected(caller, words, proposed)

    def _wait(self, instance: Instance, data_at: int) -> Receipt:
        waiting = self._waiting.setdefault(instance.association_id, Waiting(self._timer()))
        waiting.instances.append((instance, data_at))
        waiting.size += instance.place.length
        if self._timer() - waiting.since > LONGEST:
            self._sync(instance.association_id)
        elif waiting.size > MUCH:
            waiting.size = 0
            self._syncer.submit(self._sync_early, instance.association_id)
        return Receipt.TAKEN

    def _sync_early(self, association_id: str) -> None:
        """Rows follow later, all at once: the sender has the processors to itself."""
        waiting = self._waiting.get(association_id)
        if waiting:
            with waiting.lock, suppress(AncillaError):  # whoever waits for a pack that failed is told
                self._spool.sync(association_id)

    def _sync(self, association_id: str) -> None:
        waiting = self._waiting.get(association_id)
        if waiting is None:
            return
        with waiting.lock:
            durable = list(waiting.instances)
            if durable:
                self._spool.sync(association_id)
            for instance, data_at in durable:
                self._intake.index_later(instance, data_at)
                waiting.instances.popleft()
            waiting.since = self._timer()


class Waiting:
    """The images of one association that are committed to a pack and not synced yet, oldest first."""

    def __init__(self, since: float) -> None:
        self.instances: deque[tuple[Instance, int]] = deque()  # and where in its PS3.10 bytes the data set begins
        self.size = 0  # bytes that came since somebody was last asked to sync them early
        self.since = since
        self.lock = threading.Lock()
