"""Counters and gauges for Prometheus: since the node started, no patient data, and labels from the configuration alone."""

import bisect
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from importlib.metadata import version
from shutil import disk_usage
from typing import Final

from console.exposition import Family, Sample, histogram
from db.store import Store
from domain.audit import Event
from domain.figures import Contact, Increment
from domain.jobs import JobKind, Outcome
from domain.moves import JobState, StudyState
from domain.repositories import Forwarded
from node.config import SENDER, Settings
from node.loaded import Model

BOUNDS: Final = (5.0, 15.0, 30.0, 45.0, 60.0, 90.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)  # seconds
OTHER: Final = "other"  # a device, model or destination that is not in the configuration (any more)
_RESULTS: Final = {Event.SENT: "sent", Event.COMMITTED: "committed", Event.FAILED: "failed", Event.RETRIED: "retried"}
_NONE: Final = Contact()


class Metrics:
    """Counts from when it is made; ``settings`` and ``models`` give what counts now. Any number of scrapers see the same."""

    def __init__(
        self,
        store: Store,
        settings: Callable[[], Settings],
        models: Callable[[], Sequence[Model]],
        clock: Callable[[], datetime],
    ) -> None:
        self._store, self._settings, self._models, self._clock = store, settings, models, clock
        self._lock = threading.Lock()
        self._started, self._mark = clock(), store.mark()
        self._images: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._events: Counter[str] = Counter()
        self._answers: Counter[tuple[str, Outcome]] = Counter()
        self._deliveries: Counter[tuple[JobKind, str, str]] = Counter()
        self._delays: dict[str, list[int]] = {}  # counts by bound, and above all of them
        self._waited: dict[str, float] = {}  # seconds, all together

    def families(self) -> list[Family]:
        """Everything there is. Raises TransientError."""
        with self._lock:
            self._add(self._store.since(self._mark))
            counted = [*self._receiving(), *self._answering(), *self._delivering()]
        return [*counted, *self._states(), *self._destinations()]

    def _add(self, new: Increment) -> None:
        self._mark = new.mark
        for title, (number, size) in new.images.items():
            self._images[title] += number
            self._bytes[title] += size
        self._events.update(new.events)
        self._answers.update(new.answers)
        self._deliveries.update(new.deliveries)
        for name, seconds in new.delays:
            label = self._destination(name)
            counts = self._delays.setdefault(label, [0] * (len(BOUNDS) + 1))
            counts[bisect.bisect_left(BOUNDS, seconds)] += 1
            self._waited[label] = self._waited.get(label, 0.0) + seconds

    def _receiving(self) -> Iterator[Family]:
        devices = {peer.ae_title.strip() for peer in self._settings().peers}
        images, size = (
            _grouped(each, lambda title: title if title in devices else OTHER) for each in (self._images, self._bytes)
        )
        for name, words, found in (("images", "Images kept, by AE title.", images), ("bytes", "Bytes of them.", size)):
            samples = [Sample(found[title], {"device": title}) for title in sorted(devices | found.keys())]
            yield Family(f"ancilla_received_{name}_total", "counter", words, samples)
        events = [Sample(self._events[event], {"event": event}) for event in Event if event is not Event.STORED]
        yield Family("ancilla_audit_events_total", "counter", "Rows of the audit log by event, without stored images.", events)
        rejected = [Sample(self._events[Event.ASSOCIATION_REJECTED])]
        yield Family("ancilla_associations_rejected_total", "counter", "Callers turned away.", rejected)

    def _answering(self) -> Iterator[Family]:
        known = {model.name for model in self._models()}
        found: Counter[tuple[str, Outcome]] = Counter()
        for (model, outcome), number in self._answers.items():
            found[model if model in known else OTHER, outcome] += number
        names = sorted(known | {model for model, _ in found})
        samples = [Sample(found[name, outcome], {"model": name, "outcome": outcome}) for name in names for outcome in Outcome]
        yield Family("ancilla_answers_total", "counter", "Answers by model: positive, negative, not-analysed, failed.", samples)

    def _delivering(self) -> Iterator[Family]:
        found: Counter[tuple[JobKind, str, str]] = Counter()
        for (kind, name, event), number in self._deliveries.items():
            found[kind, self._destination(name), event] += number
        named = self._names(name for _, name, _ in found)
        for kind, word, events in (
            (JobKind.DELIVER, "deliveries", (Event.SENT, Event.FAILED, Event.RETRIED)),
            (JobKind.COMMIT, "commitments", (Event.COMMITTED, Event.FAILED, Event.RETRIED)),
        ):
            samples = [
                Sample(found[kind, name, event], {"destination": name, "result": _RESULTS[event]})
                for name in named
                for event in events
            ]
            yield Family(f"ancilla_{word}_total", "counter", f"What became of {word}, by destination.", samples)
        words = "From the last image of a study until its answer was there, without what was started again by hand."
        spent = [sample for name in self._names(self._delays) for sample in self._histogram(name)]
        yield Family("ancilla_delivery_seconds", "histogram", words, spent)

    def _histogram(self, name: str) -> Iterator[Sample]:
        counts = self._delays.get(name, [0] * (len(BOUNDS) + 1))
        below = dict(zip(BOUNDS, counts[:-1], strict=True))
        return histogram(below, self._waited.get(name, 0.0), sum(counts), {"destination": name})

    def _states(self) -> Iterator[Family]:
        """Gauges of the whole node."""
        store, settings = self._store, self._settings()
        now, waiting, jobs, studies = self._clock(), store.waiting(), store.job_counts(), store.study_counts(latest=False)
        yield Family("ancilla_info", "gauge", "Always 1.", [Sample(1, {"version": version("ancilla")})])
        yield Family("ancilla_start_time_seconds", "gauge", "Since 1970, UTC.", [Sample(self._started.timestamp())])
        yield Family("ancilla_studies", "gauge", "By state.", [Sample(studies.get(s, 0), {"state": s}) for s in StudyState])
        each = [(kind, state) for kind in JobKind for state in JobState]
        samples = [Sample(jobs.get((kind, state), 0), {"kind": kind, "state": state}) for kind, state in each]
        yield Family("ancilla_jobs", "gauge", "By kind and state.", samples)
        ages = [Sample(_age(waiting.jobs.get(kind), now), {"kind": kind}) for kind in JobKind]
        yield Family("ancilla_oldest_queued_job_age_seconds", "gauge", "0: none is queued.", ages)
        quiet = [Sample(_age(waiting.studies, now))]
        yield Family("ancilla_oldest_receiving_study_quiet_seconds", "gauge", "Since its last image; 0: none.", quiet)
        free = disk_usage(settings.node.data_dir).free
        yield Family("ancilla_free_bytes", "gauge", "Of the disk of data_dir.", [Sample(free)])
        reserve = [Sample(settings.scp.reserve_bytes)]
        yield Family("ancilla_reserve_bytes", "gauge", "Below this free space images are refused.", reserve)
        stands = store.forwarded() if settings.audit else Forwarded()
        rows, since = [Sample(stands.behind)], [Sample(_age(stands.since, now))]
        yield Family("ancilla_audit_rows_to_send", "gauge", "Rows of the audit log that wait for the repository.", rows)
        yield Family("ancilla_audit_unsent_seconds", "gauge", "Since the first try in vain; 0: all is well.", since)

    def _destinations(self) -> Iterator[Family]:
        contacts = self._store.contacts()
        each = [(destination.name, contacts.get(destination.name, _NONE)) for destination in self._settings().destinations]
        for name, words, value in (
            ("waiting", "Deliveries in the queue.", lambda c: c.waiting),
            ("retrying", "Of these: tried in vain so far.", lambda c: c.retrying),
            ("last_success_timestamp_seconds", "Of the last thousand deliveries; 0: none.", lambda c: _stamp(c.sent_at)),
            ("last_failure_timestamp_seconds", "The same for those given up or refused.", lambda c: _stamp(c.failed_at)),
        ):
            samples = [Sample(value(contact), {"destination": destination}) for destination, contact in each]
            yield Family(f"ancilla_destination_{name}", "gauge", words, samples)

    def _destination(self, name: str) -> str:
        """The names of senders are made of what callers say of themselves."""
        if any(name == destination.name for destination in self._settings().destinations):
            return name
        return SENDER if name.startswith(f"{SENDER}:") else OTHER

    def _names(self, found: Iterable[str]) -> list[str]:
        return sorted({destination.name for destination in self._settings().destinations} | set(found))


def _grouped(counts: Counter[str], label: Callable[[str], str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for name, number in counts.items():
        found[label(name.strip())] += number
    return found


def _age(since: datetime | None, now: datetime) -> float:
    return max((now - since).total_seconds(), 0.0) if since else 0.0


def _stamp(at: datetime | None) -> float:
    return at.timestamp() if at else 0.0
