"""``ancilla export-images``: a study as plain DICOM files, and its results with them."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.errors import AncillaError
from node.commands.options import Commands, actor, command, settings_of, store_of
from node.commands.output import show_json, show_table

if TYPE_CHECKING:
    from node.exporting import Exporting, Wish


def register(commands: Commands) -> None:
    """Add the command."""
    words = "Write the images of studies as plain DICOM files, bit for bit as they were received, whether the node runs or not."
    export = command(commands, "export-images", words, _export, listing=True)
    export.add_argument("study", nargs="+", metavar="STUDY_UID")
    export.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="each study gets a folder there; may hold some already"
    )
    export.add_argument("--revision", type=int, metavar="N", help="the images that were there then, and the results of then")
    export.add_argument("--conflicts", action="store_true", help="also copies that do not count: the same UID with other bytes")
    export.add_argument("--results", action="store_true", help="also what models answered, in shadow too")


def _export(args: argparse.Namespace) -> int:
    from node.exporting import Wish, exporting_for

    settings, store = settings_of(args), store_of(args)
    wish = Wish(args.revision, args.conflicts, args.results)
    with exporting_for(settings, store, args.out) as exporting:
        rows = [_one(exporting, study_uid, wish) for study_uid in dict.fromkeys(args.study)]
    if args.json:
        show_json({"out": args.out, "studies": rows})
    else:
        _print(rows)
    return 1 if any(row["problems"] for row in rows) else 0


def _one(exporting: "Exporting", study_uid: str, wish: "Wish") -> dict[str, Any]:
    from dataclasses import asdict

    from node.commands.progress import bar

    try:
        with bar() as progress:
            task = progress.add_task("files", total=None)
            done = exporting.export(study_uid, wish, actor(), lambda n, of: progress.update(task, completed=n, total=of))
    except AncillaError as error:
        return {"study_uid": study_uid, "problems": [{"number": 0, "kind": "study", "words": str(error)}]}
    return asdict(done)


def _print(rows: list[dict[str, Any]]) -> None:
    columns = ("state", "revision", "images", "results", "written", "already", "size", "folder")
    found = [row for row in rows if "folder" in row]
    if found:
        table = [(row["study_uid"], *(row[name] for name in columns)) for row in found]
        show_table(("study", "state", "revision", "images", "results", "written", "there already", "bytes", "folder"), table)
    for row in rows:
        for problem in row["problems"]:
            what = f"{row['study_uid']}, {problem['kind']} {problem['number']}: " if problem["number"] else ""
            print(f"{what}{problem['words']}")
