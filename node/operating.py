"""The operator's moves, for the commands and for the pages alike: each is an audit row that says who did it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from db.gone import purged_words
from db.store import Store
from domain.errors import ConfigurationError, PermanentError
from domain.jobs import Job, JobKind
from domain.moves import JobState
from node.config import SENDER, PeerSettings, Settings
from node.config_check import read_section
from node.loaded import Model

ALL: Final = 1_000_000_000
_ENDED: Final = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class Operating:
    """Implements ``console.operating.Moves``. ``settings`` and ``models`` give what counts now. Each move returns what was done,
    in a sentence; each may raise PermanentError (why it cannot be done), ConfigurationError, TransientError."""

    def __init__(
        self,
        store: Store,
        settings: Callable[[], Settings],
        models: Callable[[], Sequence[Model]],
        clock: Callable[[], datetime],
    ) -> None:
        self._store, self._settings, self._models, self._clock = store, settings, models, clock

    def admit(self, ae_title: str, address: str, port: int, actor: str) -> str:
        """Let a caller in; ``address`` "": from anywhere."""
        peer = self._checked(ae_title, address, port)
        self._store.admit(peer.ae_title, peer.address, peer.port, actor)
        return f"{peer.ae_title} may send {f'from {peer.address}' if peer.address else 'from any address'}"

    def retry(self, job_id: int, actor: str) -> str:
        """Queue a job again that has ended."""
        job = self._store.job(job_id)
        gone = self._store.last_purge(job.study_uid) if job is not None else None
        if job is not None and gone is not None and job.revision <= gone.revision:
            raise PermanentError(purged_words(job.study_uid, gone))
        if job is not None and job.kind is JobKind.INFER:
            self._must_give_the_same(job)
        self._store.revive(job_id, actor)
        kept = "; it is in shadow: its answer is kept here (`ancilla rerun` sends it once its model is live)"
        return f"job {job_id} is queued again{kept if job is not None and job.shadow else ''}"

    def cancel(self, job_id: int, actor: str) -> str:
        """Stop a job that waits or runs."""
        self._store.cancel(job_id, actor)
        return f"job {job_id} is cancelled"

    def resend(self, study_uid: str, destination: str, actor: str) -> str:
        """Send the newest results of a study again, to all (destination "") or one; what it takes is asked anew."""
        newest = self._newest(study_uid, destination)
        for name in sorted({job.destination for job in newest}):
            self._store.forget_acceptances(name, actor)
        again = [job for job in newest if job.state in _ENDED]
        for job in again:
            self._store.revive(job.job_id, actor)
        return f"{len(again)} deliveries are queued again" if again else "everything is on its way already"

    def rerun(self, study_uid: str, model_id: str, actor: str) -> list[str]:
        """Judge a study again by today's rules and packages; a sentence for each model."""
        from node.rerunning import rerunning_for

        found = rerunning_for(self._settings(), self._models(), self._store, self._clock).rerun(study_uid, model_id, actor)
        return [f"{each.name}: {each.action.value}, {each.why}" for each in found]

    def _checked(self, ae_title: str, address: str, port: int) -> PeerSettings:
        """The same rules as for a [[peer]] of the file."""
        peer = PeerSettings(**read_section("peer", {"ae_title": ae_title.strip(), "address": address, "port": port}, "admit"))
        if not port and any(SENDER in model.send_to for model in self._settings().models):
            raise ConfigurationError(
                'give a port: a model has send_to = ["sender"], so every sender must be able to take results'
            )
        return peer

    def _must_give_the_same(self, job: Job) -> None:
        """Results that were sent must not get other bytes under the same UIDs."""
        from node.rerunning import rerunning_for

        why = rerunning_for(self._settings(), self._models(), self._store, self._clock).other_bytes(job)
        if why:
            words = f"job {job.job_id} would write other results under the same UIDs ({why})"
            raise PermanentError(f"{words}; `ancilla rerun {job.study_uid}` makes new ones")

    def _newest(self, study_uid: str, destination: str) -> list[Job]:
        """The newest delivery of each model to each destination."""
        deliveries = self._store.jobs(study_uid=study_uid, kind=JobKind.DELIVER, limit=ALL)
        newest: dict[tuple[str, str], Job] = {}
        for job in deliveries:  # newest first
            if destination in ("", job.destination):
                newest.setdefault((job.model_id, job.destination), job)
        if not newest:
            kept = "; answers in shadow are kept here" if self._store.shadowed([study_uid]) else ""
            to = f" to {destination}" if destination else ""
            raise PermanentError(f"nothing of study {study_uid} was ever to be sent{to}{kept}")
        gone = self._store.last_purge(study_uid)
        left = [job for job in newest.values() if gone is None or job.revision > gone.revision]
        if gone is not None and not left:
            raise PermanentError(purged_words(study_uid, gone))
        return left
