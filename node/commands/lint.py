"""``ancilla lint``: anybody's DICOM results against the rules that ours pass before they leave."""

import argparse
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from node.commands.options import Commands, command
from node.commands.output import show_json

if TYPE_CHECKING:
    from node.linting import Judgement


def register(commands: Commands) -> None:
    """Add the command."""
    lint = command(
        commands,
        "lint",
        "Check results (reports, Segmentations, maps, pictures ...) of anybody against the rules of viewers and archives.",
        _lint,
        config=False,
        listing=True,
    )
    lint.add_argument(
        "paths", metavar="FILE|FOLDER", nargs="+", type=Path, help="images beside the results are compared with them"
    )


def _lint(args: argparse.Namespace) -> int:
    from node.linting import failed, judge

    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its complaints about values would quote them
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        judgements, others = judge(args.paths)
    if args.json:
        show_json([_plain(judgement) for judgement in judgements])
    else:
        for judgement in judgements:
            _print(judgement)
        broken = sum(bool(judgement.broken) for judgement in judgements)
        print(f"{len(judgements)} results, {broken} with broken rules; {others} other files")
    return 1 if failed(judgements) else 0


def _print(judgement: "Judgement") -> None:
    print(f"{judgement.file}: {'' if judgement.broken else 'good'}".rstrip())
    for broken in judgement.broken:
        print(f"  {broken.level:<7}  {broken.rule}: {broken.words}  [{broken.source}]")


def _plain(judgement: "Judgement") -> dict[str, object]:
    broken = [{"level": str(b.level), "rule": b.rule, "words": b.words, "source": b.source} for b in judgement.broken]
    return {"file": str(judgement.file), "sop_class_uid": judgement.sop_class, "broken": broken}
