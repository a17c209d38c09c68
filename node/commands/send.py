"""``ancilla send``: folders and zip archives of DICOM files into the node, as if a scanner had sent them."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import ConfigurationError
from domain.instances import Caller, Receipt
from node.commands.options import Commands, actor, command, now, settings_of
from node.commands.output import show_json, show_pairs, show_table

if TYPE_CHECKING:
    from node.sending import Tally


def register(commands: Commands) -> None:
    """Add the command."""
    words = "Give DICOM files of folders and .zip archives to the node, whether it runs or not."
    send = command(commands, "send", words, _send, listing=True)
    send.add_argument("source", nargs="+", type=Path, metavar="DIR|ZIP", help="folder (with all below it), .zip or single file")


def _send(args: argparse.Namespace) -> int:
    from db.engine import open_store
    from db.spool import Spool
    from node.commands.progress import bar
    from node.intake import Intake
    from node.lock import is_locked
    from node.orders import SPOOL
    from node.sending import Sender, Tally, count, items
    from node.visitors import Visitors

    settings = settings_of(args)
    data_dir, study = settings.node.data_dir, settings.study
    tally = Tally()
    found = items(args.source, tally)
    data_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
    _check_owner(data_dir)
    store = open_store(settings.node.database, now)
    spool = Spool(data_dir / SPOOL, settings.scp.reserve_bytes, now)
    intake = Intake(spool, store, study.quiet_seconds, study.max_wait_seconds, now)
    caller = Caller(actor(), settings.scp.ae_title.strip(), "local")
    visitors = Visitors(data_dir)
    visitors.reap(lambda association_id: store.closed(association_id, "lost", study.quiet_seconds))
    try:
        with visitors.visit(intake, caller) as association_id, bar() as progress:
            task = progress.add_task("files", total=count(found))
            for _ in Sender(intake, caller, association_id, tally).send(found):
                progress.advance(task)
    finally:
        store.close()
    _report(args, tally, association_id, is_locked(data_dir))
    return 0 if tally.good else 1


def _check_owner(data_dir: Path) -> None:
    """What another user writes, the node could not read. Raises ConfigurationError."""
    if (owner := data_dir.stat().st_uid) != os.geteuid():
        raise ConfigurationError(
            f"node.data_dir {data_dir} belongs to user {owner}; run this command as that user (sudo -u '#{owner}')"
        )


def _report(args: argparse.Namespace, tally: "Tally", association_id: str, running: bool) -> None:
    counts = {
        "stored": tally.receipts[Receipt.STORED],
        "duplicates": tally.receipts[Receipt.DUPLICATE],
        "conflicts": tally.receipts[Receipt.CONFLICT],
        "refused": len(tally.refused),
        "not DICOM": tally.not_dicom,
        "DICOMDIR": tally.directories,
        "studies": len(tally.studies),
    }
    if args.json:
        about: dict[str, object] = {name.lower().replace(" ", "_"): number for name, number in counts.items()}
        about |= {"not_tried": tally.not_tried, "association": association_id, "node_running": running}
        show_json(about | {"refused": tally.refused})
        return
    show_pairs(counts)
    if tally.full:
        print(f"no space left: {tally.not_tried} files were not tried; make space and send again")
    if tally.refused:
        print()
        show_table(("refused file", "why"), [(one.file, one.reason) for one in tally.refused])
    if tally.studies:
        print(
            "\nThe running node goes on by itself." if running else "\nThe node is stopped; it goes on when `ancilla serve` runs."
        )
