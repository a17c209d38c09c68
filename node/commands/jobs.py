"""``ancilla jobs``, ``retry``, ``cancel``: work to be done, and the operator's moves, each an audit row."""

import argparse

from domain.errors import PermanentError
from domain.jobs import Job, JobKind
from node.commands.options import Commands, actor, command, store_of
from node.commands.output import show_json, show_table

ALL = 1_000_000_000
ENDED = ("done", "failed", "cancelled")
STATES = ("queued", "running", "done", "declined", "failed", "cancelled")


def register(commands: Commands) -> None:
    """Add the commands."""
    jobs = command(commands, "jobs", "List jobs, newest first.", _jobs, listing=True)
    jobs.add_argument("--state", choices=STATES)
    jobs.add_argument("--limit", type=int, default=100)
    retry = command(commands, "retry", "Queue a job again that was failed, cancelled, declined or done.", _retry)
    retry.add_argument("job", type=int, metavar="JOB")
    resend = command(
        commands, "resend", "Send the newest results of a study again and ask the destinations anew what they take.", _resend
    )
    resend.add_argument("study", metavar="STUDY_UID")
    resend.add_argument("--to", default="", metavar="DESTINATION", help="this one only")
    cancel = command(commands, "cancel", "Cancel a job that is queued or running.", _cancel)
    cancel.add_argument("job", type=int, metavar="JOB")


def _jobs(args: argparse.Namespace) -> int:
    jobs = store_of(args).jobs(state=args.state, limit=args.limit)
    if args.json:
        show_json(jobs)
        return 0
    show_table(JOB_COLUMNS, [job_row(job) for job in jobs], "no jobs")
    return 0


JOB_COLUMNS = ("job", "kind", "state", "model", "to", "attempts", "outcome", "next", "study", "revision", "reason")


def job_row(job: Job) -> tuple[object, ...]:
    """One line about a job."""
    due = job.run_at if job.state == "queued" else None
    return (
        job.job_id,
        job.kind,
        job.state,
        job.model_id,
        job.destination,
        job.attempts,
        job.outcome,
        due,
        job.study_uid,
        job.revision,
        job.reason,
    )


def _retry(args: argparse.Namespace) -> int:
    store_of(args).revive(args.job, actor())
    print(f"job {args.job} is queued again")
    return 0


def _resend(args: argparse.Namespace) -> int:
    store = store_of(args)
    deliveries = [j for j in store.jobs(study_uid=args.study, kind=JobKind.DELIVER, limit=ALL) if args.to in ("", j.destination)]
    newest: dict[tuple[str, str], Job] = {}
    for job in deliveries:  # newest first
        newest.setdefault((job.model_id, job.destination), job)
    if not newest:
        raise PermanentError(f"nothing of study {args.study} was ever to be sent{' to ' + args.to if args.to else ''}")
    for destination in sorted({job.destination for job in newest.values()}):
        store.forget_acceptances(destination, actor())
    again = [job for job in newest.values() if job.state in ENDED]
    for job in again:
        store.revive(job.job_id, actor())
    print(f"{len(again)} deliveries are queued again" if again else "everything is on its way already")
    return 0


def _cancel(args: argparse.Namespace) -> int:
    store_of(args).cancel(args.job, actor())
    print(f"job {args.job} is cancelled")
    return 0
