"""From a claimed job to the order a worker gets: paths, instances, identity of this installation."""

import hashlib
import os
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from db.store import Store
from domain.acceptance import Trial
from domain.early import EarlyOrder
from domain.errors import PackageError, PermanentError
from domain.instances import Instance
from domain.jobs import Artifact, Job, NewJob, Order, Verdict
from node.config import Settings
from node.config_compute import DASK
from node.ladder import PLAINER, kinds_to_write, remembered
from node.loaded import Model
from node.patient import identity

SPOOL = "spool"  # below data_dir
RESULTS = "results"
EARLY = "early"  # emptied at every start
PAUSES = "pauses"  # the same
STAGED = "results/.staged"  # the same; below the results, which may be a disk of their own


class Orders:
    """Makes orders. ``models`` is replaced as a whole when the configuration is read again."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        models: Sequence[Model],
        installation: str,
        chosen: Callable[[str], Trial] | None = None,
    ) -> None:
        """``chosen`` knows how a package (its digest) runs, or raises PackageError; without it the setting counts."""
        self._store, self.settings, self.models, self._installation = store, settings, models, installation
        self._chosen = chosen

    def order(self, job: Job, now: datetime, verdict: Verdict | None = None) -> Order:
        """The order for ``job``. Raises PackageError when its package may not run on this CPU, PermanentError when its model is
        not configured any more."""
        model = self._model(job)
        settings, data_dir = self.settings, self.settings.node.data_dir
        instances = tuple(self._store.instances(job.study_uid, job.revision, job.series_uids))
        prior_study, prior = self._earlier(job, instances)
        way = self._way(job.package_digest) if verdict is None else Trial("", True, "", 0.0)
        return Order(
            job_id=job.job_id,
            token=job.token,
            study_uid=job.study_uid,
            revision=job.revision,
            package=str(model.settings.package),
            package_digest=job.package_digest,
            input_digest=job.input_digest,
            instances=instances,
            spool_dir=str(data_dir / SPOOL),
            out_dir=str(self.folder(job, verdict is not None)),
            data_dir=str(data_dir),
            # Local time with its offset: what a radiologist reads as Content Time, and the same on every attempt.
            started_at=(job.started_at or now).astimezone(),
            institution=settings.node.institution,
            device_uid=device_uid(self._installation, job.package_digest),
            outputs=self._outputs(job, now),
            predecessors=self._predecessors(job),
            verdict=verdict,
            slot=model.settings.slot,
            precision=way.precision,
            threads=settings.compute.threads,
            streams=way.streams,
            batch=way.batch,
            stage=str(stage) if (stage := self.stage(job)) else "",
            pause=str(self.pause(job.job_id)),
            missing=job.missing,
            prior_study=prior_study,
            prior=tuple(prior),
            prior_from=tuple(d for d in settings.destinations if d.priors) if settings.study.compare else (),
            language=settings.node.language,
            cache_dir=str(self._cache(job.study_uid, job.package_digest)) if settings.compute.optimistic else "",
        )

    def early(self, job: NewJob, study_uid: str, instances: Sequence[Instance], permit: Path, seconds: float) -> EarlyOrder:
        """The order to begin with the ``instances`` of a study that are here, for what will be ``job``. Raises
        PermanentError when its model is not configured any more."""
        model = self._model(job)
        data_dir, compute = self.settings.node.data_dir, self.settings.compute
        way = self._way(job.package_digest)
        return EarlyOrder(
            package=str(model.settings.package),
            package_digest=job.package_digest,
            precision=way.precision,
            threads=compute.threads,
            streams=way.streams,
            batch=way.batch,
            data_dir=str(data_dir),
            spool_dir=str(data_dir / SPOOL),
            cache_dir=str(self._cache(study_uid, job.package_digest)),
            permit=str(permit),
            seconds=seconds,
            cache_bytes=compute.cache_bytes,
            instances=tuple(instance for instance in instances if instance.header.series_uid in job.series_uids),
        )

    def _model(self, job: Job | NewJob) -> Model:
        """The one with the package of the job; else the one that has taken its place. Raises PermanentError."""
        same = (model for model in self.models if (model.package_id, model.digest) == (job.model_id, job.package_digest))
        heirs = (model for model in self.models if model.name == job.name)
        if (model := next(same, None) or next(heirs, None)) is None:
            raise PermanentError(f"the model {job.name} is not configured any more")
        return model

    def _earlier(self, job: Job, instances: Sequence[Instance]) -> tuple[str, list[Artifact]]:
        """The patient's earlier result of this model, if comparing is wanted and the patient has an identifier."""
        if not self.settings.study.compare or not instances:
            return "", []
        known = identity(self.settings.node.data_dir / SPOOL, instances[0], self._installation)
        if known is None:
            return "", []
        self._store.recognise(job.study_uid, known.mark, known.study_date)
        return self._store.earlier(job.study_uid, job.model_id)

    def may_run(self, package_digest: str) -> bool:
        """Whether it is known that a package runs on this CPU."""
        try:
            self._way(package_digest)
        except PackageError:
            return False
        return True

    def peak(self, package_digest: str) -> int:
        """Bytes of memory a job of this package may need; 0: nobody says."""
        return next((model.peak_memory for model in self.models if model.digest == package_digest), 0)

    def pause(self, job_id: int) -> Path:
        """While this file exists the job rests."""
        return self.settings.node.data_dir / PAUSES / str(job_id)

    def stage(self, job: Job) -> Path | None:
        """Where a worker on another machine writes: it may go on after it lost the job, so each token has a folder of its own."""
        settings = self.settings
        return settings.node.data_dir / STAGED / f"{job.job_id}-{job.token}" if settings.compute.executor == DASK else None

    def folder(self, job: Job, failed: bool) -> Path:
        """Where the results of a job are, or what says that it failed."""
        return self.settings.node.data_dir / RESULTS / out_name(job, failed)

    def _way(self, package_digest: str) -> Trial:
        if self._chosen is None:
            return Trial(self.settings.compute.precision, True, "", 0.0)
        return self._chosen(package_digest)

    def _cache(self, study_uid: str, package_digest: str) -> Path:
        """One folder per study and package: names from the network never become path components."""
        study = hashlib.sha256(study_uid.encode()).hexdigest()[:32]
        return self.settings.node.data_dir / EARLY / "studies" / study / package_digest[:16]

    def _predecessors(self, job: Job) -> tuple[Artifact, ...]:
        """The results of the revision before. What was written only to stand for a report counts if somebody took it."""
        before = self._store.predecessors(job)
        spare = {artifact.sop_instance_uid for artifact in before if artifact.role in PLAINER}
        unseen = spare - self._store.accepted(spare) if spare else set()
        return tuple(artifact for artifact in before if artifact.sop_instance_uid not in unseen)

    def _outputs(self, job: Job, now: datetime) -> tuple[str, ...]:
        """What all destinations want, and what may have to stand for it where they do not take it."""
        targets = [target for name in job.destinations if (target := self.settings.target(name)) is not None]
        kinds: set[str] = set()
        for target in targets:
            kinds |= kinds_to_write(target, remembered(self._store.acceptances(target.name), now))
        return tuple(sorted(kinds))


def out_name(job: Job, failed: bool) -> str:
    """The folder of a result: names from the network never become path components."""
    study = hashlib.sha256(job.study_uid.encode()).hexdigest()[:32]
    return f"{study}/{job.revision}-{job.model_id}-{job.package_digest[:8]}{'-failed' if failed else ''}"


def device_uid(installation: str, package_digest: str) -> str:
    """The Device Observer UID (PS3.16 TID 1004): one per installation and package."""
    digest = hashlib.sha256(f"device/{installation}/{package_digest}".encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"


def installation_id(data_dir: Path) -> str:
    """The random name of this installation, made once and kept in the data folder."""
    file = data_dir / "installation"
    if not file.exists():
        part = file.with_suffix(".part")
        with part.open("w") as stream:
            stream.write(uuid.uuid4().hex)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    return file.read_text().strip()
