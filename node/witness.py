"""Statements about studies into the store; the loop is woken when the last image that was listed has come."""

import threading
from collections.abc import Callable, Sequence
from typing import Final

from db.store import Store
from domain.evidence import Commitment, Evidence
from domain.instances import Caller

_MOST: Final = 500_000  # instances remembered; beyond that the loop finds out by itself, half a second later


class Witness:
    """Implements ``domain.evidence.Witness``. The store alone decides; what is kept here only saves time."""

    def __init__(self, store: Store, wake: Callable[[], None]) -> None:
        self._store, self._wake = store, wake
        self.make_durable: Callable[[], None] = lambda: None  # what was acknowledged and may not be durable yet
        self._lock = threading.Lock()
        self._awaited: dict[str, set[str]] = {}  # instance -> all of its list that have not come

    def step_created(self, caller: Caller, evidence: Evidence) -> bool:
        """See ``domain.evidence.Witness``."""
        return self._store.step_created(caller, evidence)

    def step_set(self, caller: Caller, evidence: Evidence) -> str:
        """See ``domain.evidence.Witness``."""
        why_not = self._store.step_set(caller, evidence)
        if not why_not and evidence.final:
            self._expect(evidence)
        return why_not

    def testify(self, caller: Caller, evidence: Evidence) -> None:
        """See ``domain.evidence.Witness``."""
        self._store.testify(caller, evidence)
        self._expect(evidence)

    def commit(self, caller: Caller, evidence: Evidence) -> Commitment:
        """See ``domain.evidence.Witness``."""
        self.make_durable()
        commitment = self._store.commit(caller, evidence)
        self._expect(evidence)
        return commitment

    def promised(self, caller: Caller, commitment: Commitment) -> bool:
        """See ``domain.evidence.Witness``."""
        known = self._store.promised(f"{caller.calling_ae}@{caller.address}", commitment)
        self._wake()
        return known

    def owed(self) -> Sequence[tuple[Caller, Commitment]]:
        """See ``domain.evidence.Witness``."""
        return self._store.owed_reports()

    def reported(self, caller: Caller, transaction_uid: str) -> None:
        """See ``domain.evidence.Witness``."""
        self._store.reported(caller, transaction_uid)

    def arrived(self, sop_instance_uid: str) -> None:
        """An instance was indexed. Wakes the loop when it was the last of a list."""
        if sop_instance_uid not in self._awaited:  # nearly always
            return
        with self._lock:
            others = self._awaited.pop(sop_instance_uid, None)
            if others is None:
                return
            others.discard(sop_instance_uid)
        if not others:
            self._wake()

    def _expect(self, evidence: Evidence) -> None:
        """Remember first and look afterwards: what comes in between is counted twice and never missed."""
        awaited = {member.sop_instance_uid for member in evidence.members}
        with self._lock:
            if len(self._awaited) + len(awaited) > _MOST:
                self._awaited.clear()
            self._awaited.update(dict.fromkeys(awaited, awaited))
        for uid in self._store.present([member.sop_instance_uid for member in evidence.members]):
            self.arrived(uid)
        self._wake()
