"""When a study that seems complete is so, and what it then asks for: the series each model wants, where the answers go."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol

from pydicom.dataset import Dataset

from db.store import Store
from domain.completeness import Hold, HoldKind
from domain.instances import Instance, Place
from domain.jobs import NewJob, Priority
from domain.studies import Study
from node.config import SENDER, sender_name
from node.lacking import for_model, holes, required, unfilled, unfulfilled, waited_for, wants
from node.loaded import Model
from node.log import event, study_mark
from node.quiet import Quiet
from node.urgency import priority_of

LOOK_AGAIN: Final = 30.0  # seconds until a study that lacks something is looked at again

Read = Callable[[Place], Dataset | None]


class Counts(Protocol):
    """What knows how many images the PACS has (see ``node.counting``)."""

    def lacks(self, study: Study) -> list[Hold] | None:
        """None while it is being asked."""


class Settler:
    """Closes studies that are due. ``header`` reads one stored instance without pixels, ``plane`` only where it lies."""

    def __init__(
        self,
        store: Store,
        header: Read,
        models: Sequence[Model],
        clock: Callable[[], datetime] | None = None,
        plane: Read | None = None,
        counts: Counts | None = None,
        quiet: Quiet | None = None,
    ) -> None:
        """Without ``clock`` nothing is ever waited for beyond the store's own rules; without ``plane`` no slices are."""
        self._store, self._header, self._clock = store, header, clock
        self._plane, self._counts, self._quiet = plane, counts, quiet
        self.models = models  # replaced as a whole when the configuration is read again

    def settle(self, study: Study) -> bool:
        """Queue the jobs of one study; False: it is not complete after all, or something arrived meanwhile."""
        overdue = self._clock is not None and study.deadline <= self._clock()
        listed = self._store.is_listed_complete(study.study_uid)
        counted = [] if listed or self._clock is None else self._counted(study, overdue)
        if counted is None:
            return False
        instances = self._store.instances(study.study_uid, study.revision)
        series = _by_series(instances)
        headers = {uid: self._header(_middle(images).place) for uid, images in series.items()}
        holds = [] if listed or self._clock is None else [*counted, *self._lacks(headers, series)]
        if holds and not overdue:
            self._hold(study, holds)
            return False
        missing = [] if listed else unfulfilled(self._store.standing(study.study_uid)) if overdue else []
        missing += self._gone(study, instances)
        told = [] if listed or self._clock is None else [*counted, *self._unfound(headers)]
        jobs = [replace(job, missing=(*missing, *for_model(told, job.name))) for job in self._jobs(headers, series)]
        said = [*missing, *(hold.words for hold in holds)]
        unmet = {} if jobs else self._unmet(headers.values())
        settled = self._store.settle(study.study_uid, study.revision, jobs, seen=len(instances), missing=said, unmet=unmet)
        if settled:
            self._settled(study, jobs, said)
        return settled

    def jobs(self, instances: Sequence[Instance]) -> list[NewJob]:
        """One job per model that wants at least one series; it gets all series that match."""
        series = _by_series(instances)
        return self._jobs({uid: self._header(_middle(images).place) for uid, images in series.items()}, series)

    def anew(self, study: Study, instances: Sequence[Instance]) -> list[NewJob]:
        """The jobs of a closed study by the rules of now, with what is known to be missing; nothing is waited for."""
        series = _by_series(instances)
        headers = {uid: self._header(_middle(images).place) for uid, images in series.items()}
        listed, standing = self._store.is_listed_complete(study.study_uid), self._store.standing(study.study_uid)
        counted = [hold for hold in standing.holds if hold.kind is HoldKind.PACS_COUNT]
        holds = [] if listed else [*counted, *self._unfound(headers)]
        missing = [] if listed else unfulfilled(standing)
        missing += self._gone(study, instances)
        jobs = self._jobs(headers, series)
        return [replace(job, missing=(*missing, *for_model(holds, job.name))) for job in jobs]

    def unmet(self, instances: Sequence[Instance]) -> dict[str, tuple[str, ...]]:
        """By name of a model that wants no series: the DICOM keywords of the clauses at which its rule turned series away."""
        return self._unmet(self._header(_middle(images).place) for images in _by_series(instances).values())

    def _unmet(self, headers: Iterable[Dataset | None]) -> dict[str, tuple[str, ...]]:
        known = [header for header in headers if header is not None]
        failed = {model.name: [model.settings.when.unmet(header) for header in known] for model in self.models}
        return {model_id: tuple(dict.fromkeys(keywords)) for model_id, keywords in failed.items() if all(keywords)}

    def _jobs(self, headers: Mapping[str, Dataset | None], series: Mapping[str, Sequence[Instance]]) -> list[NewJob]:
        found = []
        for model in self.models:
            rule, known = model.settings.when, {uid: header for uid, header in headers.items() if header is not None}
            wanted = [uid for uid, header in known.items() if wants(model, header)]
            if any(rule.wants(header) for header in known.values()):
                senders = _senders(instance for uid in wanted for instance in series[uid])
                targets = _targets(model.settings.send_to, senders)
                told = [header for uid in wanted if (header := headers[uid]) is not None]
                # Who tries a model must not make anybody wait who uses one.
                priority = Priority.LOW if model.shadow else priority_of(told, model.settings.priority)
                job = NewJob(model.package_id, model.digest, tuple(wanted), targets, priority=priority, shadow=model.shadow)
                found.append(job)
        return found

    def _gone(self, study: Study, instances: Sequence[Instance]) -> list[str]:
        """What an answer has to say when fewer images are here than were purged before."""
        gone = self._store.last_purge(study.study_uid)
        if gone is None or len(instances) >= gone.images:
            return []
        before = f"{gone.images} image{'s' if gone.images > 1 else ''} of this study"
        words = f"{before} had been deleted from this node on {gone.at:%Y-%m-%d}; {len(instances)} came since."
        return [f"Analysed incomplete: {words}"]

    def _counted(self, study: Study, overdue: bool) -> list[Hold] | None:
        if overdue:  # nobody is asked any more: what was known last counts
            return [hold for hold in self._store.standing(study.study_uid).holds if hold.kind is HoldKind.PACS_COUNT]
        return self._counts.lacks(study) if self._counts else []

    def _lacks(self, headers: Mapping[str, Dataset | None], series: Mapping[str, Sequence[Instance]]) -> list[Hold]:
        models = waited_for(self.models, headers)
        found = [*required(models, headers), *unfilled(models, headers)]
        return [*found, *holes(models, headers, series, self._plane)] if self._plane else found

    def _unfound(self, headers: Mapping[str, Dataset | None]) -> list[Hold]:
        """Series that any model asks for, also those that nothing waits for: its answer says so."""
        return [*required(self.models, headers), *unfilled(self.models, headers)]

    def _hold(self, study: Study, holds: Sequence[Hold]) -> None:
        if self._store.hold(study.study_uid, study.revision, holds, LOOK_AGAIN):
            reasons = ",".join(sorted({hold.kind.value for hold in holds}))
            event("held", study=study_mark(study.study_uid), revision=study.revision, reasons=reasons)

    def _settled(self, study: Study, jobs: Sequence[NewJob], missing: Sequence[str]) -> None:
        about = {"study": study_mark(study.study_uid), "revision": study.revision, "instances": study.instances}
        event("settled", **about, models=",".join(job.name for job in jobs) or "none", incomplete=bool(missing))
        if self._quiet:
            self._quiet.learned(self._store.habits())


def _by_series(instances: Iterable[Instance]) -> dict[str, list[Instance]]:
    series: dict[str, list[Instance]] = {}
    for instance in instances:
        series.setdefault(instance.header.series_uid, []).append(instance)
    return dict(sorted(series.items()))


def _middle(instances: Sequence[Instance]) -> Instance:
    """A localizer that a scanner put into the same series is its first image, not its middle one."""
    return instances[len(instances) // 2]


def _senders(instances: Iterable[Instance]) -> list[str]:
    return sorted({sender_name(instance.caller) for instance in instances})


def _targets(send_to: Sequence[str], senders: Sequence[str]) -> tuple[str, ...]:
    names = [name for target in send_to for name in (senders if target == SENDER else (target,))]
    return tuple(dict.fromkeys(names))
