"""What an administrator is told about a node: the same facts for the commands and for the pages of the console."""

import json
from collections.abc import Sequence
from datetime import datetime
from shutil import disk_usage

from console.board import DestinationLine, JobFile, Overview, StudyFile, StudyLine
from db.store import Store
from domain.audit import Event
from domain.destinations import Destination
from domain.figures import Contact
from domain.jobs import Job, JobKind
from domain.repositories import Forwarded, Repository
from domain.retention import KEPT_ROLES, Purged
from domain.studies import Study
from node.config import RetentionSettings, Settings
from node.lacking import reasons
from node.lock import is_locked
from node.waiting import completeness, waits_for

ALL = 1_000_000_000


def overview(settings: Settings, store: Store, at: datetime) -> Overview:
    """Is it running, what has it received, what is left to do; ``at`` is now. Raises TransientError."""
    running = is_locked(settings.node.data_dir)
    started = store.latest([Event.NODE_STARTED]) if running else None
    read = store.latest([Event.NODE_STARTED, Event.NODE_RELOADED])
    forwarded = store.forwarded()
    return Overview(
        at=at,
        running=running,
        started_at=started.at if started else None,
        ae_title=settings.scp.ae_title,
        port=settings.scp.port,
        data_dir=str(settings.node.data_dir),
        free_bytes=disk_usage(settings.node.data_dir).free,
        reserve_bytes=settings.scp.reserve_bytes,
        retention=when_deleted(settings.retention),
        studies=store.study_counts(),
        jobs=store.job_counts(),
        waiting=store.waiting(),
        strangers=store.strangers(),
        models=list(json.loads(read.details)["models"]) if read else [],
        shadow_answers=store.shadow_count(),
        audit=where_sent(settings.audit, forwarded),
        forwarded=forwarded,
    )


def when_deleted(retention: RetentionSettings) -> str:
    """When images are deleted by themselves."""
    said = [f"studies untouched for {retention.days:g} days"] if retention.days else []
    said += [f"the oldest below {retention.free_gb:g} GB of free space"] if retention.free_gb else []
    return ", ".join(said) or "nothing by itself; `ancilla purge` does"


def where_sent(repository: Repository | None, stands: Forwarded) -> str:
    """Where the audit log is sent to, how far it got and, when it does not go on, since when and why."""
    if repository is None:
        return ""
    waiting = f"{stands.behind} row{'' if stands.behind == 1 else 's'} to send" if stands.behind else "all sent"
    trouble = f"; not since {stands.since.astimezone():%Y-%m-%d %H:%M:%S}: {stands.words}" if stands.since else ""
    return f"to {repository.name}, {waiting}{trouble}"


def lines(store: Store, studies: Sequence[Study]) -> list[StudyLine]:
    """Studies with what they wait for, and what was answered in shadow."""
    shadows = store.shadowed([study.study_uid for study in studies])
    return [StudyLine(study, waits_for(store, study), tuple(shadows.get(study.study_uid, ()))) for study in studies]


def study_file(settings: Settings, store: Store, study_uid: str) -> StudyFile | None:
    """Everything about one study, or None."""
    study = store.study(study_uid)
    if study is None:
        return None
    jobs = store.jobs(study_uid=study_uid, limit=ALL)
    purged = store.last_purge(study_uid)
    return StudyFile(
        study=study,
        completeness=completeness(store, study, settings.study),
        purged=purged,
        jobs=tuple(_job_file(store, job, purged) for job in jobs),
        no_jobs="" if jobs else no_jobs(store, study_uid),
        events=store.event_counts(study_uid),
        shadow=tuple(sorted({job.model_id for job in jobs if job.shadow})),
    )


def _job_file(store: Store, job: Job, purged: Purged | None) -> JobFile:
    written, said = tuple(store.artifacts(job.job_id)), store.statuses(job.job_id) if job.kind is JobKind.DELIVER else []
    old = purged is not None and job.revision <= purged.revision
    gone = frozenset(one.role for one in written if old and not one.role.startswith(KEPT_ROLES))
    return JobFile(job, written, gone, tuple(said))


def no_jobs(store: Store, study_uid: str) -> str:
    """Why there are none, with the clause that failed where the log has it."""
    unmatched = store.newest(1, Event.UNMATCHED, study_uid)
    if not unmatched:
        return "no jobs: the study is not complete yet"
    unmet = json.loads(unmatched[-1].details).get("unmet", {})
    return f"no jobs: no rule wanted this study; {reasons(unmet) or 'no image of it can be read'}"


def destinations(settings: Settings, store: Store) -> list[DestinationLine]:
    """What each destination gets, what it was found to take, and how sending to it goes."""
    contacts = store.contacts()
    found = []
    for destination in settings.destinations:
        known = store.acceptances(destination.name)
        found.append(
            DestinationLine(
                name=destination.name,
                kind=destination.kind,
                where=_where(destination),
                profile=destination.profile,
                outputs=destination.outputs,
                takes=tuple(one.sop_class_uid for one in known if one.accepted),
                refuses=tuple(one.sop_class_uid for one in known if not one.accepted),
                asked_at=max((one.at for one in known), default=None),
                contact=contacts.get(destination.name, Contact()),
            )
        )
    return found


def _where(destination: Destination) -> str:
    if destination.kind == "dicom":
        return f"{destination.ae_title} at {destination.host}:{destination.port}"
    return destination.url or destination.path
