"""``ancilla status``, ``studies``, ``show``: what is where, and why."""

import argparse
import json
from collections import Counter
from shutil import disk_usage
from typing import TYPE_CHECKING

from domain.audit import Event
from domain.errors import PermanentError
from domain.retention import KEPT_ROLES
from node.commands.jobs import JOB_COLUMNS, job_row
from node.commands.options import Commands, command, settings_of, store_of
from node.commands.output import plain, show_json, show_pairs, show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.audit import AuditRow
    from domain.retention import Purged
    from node.config import Settings
    from node.waiting import Completeness


def register(commands: Commands) -> None:
    """Add the commands."""
    command(commands, "status", "Is the node running, what has it received, what is left to do.", _status, listing=True)
    studies = command(commands, "studies", "List studies, newest first.", _studies, listing=True)
    studies.add_argument("--limit", type=int, default=100)
    show = command(
        commands, "show", "Everything about one study: its jobs, their results and where they went.", _show, listing=True
    )
    show.add_argument("study", metavar="STUDY_UID")


def _status(args: argparse.Namespace) -> int:
    from node.lock import is_locked

    settings, store = settings_of(args), store_of(args)
    studies = {str(state): count for state, count in store.study_counts().items()}
    jobs = {f"{kind} {state}": count for (kind, state), count in store.job_counts().items()}
    read = store.latest((Event.NODE_STARTED, Event.NODE_RELOADED))
    kept = store.shadow_count()
    about = {
        "running": is_locked(settings.node.data_dir),
        "ae_title": settings.scp.ae_title,
        "port": settings.scp.port,
        "data_dir": settings.node.data_dir,
        "free_bytes": disk_usage(settings.node.data_dir).free,
        "reserve_bytes": settings.scp.reserve_bytes,
        "retention": settings.retention,
        "models": list(json.loads(read.details)["models"]) if read else [],
        "shadow_answers": kept,
        "studies": dict(sorted(studies.items())),
        "jobs": dict(sorted(jobs.items())),
        "strangers": store.strangers(),
    }
    if args.json:
        show_json(about)
        return 0
    counted = {
        name: ", ".join(f"{n} {what}" for what, n in sorted(c.items())) or "none"
        for name, c in (("studies", studies), ("jobs", jobs))
    }
    free = f"{about['free_bytes'] / 1e9:.1f} GB, {settings.scp.reserve_gb:g} GB of it kept in reserve"  # type: ignore[operator]
    words = {"node": "running" if about["running"] else "stopped", "DICOM": f"{settings.scp.ae_title}, port {settings.scp.port}"}
    models = {"models": ", ".join(about["models"]) or "none"}  # type: ignore[arg-type]
    counted |= {"shadow": f"{kept} answers kept here, not sent; `ancilla shadow` lists them"} if kept else {}
    show_pairs(words | models | {"data": settings.node.data_dir, "free": free, "deleted": _retention(settings)} | counted)
    callers = [(s, s.caller) for s in store.strangers()]
    strangers = [(caller.calling_ae, caller.address, caller.called_ae, s.count, s.last_at, s.words) for s, caller in callers]
    if strangers:
        print("\nrejected callers")
        show_table(("AE title", "address", "called", "times", "last", "why"), strangers)
    return 0


def _retention(settings: "Settings") -> str:
    """When images are deleted by themselves."""
    retention = settings.retention
    said = [f"studies untouched for {retention.days:g} days"] if retention.days else []
    said += [f"the oldest below {retention.free_gb:g} GB of free space"] if retention.free_gb else []
    return ", ".join(said) or "nothing by itself; `ancilla purge` does"


ALL = 1_000_000_000


def _studies(args: argparse.Namespace) -> int:
    from node.waiting import waits_for

    store = store_of(args)
    studies = [(s, waits_for(store, s)) for s in store.studies(limit=args.limit)]
    shadows = store.shadowed([s.study_uid for s, _ in studies])
    if args.json:
        show_json([{**plain(s), "waiting_for": waits, "shadow": shadows.get(s.study_uid, [])} for s, waits in studies])
        return 0
    columns = ["study", "state", "revision", "series", "images", "first", "last", "waiting for"]
    rows: list[list[object]] = [
        [s.study_uid, s.state, s.revision, s.series, s.instances, s.first_at, s.last_at, "; ".join(waits)] for s, waits in studies
    ]
    if shadows:
        columns.append("shadow")
        rows = [[*row, ", ".join(shadows.get(s.study_uid, []))] for row, (s, _) in zip(rows, studies, strict=True)]
    show_table(columns, rows, "no studies")
    return 0


