"""``ancilla audit``: read the record, prove that nobody touched it, take it elsewhere."""

import argparse
import contextlib
import csv
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from domain.audit import AuditRow, Event
from domain.errors import ConfigurationError, TransientError
from node.commands.options import Commands, actor, command, settings_of, store_of
from node.commands.output import plain, show_json, show_table
from node.config_check import near

if TYPE_CHECKING:
    from db.store import Store

FIELDS = ("seq", "at", "event", "study_uid", "job_id", "actor", "details", "hash")


def register(commands: Commands) -> None:
    """Add the commands."""
    group = commands.add_parser("audit", help="Read, prove and export the audit log.").add_subparsers(
        metavar="WHAT", required=True
    )
    listing = command(group, "list", "The newest rows, oldest of them first.", _list, listing=True)
    listing.add_argument("--study", metavar="UID", help="only of this study")
    listing.add_argument("--event", help="only of this kind, for example stored, refused, sent")
    listing.add_argument("--limit", type=int, default=100)
    command(group, "verify", "Check the hash chain; name the first row that was touched.", _verify, listing=True)
    export = command(group, "export", "Every row, for archives and other programs.", _export)
    export.add_argument("--format", choices=("csv", "jsonl", "xml"), default="jsonl", help="xml: DICOM audit messages")
    resend = command(group, "resend", "Send rows to the repository of [audit] again.", _resend)
    resend.add_argument("after", type=int, metavar="SEQ", help="the rows behind this number; 0: all there are")
    export.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")


def _list(args: argparse.Namespace) -> int:
    if args.limit < 1:
        raise ConfigurationError("--limit must be at least 1")
    rows = store_of(args).newest(args.limit, args.event, args.study)
    if not rows and args.event is not None and args.event not in set(Event):
        raise ConfigurationError(f'there is no event "{args.event}"{near(args.event, Event)}')
    if args.json:
        show_json([_exact(row) for row in rows])
    else:
        cells = [(r.seq, r.at, r.event, r.study_uid, r.job_id, r.actor, r.details) for r in rows]
        show_table(FIELDS[:-1], cells, "no rows")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from db.audit import verify

    result = verify(store_of(args))
    if args.json:
        show_json(result)
    else:
        print(result.words)
    return 0 if result.broken_seq is None else 1


def _export(args: argparse.Namespace) -> int:
    store = store_of(args)
    with _target(args.out) as stream:
        _note(store, {"format": args.format})
        if args.format == "xml":
            _export_xml(args, store.audit(), stream)
        else:
            export(store.audit(), stream, args.format)
    return 0


def _resend(args: argparse.Namespace) -> int:
    settings, store = settings_of(args), store_of(args)
    rows = store.head()[0]
    if not 0 <= args.after <= rows:
        raise ConfigurationError(f"there is no row {args.after}; give a number from 0 to {rows}")
    store.forward_again(args.after, actor())
    when = f"go to {settings.audit.name} while the node runs" if settings.audit else "will be sent once audit.syslog is set"
    print(f"rows from {args.after + 1} on {when}")
    return 0


def _export_xml(args: argparse.Namespace, rows: Iterable[AuditRow], stream: TextIO) -> None:
    from node.atna.source import source_of
    from node.atna.xml import document

    for line in document(rows, source_of(settings_of(args))):
        stream.write(line + "\n")


def _note(store: "Store", details: dict[str, str]) -> None:
    """Who takes the log away stands in it. A database that cannot be written now can still be read."""
    try:
        store.note(Event.AUDIT_READ, actor(), details)
    except TransientError as error:
        print(f"this reading is not in the log: {error}", file=sys.stderr)


@contextlib.contextmanager
def _target(file: Path | None) -> Iterator[TextIO]:
    if file is None:
        yield sys.stdout
        return
    with file.open("w", encoding="utf-8", newline="") as stream:
        yield stream


def export(rows: Iterable[AuditRow], stream: TextIO, form: str) -> None:
    """Write rows as CSV with a heading, or as one JSON object per line; row by row, so that size does not matter."""
    if form == "jsonl":
        for row in rows:
            stream.write(json.dumps(_exact(row), ensure_ascii=False) + "\n")
        return
    writer = csv.writer(stream)
    writer.writerow(FIELDS)
    for row in rows:
        values = _exact(row)
        writer.writerow([values[name] for name in FIELDS])


def _exact(row: AuditRow) -> dict[str, Any]:
    """A row with its time to the microsecond: its hash can be computed from it."""
    return {**plain(row), "at": row.at.isoformat(timespec="microseconds")}
