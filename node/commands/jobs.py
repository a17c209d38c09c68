"""``ancilla jobs``, ``retry``, ``cancel``: work to be done, and the operator's moves, each an audit row."""

import argparse

from domain.jobs import Job
from node.commands.options import Commands, actor, command, operating, store_of
from node.commands.output import show_json, show_table

STATES = ("queued", "running", "done", "declined", "failed", "cancelled")


def register(commands: Commands) -> None:
    """Add the commands."""
    jobs = command(commands, "jobs", "List jobs, newest first.", _jobs, listing=True)
    jobs.add_argument("--state", choices=STATES)
    jobs.add_argument("--limit", type=int, default=100)
    retry = command(commands, "retry", "Queue a job again that was failed, cancelled, declined or done.", _retry)
    retry.add_argument("job", type=int, metavar="JOB")
    cancel = command(commands, "cancel", "Cancel a job that is queued or running.", _cancel)
    cancel.add_argument("job", type=int, metavar="JOB")


def _jobs(args: argparse.Namespace) -> int:
    jobs = store_of(args).jobs(state=args.state, limit=args.limit)
    if args.json:
        show_json(jobs)
        return 0
    show_table(JOB_COLUMNS, [job_row(job) for job in jobs], "no jobs")
    return 0


JOB_COLUMNS = ("job", "kind", "priority", "state", "model", "to", "attempts", "outcome", "next", "study", "revision", "reason")


def job_row(job: Job) -> tuple[object, ...]:
    """One line about a job."""
    due = job.run_at if job.state == "queued" else None
    return (
        job.job_id,
        job.kind,
        job.priority.name.lower(),
        job.state,
        job.model_id,
        "(shadow)" if job.shadow else job.destination,
        job.attempts,
        job.outcome,
        due,
        job.study_uid,
        job.revision,
        job.reason,
    )


def _retry(args: argparse.Namespace) -> int:
    print(operating(args).retry(args.job, actor()))
    return 0


def _cancel(args: argparse.Namespace) -> int:
    print(operating(args).cancel(args.job, actor()))
    return 0
