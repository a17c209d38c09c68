"""Which models may run on this CPU and in which precision: tried in a worker before the first job, written into the audit log."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from db.store import Store
from domain.acceptance import Acceptance, AcceptanceOrder, Accepted, Trial
from domain.audit import Event
from domain.errors import AncillaError, PackageError
from node.config_compute import ComputeSettings
from node.holding import failure, words
from node.loaded import Model
from node.log import event, warn
from node.pool import EngineLostError

ATTEMPTS: Final = 3  # a worker that dies is no answer about the package
LONGEST_SECONDS: Final = 900.0


class Workers(Protocol):
    """What is needed of ``node.engine.Engine``."""

    def submit(self, fn: Callable[[AcceptanceOrder], Accepted], order: AcceptanceOrder, /) -> Future[Accepted]:
        """Run in a worker."""

    def kill(self, future: Future[Accepted], /) -> bool:
        """End the worker that works on this."""


@dataclass(slots=True)
class _Known:
    """What is known about one package: at most one of ``future``, ``acceptance`` and ``refusal`` is there."""

    attempts: int = 0
    since: datetime | None = None
    future: Future[Accepted] | None = None
    acceptance: Acceptance | None = None
    refusal: str = ""


@dataclass(slots=True)
class Accepting:
    """The packages of this node. ``accept`` runs in a worker; ``models`` gives those that are configured now."""

    store: Store
    workers: Workers
    accept: Callable[[AcceptanceOrder], Accepted]
    models: Callable[[], Sequence[Model]]
    compute: ComputeSettings
    data_dir: str
    clock: Callable[[], datetime]
    wake: Callable[[], None] = lambda: None
    _known: dict[str, _Known] = field(default_factory=dict)

    @property
    def running(self) -> int:
        """How many workers it keeps busy."""
        return sum(known.future is not None for known in self._known.values())

    def turn(self) -> bool:
        """Send what is not known to a worker, take what workers found. True if anything was done."""
        done = False
        for model in self.models():
            known = self._known.setdefault(model.digest, _Known())
            if known.future is not None:
                done |= self._collect(model, known, known.future)
            elif known.acceptance is None and not known.refusal:
                self._send(model, known)
                done = True
        return done

    def pending(self) -> frozenset[str]:
        """Packages (digests) whose jobs wait, since nobody knows yet whether they may run."""
        return frozenset(model.digest for model in self.models() if self._is_open(model.digest))

    def chosen(self, digest: str) -> Trial:
        """How to run a package. Raises PackageError that says why it may not run."""
        known = self._known.get(digest, _Known())
        if known.acceptance is None:
            raise PackageError(known.refusal or "the package was not tried on this CPU yet")
        return known.acceptance.chosen(self.compute.precision)

    def refusal(self, digest: str) -> str:
        """Why a package may not run; "" while that is not known, and for one that may."""
        return self._known.get(digest, _Known()).refusal

    def _is_open(self, digest: str) -> bool:
        known = self._known.get(digest)
        return known is None or (known.acceptance is None and not known.refusal)

    def _send(self, model: Model, known: _Known) -> None:
        compute = self.compute
        order = AcceptanceOrder(
            str(model.settings.package), model.digest, compute.precision, compute.threads, self.data_dir, known.attempts > 1
        )
        known.attempts += 1
        known.since = None
        known.future = self.workers.submit(self.accept, order)
        known.future.add_done_callback(lambda _: self.wake())

    def _collect(self, model: Model, known: _Known, future: Future[Accepted]) -> bool:
        if not future.done():
            self._time_out(known, future)
            return False
        known.future = None
        error = failure(future)
        if error is None:
            self._conclude(model, known, future.result())
        elif isinstance(error, EngineLostError):
            known.attempts -= 1
        elif isinstance(error, PackageError) or known.attempts >= ATTEMPTS:
            self._refuse(model, known, f"the golden cases of {model.package_id} cannot be run: {words(error)}", {})
        return True

    def _time_out(self, known: _Known, future: Future[Accepted]) -> None:
        """Counted from when a worker took it: it may wait behind long jobs."""
        if future.running():
            known.since = known.since or self.clock()
            if (self.clock() - known.since).total_seconds() > LONGEST_SECONDS:
                self.workers.kill(future)

    def _conclude(self, model: Model, known: _Known, accepted: Accepted) -> None:
        found = accepted.acceptance
        try:
            trial = found.chosen(self.compute.precision)
        except AncillaError as error:
            self._refuse(model, known, str(error), told(found))
            return
        known.acceptance = found
        if accepted.fresh:
            self.store.note(Event.PACKAGE_ACCEPTED, "node", {**told(found), "runs": trial.precision, "version": model.version})
        pace = f"{trial.per_second:.1f}"
        event("accepted", model=model.package_id, precision=trial.precision, streams=trial.streams, per_second=pace)

    def _refuse(self, model: Model, known: _Known, reason: str, about: dict[str, Any]) -> None:
        known.refusal = reason
        named = {"model": model.package_id, "package": model.digest, "version": model.version}
        self.store.note(Event.PACKAGE_REFUSED, "node", {**named, **about, "reason": reason})
        warn("refused-package", model=model.package_id, reason=reason)


def told(found: Acceptance) -> dict[str, Any]:
    """What the audit log says about what was tried."""
    trials = {
        trial.precision: {"agrees": trial.agrees, "per_second": trial.per_second} | ({"why": trial.words} if trial.words else {})
        for trial in found.trials
    }
    about = {"model": found.package_id, "package": found.digest, "machine": found.machine}
    return {**about, "precision": found.precision, "trials": trials}
