"""What judging a study again comes to, model by model: a new job, the stored answer once more, or why neither."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from pydicom.dataset import Dataset

from db.gone import purged_words
from db.spool import Spool
from db.store import Store
from domain.acceptance import Trial
from domain.audit import Event
from domain.errors import PackageError, PermanentError
from domain.instances import Instance, Place
from domain.jobs import Job, JobKind, NewJob, model_name
from domain.moves import JobState, StudyState
from domain.studies import Study
from inference import acceptance
from inference.source import open_source
from node.config import Settings
from node.lacking import reasons, turned_away
from node.loaded import Model, configured
from node.orders import SPOOL, Orders, installation_id
from node.settler import Settler
from node.shelf import outdated

_ALL = 1_000_000_000
_GONE = "the images of study {} are gone from this node; send it again"
_OPEN = (JobState.QUEUED, JobState.RUNNING)
_EQUAL = "same images, same package: the stored answer"


class Action(StrEnum):
    """What becomes of one model."""

    ANALYSE = "analyse"  # a new job, whose result supersedes the former one
    SEND = "send"  # the stored answer stands and is sent again
    KEEP = "keep"  # the stored answer stands and, in shadow, stays here
    WAIT = "wait"  # such a job is queued or running already
    NONE = "none"  # its rule does not want the study


@dataclass(frozen=True, slots=True)
class Decision:
    """One model, live or in shadow. ``before`` is the job whose answer counts until now."""

    model_id: str
    action: Action
    why: str
    job: NewJob | None = None
    before: Job | None = None
    job_id: int | None = None
    shadow: bool = False

    @property
    def name(self) -> str:
        """The model, and whether it runs in shadow."""
        return model_name(self.model_id, self.shadow)


class Rerunning:
    """Judges by the rules and packages of ``models``. ``orders`` makes the orders they would get."""

    def __init__(
        self,
        store: Store,
        settler: Settler,
        orders: Orders,
        models: Sequence[Model],
        clock: Callable[[], datetime],
        view: Callable[[Place], object],
    ) -> None:
        """``view`` opens what is stored, and raises PermanentError when it is not there."""
        self._store, self._settler, self._orders, self._models = store, settler, orders, models
        self._clock, self._view = clock, view

    def rerun(self, study_uid: str, model_id: str, actor: str, shadow: bool = False) -> list[Decision]:
        """Judge a study again and queue what follows, in one transaction. ``model_id`` "": every configured model; ``shadow``:
        only what runs in shadow.

        Raises PermanentError in one sentence when it cannot be: see ``_closed`` and ``decisions``; TransientError when images
        of it arrive just now.
        """
        study = self._closed(study_uid)
        instances = self._store.instances(study_uid, study.revision)
        self._check_there(study, instances)
        found = self.decisions(study, instances, model_id, shadow)
        anew = [each.job for each in found if each.action is Action.ANALYSE and each.job]
        again = {each.before.job_id: each.job for each in found if each.action is Action.SEND and each.job and each.before}
        if not anew and not again:
            return found
        queued = self._store.rerun(study_uid, study.revision, len(instances), anew, again, actor)
        return [replace(each, job_id=queued.get(each.name, each.job_id)) for each in found]

    def decisions(self, study: Study, instances: Sequence[Instance], model_id: str = "", shadow: bool = False) -> list[Decision]:
        """Nothing is changed. Raises PermanentError for a model that is not configured and when no rule wants the study."""
        able = [model for model in self._models if model.shadow or not shadow]
        asked = {model.name: model for model in able if model_id in ("", model.package_id)}
        if not asked and (model_id or shadow):
            what = f"the model {model_id}{' in shadow' if shadow else ''}" if model_id else "a model in shadow"
            raise PermanentError(f"{what} is not in the configuration; there {_are([model.name for model in self._models])}")
        unmet = {name: words for name, words in self._settler.unmet(instances).items() if name in asked}
        jobs = [job for job in self._settler.anew(study, instances) if job.name in asked]
        if not jobs:
            raise PermanentError(f"no rule wants study {study.study_uid}: {reasons(unmet) or 'no image of it can be read'}")
        refused = [_refused(asked[name], turned_away(words)) for name, words in unmet.items()]
        return [*(self._decision(study, job) for job in jobs), *refused]

    def other_bytes(self, job: Job) -> str:
        """Why doing ``job`` over would write other bytes under the UIDs of its results, in a few words; else "".

        Raises PermanentError when its model is not configured any more.
        """
        return outdated(self._orders.order(job, self._clock()))

    def _closed(self, study_uid: str) -> Study:
        study = self._store.study(study_uid)
        if study is None:
            raise PermanentError(f"there is no study {study_uid}; `ancilla studies` lists them")
        if study.state is StudyState.RECEIVING:
            raise PermanentError(f"study {study_uid} is still being received; it is judged by today's rules when it is complete")
        if study.state is StudyState.PURGED:
            gone = self._store.last_purge(study_uid)
            raise PermanentError(purged_words(study_uid, gone) if gone else _GONE.format(study_uid))
        return study

    def _check_there(self, study: Study, instances: Sequence[Instance]) -> None:
        try:
            for instance in instances:
                self._view(instance.place)
        except PermanentError:
            raise PermanentError(_GONE.format(study.study_uid)) from None

    def _decision(self, study: Study, job: NewJob) -> Decision:
        before = self._before(study.study_uid, job)
        why = self._changed(study, job, before)
        if why or before is None:
            return Decision(job.model_id, Action.ANALYSE, why, job, before, shadow=job.shadow)
        if before.state in _OPEN:
            words = f"it is {before.state.value} already"
            return Decision(job.model_id, Action.WAIT, words, job, before, before.job_id, job.shadow)
        if job.shadow:
            return Decision(job.model_id, Action.KEEP, f"{_EQUAL} is kept here (shadow)", job, before, before.job_id, True)
        words = f"{_EQUAL} {'was kept in shadow and is sent now' if before.shadow else 'is sent again'}"
        return Decision(job.model_id, Action.SEND, words, job, before)

    def _before(self, study_uid: str, job: NewJob) -> Job | None:
        """The newest that counts and was not cancelled. In shadow that is one in shadow, or a live one of the same package. Live
        it is a live one; but one of the same package in shadow, if no live one of the same revision or a newer one exists that
        its report would have to name as its predecessor."""
        found = self._store.jobs(study_uid=study_uid, kind=JobKind.INFER, model_id=job.model_id, limit=_ALL)
        left = [one for one in found if one.state is not JobState.CANCELLED]
        if job.shadow:
            return _newest(one for one in left if one.shadow or one.package_digest == job.package_digest)
        live = _newest(one for one in left if not one.shadow)
        equal = (one for one in left if one.shadow and one.package_digest == job.package_digest and one.state not in _OPEN)
        kept = _newest(equal)
        return kept if kept is not None and (live is None or kept.revision > live.revision) else live

    def _changed(self, study: Study, job: NewJob, before: Job | None) -> str:
        """Why the answer of ``before`` does not stand; "" when it does."""
        if before is None:
            return "it was never run on this study"
        gone = self._store.last_purge(study.study_uid)
        if gone is not None and before.revision <= gone.revision:
            return "its former results were purged"
        if before.package_digest != job.package_digest:
            return f"the package is another one ({job.package_digest[:12]}, then {before.package_digest[:12]})"
        if before.input_digest != self._store.input_digest(study.study_uid, study.revision, job.series_uids):
            return "other images are analysed now"
        if before.state is JobState.FAILED:
            return "it failed then"
        return self.other_bytes(replace(before, destinations=job.destinations))


def rerunning_for(settings: Settings, models: Sequence[Model], store: Store, clock: Callable[[], datetime]) -> Rerunning:
    """For the data folder that ``settings`` name, whether a node runs on it or not."""
    data_dir, compute = settings.node.data_dir, settings.compute
    spool = Spool(data_dir / SPOOL, clock=clock)

    def header(place: Place) -> Dataset | None:
        source = open_source(spool.view(place))
        return None if source.fault else source.header

    def chosen(digest: str) -> Trial:
        """As acceptance has chosen; what is not tried yet is assumed to run as before."""
        known = acceptance.remembered(data_dir, digest, compute.threads, compute.precision)
        try:
            return known.chosen(compute.precision) if known else Trial(compute.precision, True, "", 0.0)
        except PackageError:  # refused: a new job would be told so, and that is no better answer than the stored one
            return Trial("auto", True, "", 0.0)

    orders = Orders(store, settings, models, installation_id(data_dir), chosen)
    return Rerunning(store, Settler(store, header, models), orders, models, clock, spool.view)


def unread(settings: Settings, models: Sequence[Model], store: Store) -> bool:
    """Whether the node that runs here has read another configuration, or other packages, than these."""
    row = store.latest((Event.NODE_STARTED, Event.NODE_RELOADED))
    return row is not None and json.loads(row.details) != configured(settings, models)


def _newest(jobs: Iterable[Job]) -> Job | None:
    return max(jobs, key=lambda job: (job.revision, job.job_id), default=None)


def _refused(model: Model, why: str) -> Decision:
    return Decision(model.package_id, Action.NONE, why, shadow=model.shadow)


def _are(names: Sequence[str]) -> str:
    return f"are {', '.join(names)}" if names else "is none"
