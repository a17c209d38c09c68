"""``ancilla jobs``, ``retry``, ``cancel``: work to be done, and the operator's moves, each an audit row."""

import argparse

from db.store import Store
from domain.errors import PermanentError
from domain.jobs import Job, JobKind
from node.commands.options import Commands, actor, command, now, settings_of, store_of
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
    from db.gone import purged_words

    store = store_of(args)
    job = store.job(args.job)
    gone = store.last_purge(job.study_uid) if job is not None else None
    if job is not None and gone is not None and job.revision <= gone.revision:
        raise PermanentError(purged_words(job.study_uid, gone))
    if job is not None and job.kind is JobKind.INFER:
        _must_give_the_same(args, store, job)
    store.revive(args.job, actor())
    kept = "; it is in shadow: its answer is kept here (`ancilla rerun` sends it once its model is live)"
    print(f"job {args.job} is queued again{kept if job is not None and job.shadow else ''}")
    return 0


def _must_give_the_same(args: argparse.Namespace, store: Store, job: Job) -> None:
    """Results that were sent must not get other bytes under the same UIDs."""
    from node.loaded import load_models
    from node.rerunning import rerunning_for

    settings = settings_of(args)
    why = rerunning_for(settings, load_models(settings), store, now).other_bytes(job)
    if why:
        words = f"job {job.job_id} would write other results under the same UIDs ({why})"
        raise PermanentError(f"{words}; `ancilla rerun {job.study_uid}` makes new ones")


def _cancel(args: argparse.Namespace) -> int:
    store_of(args).cancel(args.job, actor())
    print(f"job {args.job} is cancelled")
    return 0
