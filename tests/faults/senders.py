"""Scanners that send without pause, keep book of what was acknowledged, and send again what was not."""

import random
import threading
from dataclasses import dataclass, field
from io import BytesIO

from delivery.association import Association, Kind
from domain.destinations import Destination
from domain.errors import TransientError
from tests import peers, serving
from tests.faults.images import Image, image
from tests.scp.wire import CT, EXPLICIT

KIND = Kind(CT, EXPLICIT)
SIZES = (400, 2_000, 20_000, 70_000, 300_000)  # below, around and above what the node collects before it writes


@dataclass
class Book:
    """UID -> SHA-256 of the data set."""

    sent: dict[str, str] = field(default_factory=dict)
    acknowledged: dict[str, str] = field(default_factory=dict)
    refused: dict[int, int] = field(default_factory=dict)  # status -> how often
    lost: int = 0  # associations that broke


def destination(port: int, seconds: float = 20.0) -> Destination:
    return Destination("node", "dicom", "127.0.0.1", port, "ANCILLA", serving.CALLER, timeout_seconds=seconds)


def store(association: Association, one: Image) -> int:
    """Send it; the status it was answered with."""
    return association.store(KIND, one.uid, BytesIO(one.data), len(one.data)).status


class Scanner(threading.Thread):
    """Sends until it is told to finish; then what is not acknowledged yet, and ends."""

    def __init__(self, number: int, port: int, seed: int, ceiling: int = 1 << 30) -> None:
        """At most ``ceiling`` images."""
        super().__init__(name=f"scanner-{number}", daemon=True)
        self.number, self.port, self.book = number, port, Book()
        self._random = random.Random(f"{seed} {number}")
        self._pending: list[Image] = []
        self._made = self._studies = 0
        self._ceiling = ceiling
        self._finish = threading.Event()

    def finish(self) -> None:
        self._finish.set()

    def run(self) -> None:
        while self._pending or not (self._finish.is_set() or self._made >= self._ceiling):
            if not peers.listens(self.port):
                self._finish.wait(0.02)
                continue
            try:
                self._associate()
            except TransientError:
                self.book.lost += 1

    def _associate(self) -> None:
        """One association: first what is owed, then new images of one or two studies."""
        with Association(destination(self.port), [KIND]) as association:
            for one in list(self._pending):
                self._store(association, one)
            for _ in range(self._random.randint(1, 30)):
                if self._finish.is_set() or self._made >= self._ceiling:
                    return
                self._store(association, self._new())
        self._studies += 1

    def _new(self) -> Image:
        self._made += 1
        size = self._random.choice(SIZES)
        made = image(self.number, self._made, self._studies + self._random.randrange(2), size)
        self.book.sent[made.uid] = made.digest
        self._pending.append(made)
        return made

    def _store(self, association: Association, one: Image) -> None:
        status = store(association, one)
        if status == 0:
            self.book.acknowledged[one.uid] = one.digest
            self._pending.remove(one)
        else:
            self.book.refused[status] = self.book.refused.get(status, 0) + 1
