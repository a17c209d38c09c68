"""``ancilla run``: one model on folders of DICOM files, results as DICOM files; no network, no database."""

import argparse
import hashlib
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

    outputs = {word.strip() for word in args.outputs.split(",")}
    if unknown := sorted(outputs - OUTPUTS):
        raise ConfigurationError(f"--outputs: {unknown[0]!r} is none of {', '.join(sorted(OUTPUTS))}")
    path = find_package(args.model, Path.cwd())
    package = load(path)
    found = find(args.study)
    studies = found.by_study()
    if not studies:
        raise PermanentError(f"there is no DICOM file in {', '.join(map(str, args.study))} ({found.skipped} other files)")
    rows = []
    for uid, files in steps(studies.items(), "studies"):
        answer = _attempt(args, path, package.digest, uid, files)
        rows.append({"study_uid": uid, "images": len(files), **_said(answer, args.out / uid)})
    if args.json:
        show_json({"results": rows, "skipped_files": found.skipped})
    else:
        show_table(("study", "images", "outcome", "summary", "folder"), [[r[c] for c in COLUMNS] for r in rows])
        print(f"{found.skipped} files were no DICOM files" if found.skipped else "")
    return 1 if any(row["outcome"] is Outcome.FAILED for row in rows) else 0


def _attempt(args: argparse.Namespace, package: Path, digest: str, uid: str, files: list[Any]) -> Answer:
    """One study that cannot be answered must not take the others with it."""
    try:
        return _study(args, package, digest, uid, files)
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


def _study(args: argparse.Namespace, package: Path, digest: str, uid: str, files: list[Any]) -> Answer:
    from domain.jobs import Order
    from inference.source import open_source
    from node.files import view
    from node.orders import device_uid
    from node.work import respond

    order = Order(
        job_id=0,
        token=0,
        study_uid=uid,
        revision=1,
        package=str(package),
        package_digest=digest,
        input_digest=hashlib.sha256("".join(sorted(file.digest for file in files)).encode()).hexdigest(),
        instances=(),
        spool_dir="",
        out_dir=str((args.out / uid).resolve()),
        data_dir=str(args.out.resolve()),
        started_at=now().astimezone(),
        institution=args.institution,
        device_uid=device_uid("command line", digest),
        outputs=tuple(sorted(word.strip() for word in args.outputs.split(","))),
        precision=args.precision,
    )
    return respond(order, lambda: [open_source(view(file.path)) for file in files])
