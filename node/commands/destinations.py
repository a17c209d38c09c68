"""``ancilla destinations``, ``resend``: what each destination gets, what it was found to take; sending again."""

import argparse
from typing import Any

from domain.errors import PermanentError
from domain.jobs import Job, JobKind
from node.commands.options import Commands, actor, command, settings_of, store_of
from node.commands.output import show_json, show_table

ALL = 1_000_000_000
ENDED = ("done", "failed", "cancelled")


def register(commands: Commands) -> None:
    """Add the commands."""
    words = "List destinations, what each of them gets, and which SOP classes it was found to take or to refuse."
    command(commands, "destinations", words, _destinations, listing=True)
    words = "Send the newest results of a study again and ask the destinations anew what they take."
    resend = command(commands, "resend", words, _resend)
    resend.add_argument("study", metavar="STUDY_UID")
    resend.add_argument("--to", default="", metavar="DESTINATION", help="this one only")


def _destinations(args: argparse.Namespace) -> int:
    from pydicom.uid import UID

    from node.overview import destinations

    seen = destinations(settings_of(args), store_of(args))
    names = ("name", "kind", "profile", "outputs", "takes", "refuses", "asked_at")
    rows: list[dict[str, Any]] = [{name: getattr(each, name) for name in names} for each in seen]
    if args.json:
        show_json([{**row, "contact": each.contact} for row, each in zip(rows, seen, strict=True)])
        return 0
    named = [{**row, **{key: ", ".join(UID(uid).name for uid in row[key]) for key in ("takes", "refuses")}} for row in rows]
    columns = ("name", "kind", "profile", "outputs", "takes", "refuses", "asked_at")
    told = [{**row, "outputs": ", ".join(row["outputs"])} for row in named]
    show_table(("name", "kind", "profile", "gets", "takes", "refuses", "last asked"), [[row[c] for c in columns] for row in told])
    return 0


def _resend(args: argparse.Namespace) -> int:
    from db.gone import purged_words

    store = store_of(args)
    deliveries = [j for j in store.jobs(study_uid=args.study, kind=JobKind.DELIVER, limit=ALL) if args.to in ("", j.destination)]
    newest: dict[tuple[str, str], Job] = {}
    for job in deliveries:  # newest first
        newest.setdefault((job.model_id, job.destination), job)
    if not newest:
        kept = "; answers in shadow are kept here" if store.shadowed([args.study]) else ""
        raise PermanentError(f"nothing of study {args.study} was ever to be sent{' to ' + args.to if args.to else ''}{kept}")
    gone = store.last_purge(args.study)
    if gone is not None:
        newest = {key: job for key, job in newest.items() if job.revision > gone.revision}
        if not newest:
            raise PermanentError(purged_words(args.study, gone))
    for destination in sorted({job.destination for job in newest.values()}):
        store.forget_acceptances(destination, actor())
    again = [job for job in newest.values() if job.state in ENDED]
    for job in again:
        store.revive(job.job_id, actor())
    print(f"{len(again)} deliveries are queued again" if again else "everything is on its way already")
    return 0