def _show(args: argparse.Namespace) -> int:
    from node.waiting import completeness

    store = store_of(args)
    study = store.study(args.study)
    if study is None:
        raise PermanentError(f"there is no study {args.study}; `ancilla studies` lists them")
    jobs = store.jobs(study_uid=args.study, limit=ALL)
    results = {job.job_id: store.artifacts(job.job_id) for job in jobs}
    rows = list(store.audit(study_uid=args.study))
    complete = completeness(store, study, settings_of(args).study)
    gone = store.last_purge(args.study)
    shadows = sorted({job.model_id for job in jobs if job.shadow})
    if args.json:
        about = {**plain(study), "waiting_for": complete.waiting_for, "shadow": shadows}
        show_json({"study": about, "purged": gone, "completeness": complete, "jobs": jobs, "artifacts": results, "audit": rows})
        return 0
    show_pairs(
        {
            "study": study.study_uid,
            "state": study.state,
            "revision": study.revision,
            "series": study.series,
            "images": study.instances,
        }
    )
    if gone is not None:
        show_pairs({"purged": _purged(gone)})
    if shadows:
        show_pairs({"shadow": f"answers of {', '.join(shadows)} are kept here and not sent"})
    _show_completeness(complete)
    print()
    show_table(JOB_COLUMNS, [job_row(job) for job in jobs], _no_jobs(rows))
    print()
    old = {job.job_id for job in jobs if gone is not None and job.revision <= gone.revision}
    files = [
        (job, a.role, a.size, "purged" if job in old and not a.role.startswith(KEPT_ROLES) else a.path, a.sop_instance_uid)
        for job, artifacts in results.items()
        for a in artifacts
    ]
    show_table(("job", "result", "bytes", "file", "SOP Instance UID"), files, "no results")
    print()
    events = Counter(row.event for row in rows)
    show_table(("audit", "rows"), sorted(events.items()))
    return 0


def _purged(gone: "Purged") -> str:
    size = f"{gone.images} image{'' if gone.images == 1 else 's'}, {gone.size / 1e6:.1f} MB, up to revision {gone.revision}"
    return f"on {gone.at.astimezone():%Y-%m-%d %H:%M:%S} by {gone.actor}: {size}"


def _no_jobs(rows: "Sequence[AuditRow]") -> str:
    """Why there are none, with the clause that failed where the log has it."""
    from node.lacking import reasons

    unmatched = [json.loads(row.details) for row in rows if row.event == Event.UNMATCHED]
    if not unmatched:
        return "no jobs: the study is not complete yet"
    return f"no jobs: no rule wanted this study; {reasons(unmatched[-1].get('unmet', {})) or 'no image of it can be read'}"


def _show_completeness(complete: "Completeness") -> None:
    """Why it is complete, or what it waits for, with the first images that are missing by name."""
    if complete.settled_by:
        show_pairs({"complete by": complete.settled_by})
    else:
        waits = "; ".join(complete.waiting_for)
        quiet = f"{complete.quiet_seconds:g} s ({complete.quiet_from})"
        show_pairs({"waiting for": waits, "quiet time": quiet, "quiet at": complete.quiet_at, "deadline": complete.deadline})
    said = complete.standing.statements
    if said:
        print()
        columns = ("evidence", "by", "ended", "listed", "missing", "at")
        show_table(columns, [(s.source, s.actor, "yes" if s.final else "no", s.listed, s.missing, s.at) for s in said])
    named = [(s.source, uid) for s in said if s.final for uid in s.first_missing]
    if named:
        print()
        show_table(("listed by", "missing SOP Instance UID"), named)
    for hold in complete.standing.holds:
        print(f"{hold.kind.value}: {hold.words}")
