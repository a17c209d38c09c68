"""An intake in memory that keeps what it is given and breaks when told to. It checks that the receiver keeps the contract."""

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from domain.instances import Caller, Header, Receipt


@dataclass
class Stored:
    """A committed object: the PS3.10 file is ``meta + data_set``."""

    association_id: str
    caller: Caller
    header: Header
    meta: bytes
    data_set: bytes


@dataclass(repr=False)
class RecordingIntake:
    """``calls`` are in the order they came, as (name, ...). ``failures``: raised by calls of that name."""

    stored: list[Stored] = field(default_factory=list)
    calls: list[tuple[object, ...]] = field(default_factory=list)
    failures: dict[str, list[Exception]] = field(default_factory=dict)
    open_writers: int = 0
    proposed: list[tuple[str, ...]] = field(default_factory=list)  # of rejected callers
    gates: dict[str, threading.Event] = field(default_factory=dict)  # a call of that name waits here
    reached: dict[str, threading.Event] = field(default_factory=dict)  # set when such a call begins

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)

    def note(self, name: str, *details: object) -> None:
        if name in self.reached:
            self.reached[name].set()
        if name in self.gates:
            self.gates[name].wait(30)
        with self.changed:
            self.calls.append((name, *details))
            self.changed.notify_all()
            if self.failures.get(name):
                raise self.failures[name].pop(0)

    def names(self) -> list[object]:
        with self.lock:
            return [call[0] for call in self.calls]

    def named(self, name: str) -> list[tuple[object, ...]]:
        with self.lock:
            return [call for call in self.calls if call[0] == name]

    def wait_for(self, name: str, count: int = 1, seconds: float = 20.0) -> list[tuple[object, ...]]:
        """The calls of that name, when there are so many. Raises AssertionError when they do not come."""
        with self.changed:
            found = self.changed.wait_for(lambda: sum(call[0] == name for call in self.calls) >= count, seconds)
            assert found, f"{name} was not called {count} times; calls: {[call[0] for call in self.calls]}"
            return [call for call in self.calls if call[0] == name]

    def opened(self, caller: Caller) -> str:
        self.note("opened", caller)
        with self.lock:
            return f"association-{sum(call[0] == 'opened' for call in self.calls)}"

    def writer(self, association_id: str, caller: Caller, header: Header, meta: bytes) -> "RecordingWriter":
        self.note("writer", association_id, header)
        with self.lock:
            self.open_writers += 1
        return RecordingWriter(self, Stored(association_id, caller, header, meta, b""))

    def closed(self, association_id: str, how: str) -> None:
        self.note("closed", association_id, how)

    def refused(self, caller: Caller, association_id: str, status: int, words: str) -> None:
        self.note("refused", association_id, status, words)

    def rejected(self, caller: Caller, words: str, proposed: Sequence[str] = ()) -> None:
        with self.lock:
            self.proposed.append(tuple(proposed))
        self.note("rejected", caller, words)


class RecordingWriter:
    """Copies every fragment: the receiver may overwrite it afterwards."""

    def __init__(self, intake: RecordingIntake, stored: Stored) -> None:
        self.intake, self.stored = intake, stored
        self.fragments: list[bytes] = []
        self.ended = False

    def write(self, fragment: bytes | memoryview) -> None:
        assert not self.ended, "written after its end"
        if "write" in self.intake.failures:
            self.intake.note("write")
        self.fragments.append(bytes(fragment))

    def commit(self, last: Sequence[bytes | memoryview] = ()) -> Receipt:
        for fragment in last:
            self.write(fragment)
        self.stored.data_set = b"".join(self.fragments)
        self.intake.note("commit", self.stored.association_id, hashlib.sha256(self.stored.data_set).hexdigest())
        self._end()
        with self.intake.lock:
            self.intake.stored.append(self.stored)
        return Receipt.STORED

    def discard(self) -> None:
        self._end()
        self.intake.note("discard", self.stored.association_id)

    def _end(self) -> None:
        assert not self.ended, "ended twice"
        self.ended = True
        with self.intake.lock:
            self.intake.open_writers -= 1
