"""Callers that were turned away, so that an administrator can see who tried and let them in."""

from dataclasses import dataclass
from datetime import datetime

from domain.instances import Caller


@dataclass(frozen=True, slots=True)
class Stranger:
    """One rejected caller. ``words`` is why it was rejected the last time."""

    caller: Caller
    count: int
    first_at: datetime
    last_at: datetime
    words: str
    proposed: tuple[str, ...] = ()  # SOP Class UIDs it wanted to send, the last time


@dataclass(frozen=True, slots=True)
class Admission:
    """A caller let in by ``ancilla admit``. ``address`` is an IP address or network, empty: from anywhere; ``port`` is where
    it takes results and storage commitment reports, 0: nowhere."""

    ae_title: str
    address: str
    port: int
    actor: str
    at: datetime
