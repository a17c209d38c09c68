"""What a complete study asks for: the series each model wants by its rule, and where the answers go."""

from collections.abc import Callable, Iterable, Sequence

from pydicom.dataset import Dataset

from db.store import Store
from domain.instances import Instance, Place
from domain.jobs import NewJob
from domain.studies import Study
from node.config import SENDER, sender_name
from node.loaded import Model
from node.log import event, study_mark


class Settler:
    """Closes studies that are due. ``header`` reads one stored instance, without pixels."""

    def __init__(self, store: Store, header: Callable[[Place], Dataset | None], models: Sequence[Model]) -> None:
        self._store, self._header = store, header
        self.models = models  # replaced as a whole when the configuration is read again

    def settle(self, study: Study) -> bool:
        """Queue the jobs of one study; False: something arrived meanwhile and it is not complete after all."""
        instances = self._store.instances(study.study_uid, study.revision)
        jobs = self.jobs(instances)
        settled = self._store.settle(study.study_uid, study.revision, jobs, seen=len(instances))
        if settled:
            models = ",".join(job.model_id for job in jobs) or "none"
            event("settled", study=study_mark(study.study_uid), revision=study.revision, instances=study.instances, models=models)
        return settled

    def jobs(self, instances: Sequence[Instance]) -> list[NewJob]:
        """One job per model that wants at least one series; it gets all series that match."""
        series = _by_series(instances)
        headers = {uid: self._header(_middle(images).place) for uid, images in series.items()}
        found = []
        for model in self.models:
            rule = model.settings.when
            wanted = [uid for uid, header in headers.items() if header is not None and rule.wants(header)]
            if wanted:
                senders = _senders(instance for uid in wanted for instance in series[uid])
                targets = _targets(model.settings.send_to, senders)
                found.append(NewJob(model.package_id, model.digest, tuple(wanted), targets))
        return found


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
