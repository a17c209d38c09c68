"""``ancilla status``, ``studies``, ``show``: what is where, and why."""

import argparse
from typing import TYPE_CHECKING

from domain.errors import PermanentError
from node.commands.jobs import JOB_COLUMNS, job_row
from node.commands.options import Commands, command, now, settings_of, store_of
from node.commands.output import plain, show_json, show_pairs, show_table

if TYPE_CHECKING:
    from domain.completeness import Completeness
    from domain.retention import Purged


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
    from node.overview import overview

    settings = settings_of(args)
    seen = overview(settings, store_of(args), now())
    studies = {str(state): count for state, count in seen.studies.items()}
    jobs = {f"{kind} {state}": count for (kind, state), count in seen.jobs.items()}
    if args.json:
        about = {name: getattr(seen, name) for name in ("running", "ae_title", "port", "data_dir", "free_bytes", "reserve_bytes")}
        counted = {"studies": dict(sorted(studies.items())), "jobs": dict(sorted(jobs.items()))}
        audit = {"syslog": settings.audit.name if settings.audit else "", **plain(seen.forwarded)}
        kept = {"retention": settings.retention, "audit": audit, "models": seen.models, "shadow_answers": seen.shadow_answers}
        show_json(about | kept | counted | {"strangers": seen.strangers})
        return 0
    told = {
        name: ", ".join(f"{n} {what}" for what, n in sorted(c.items())) or "none"
        for name, c in (("studies", studies), ("jobs", jobs))
    }
    free = f"{seen.free_bytes / 1e9:.1f} GB, {settings.scp.reserve_gb:g} GB of it kept in reserve"
    words = {"node": "running" if seen.running else "stopped", "DICOM": f"{seen.ae_title}, port {seen.port}"}
    models = {"models": ", ".join(seen.models) or "none"}
    if seen.shadow_answers:
        told |= {"shadow": f"{seen.shadow_answers} answers kept here, not sent; `ancilla shadow` lists them"}
    audit = {"audit": seen.audit} if seen.audit else {}
    show_pairs(words | models | {"data": seen.data_dir, "free": free, "deleted": seen.retention} | audit | told)
    callers = [(s, s.caller) for s in seen.strangers]
    strangers = [(caller.calling_ae, caller.address, caller.called_ae, s.count, s.last_at, s.words) for s, caller in callers]
    if strangers:
        print("\nrejected callers")
        show_table(("AE title", "address", "called", "times", "last", "why"), strangers)
    return 0


def _studies(args: argparse.Namespace) -> int:
    from node.overview import lines

    store = store_of(args)
    studies = [(line.study, line) for line in lines(store, store.studies(limit=args.limit))]
    if args.json:
        show_json([{**plain(s), "waiting_for": line.waiting_for, "shadow": line.shadow} for s, line in studies])
        return 0
    columns = ["study", "state", "revision", "series", "images", "first", "last", "waiting for"]
    rows: list[list[object]] = [
        [s.study_uid, s.state, s.revision, s.series, s.instances, s.first_at, s.last_at, "; ".join(line.waiting_for)]
        for s, line in studies
    ]
    if any(line.shadow for _, line in studies):
        columns.append("shadow")
        rows = [[*row, ", ".join(line.shadow)] for row, (_, line) in zip(rows, studies, strict=True)]
    show_table(columns, rows, "no studies")
    return 0


def _show(args: argparse.Namespace) -> int:
    from node.overview import study_file

    store = store_of(args)
    seen = study_file(settings_of(args), store, args.study)
    if seen is None:
        raise PermanentError(f"there is no study {args.study}; `ancilla studies` lists them")
    if args.json:
        study = {**plain(seen.study), "waiting_for": seen.completeness.waiting_for, "shadow": seen.shadow}
        jobs = {"jobs": [each.job for each in seen.jobs], "artifacts": {each.job.job_id: each.artifacts for each in seen.jobs}}
        about = {"study": study, "purged": seen.purged, "completeness": seen.completeness}
        show_json(about | jobs | {"audit": list(store.audit(study_uid=args.study))})
        return 0
    s = seen.study
    show_pairs({"study": s.study_uid, "state": s.state, "revision": s.revision, "series": s.series, "images": s.instances})
    if seen.purged is not None:
        show_pairs({"purged": _purged(seen.purged)})
    if seen.shadow:
        show_pairs({"shadow": f"answers of {', '.join(seen.shadow)} are kept here and not sent"})
    _show_completeness(seen.completeness)
    print()
    show_table(JOB_COLUMNS, [job_row(each.job) for each in seen.jobs], seen.no_jobs)
    print()
    files = [
        (each.job.job_id, a.role, a.size, "purged" if a.role in each.gone else a.path, a.sop_instance_uid)
        for each in seen.jobs
        for a in each.artifacts
    ]
    show_table(("job", "result", "bytes", "file", "SOP Instance UID"), files, "no results")
    print()
    show_table(("audit", "rows"), list(seen.events.items()))
    return 0


def _purged(gone: "Purged") -> str:
    size = f"{gone.images} image{'' if gone.images == 1 else 's'}, {gone.size / 1e6:.1f} MB, up to revision {gone.revision}"
    return f"on {gone.at.astimezone():%Y-%m-%d %H:%M:%S} by {gone.actor}: {size}"


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
