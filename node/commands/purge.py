"""``ancilla purge``: delete images and results of studies that are done with; what happened to them stays in the audit log."""

import argparse
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from domain.errors import ConfigurationError, PermanentError, TransientError
from domain.retention import Ground, Sight
from node.commands.options import Commands, actor, command, days, now, settings_of, store_of
from node.commands.output import show_json, show_table

if TYPE_CHECKING:
    from db.store import Store
    from node.config import Settings
    from node.purging import Proof, Purging

_PAGE = 500


def register(commands: Commands) -> None:
    """Add the command."""
    words = "Delete images and results of complete studies whose answers were delivered; the audit log stays."
    purge = command(commands, "purge", words, _purge, listing=True)
    purge.add_argument("study", nargs="*", metavar="STUDY_UID")
    purge.add_argument("--older-than", type=days, metavar="DAYS", help="all studies that nobody touched for so many days")
    purge.add_argument("--dry-run", action="store_true", help="only say what would go, and why the rest stays")
    purge.add_argument(
        "--even-undelivered", action="store_true", help="also where an answer was not delivered or not committed to"
    )
    purge.add_argument(
        "--even-promised", action="store_true", help="also where this node has committed to the images; only with STUDY_UID"
    )


def _purge(args: argparse.Namespace) -> int:
    from node.purging import purging_for

    if bool(args.study) == (args.older_than is not None):
        raise ConfigurationError("name either studies or --older-than DAYS")
    if args.even_promised and not args.study:
        raise ConfigurationError("--even-promised: name the studies, one by one")
    settings, store = settings_of(args), store_of(args)
    purging, waived = purging_for(settings, store), _waived(args)
    if not args.dry_run:
        purging.sweep()
    names = args.study or _old(store, args.older_than)
    rows = [_one(purging, settings, uid, waived, args.dry_run) for uid in dict.fromkeys(names)]
    _show(args, rows)
    return 1 if args.study and any(row["action"] == "kept" for row in rows) else 0


def _waived(args: argparse.Namespace) -> frozenset[Ground]:
    waived = {Ground.UNDELIVERED, Ground.UNCOMMITTED} if args.even_undelivered else set()
    return frozenset(waived | ({Ground.PROMISED} if args.even_promised else set()))


def _old(store: "Store", days: float) -> list[str]:
    before, found, after = now() - timedelta(days=days), [], None
    while some := store.untouched(before, after, _PAGE):
        found += [uid for _, uid in some]
        after = some[-1]
    return found


def _one(purging: "Purging", settings: "Settings", uid: str, waived: frozenset[Ground], dry: bool) -> dict[str, Any]:
    sight = purging.sight(uid, settings)
    proof, words = None, ""
    if {keep.ground for keep in sight.against(waived)} == {Ground.PROMISED} and settings.retention.archive:
        proof, words = _asked(purging, settings, uid)
    allowed = waived | {Ground.PROMISED} if proof else waived
    if sight.against(allowed):
        return _row(sight, "kept", allowed, words)
    if dry:
        return _row(sight, "would go", allowed, words)
    try:
        purging.purge(uid, settings, actor(), waived, proof)
    except PermanentError:  # something came in between
        return _row(purging.sight(uid, settings), "kept", waived)
    return _row(sight, "purged", allowed, words)


def _asked(purging: "Purging", settings: "Settings", uid: str) -> "tuple[Proof | None, str]":
    try:
        proof = purging.proof(uid, settings)
    except TransientError as error:
        return None, str(error)
    return proof, proof.words if proof else f"{settings.retention.archive} does not have all of them"


def _row(sight: Sight, action: str, waived: frozenset[Ground], archive: str = "") -> dict[str, Any]:
    weight, left = sight.weight, sight.against(waived)
    return {
        "study_uid": weight.study_uid,
        "action": action,
        "images": weight.images,
        "results": weight.results,
        "bytes": weight.size,
        "touched_at": weight.touched_at,
        "reasons": [{"ground": keep.ground.value, "words": keep.words} for keep in left],
        "archive": archive,
        "set_aside": [keep.ground.value for keep in sight.keeps if keep.ground in waived],
    }


def _show(args: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    going = [row for row in rows if row["action"] != "kept"]
    if args.json:
        show_json({"dry_run": args.dry_run, "bytes": sum(row["bytes"] for row in going), "studies": rows})
        return
    columns = ("study", "action", "images", "results", "bytes", "last touched", "why")
    table = [
        (row["study_uid"], row["action"], row["images"], row["results"], row["bytes"], row["touched_at"],
         "; ".join([*(reason["words"] for reason in row["reasons"]), *([row["archive"]] if row["archive"] else [])]))
        for row in rows
    ]  # fmt: skip
    show_table(columns, table, "no study is as old as that")
    if rows:
        verb = "would go" if args.dry_run else "purged"
        size = sum(row["bytes"] for row in going) / 1e6
        print(f"\n{len(going)} of {len(rows)} studies {verb}, {size:.1f} MB")
