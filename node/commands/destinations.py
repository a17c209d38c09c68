"""``ancilla destinations``, ``resend``: what each destination gets, what it was found to take; sending again."""

import argparse
from typing import Any

from node.commands.options import Commands, actor, command, operating, settings_of, store_of
from node.commands.output import show_json, show_table


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
    print(operating(args).resend(args.study, args.to, actor()))
    return 0
