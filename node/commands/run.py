"""``ancilla run``: one model on folders of DICOM files, results as DICOM files; no network, no database."""

import argparse
from pathlib import Path
from typing import Any

from domain.errors import AncillaError, ConfigurationError, PermanentError
from domain.jobs import Answer, Outcome
from node.commands.options import Commands, command, now
from node.commands.output import show_json, show_table

OUTPUTS = frozenset(
    {"sr", "seg", "labelmap", "fractional", "pm", "gsps", "sc", "pdf", "ann", "kos", "sr-comprehensive", "sr-enhanced"}
)


def register(commands: Commands) -> None:
    """Add the command."""
    run = command(
        commands, "run", "Run one model on folders of DICOM files and write DICOM results.", _run, config=False, listing=True
    )
    run.add_argument("--model", required=True, metavar="PACKAGE", help="folder, .zip or the id of a shipped model")
    run.add_argument("--out", required=True, type=Path, metavar="DIR", help="gets one folder per study, named by its UID")
    run.add_argument(
        "--outputs",
        default="sr,seg",
        help=f"comma separated, of {', '.join(sorted(OUTPUTS))}; default: sr,seg",
    )
    run.add_argument("--institution", default="", help="stands in the results")
    run.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "int8"))
    run.add_argument("study", nargs="+", type=Path, metavar="STUDY_DIR")


def _run(args: argparse.Namespace) -> int:
    from inference.package import load
    from node.commands.progress import steps
    from node.config import find_package
    from node.files import find

    outputs = chosen_outputs(args.outputs)
    path = find_package(args.model, Path.cwd())
    package = load(path)
    found = find(args.study)
    studies = found.by_study()
    if not studies:
        raise PermanentError(f"there is no DICOM file in {', '.join(map(str, args.study))} ({found.skipped} other files)")
    rows = []
    for uid, files in steps(studies.items(), "studies"):
        answer = _attempt(args, path, package.digest, outputs, uid, files)
        rows.append({"study_uid": uid, "images": len(files), **_said(answer, args.out / uid)})
    if args.json:
        show_json({"results": rows, "skipped_files": found.skipped})
    else:
        show_table(("study", "images", "outcome", "summary", "folder"), [[r[c] for c in COLUMNS] for r in rows])
        print(f"{found.skipped} files were no DICOM files" if found.skipped else "")
    return 1 if any(row["outcome"] is Outcome.FAILED for row in rows) else 0


def chosen_outputs(words: str) -> tuple[str, ...]:
    """What ``--outputs`` names. Raises ConfigurationError."""
    outputs = {word.strip() for word in words.split(",")}
    if unknown := sorted(outputs - OUTPUTS):
        raise ConfigurationError(f"--outputs: {unknown[0]!r} is none of {', '.join(sorted(OUTPUTS))}")
    return tuple(sorted(outputs))


def _attempt(
    args: argparse.Namespace, package: Path, digest: str, outputs: tuple[str, ...], uid: str, files: list[Any]
) -> Answer:
    """One study that cannot be answered must not take the others with it."""
    try:
        return _study(args, package, digest, outputs, uid, files)
    except AncillaError as error:
        return Answer(Outcome.FAILED, str(error), (), str(error))


COLUMNS = ("study_uid", "images", "outcome", "summary", "folder")


def _said(answer: Answer, folder: Path) -> dict[str, Any]:
    return {
        "outcome": answer.outcome,
        "summary": answer.summary,
        "folder": folder,
        "artifacts": answer.artifacts,
        "timings": answer.timings,
    }


def _study(args: argparse.Namespace, package: Path, digest: str, outputs: tuple[str, ...], uid: str, files: list[Any]) -> Answer:
    from node.solo import Desk, answered, digest_of, order_of

    root = str(args.out.resolve())
    desk = Desk(str(package), digest, root, outputs, args.institution, precision=args.precision)
    return answered(order_of(desk, uid, digest_of(files), str((args.out / uid).resolve()), now()), files)[0]
