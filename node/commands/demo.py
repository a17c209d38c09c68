"""``ancilla demo``: the main job end to end, on one machine, with a sample study."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from node.commands.options import Commands, command, now
from node.commands.output import show_table

if TYPE_CHECKING:
    from node.demo import Story

DEFAULT_MODEL = "chest-ct-opacity"
SHOWN = ("sr", "overlay")  # what the sample must give


def register(commands: Commands) -> None:
    """Add the command."""
    words = "Start a node and a throw-away PACS on loopback, send a study over the network, show what comes back."
    demo = command(commands, "demo", words, _demo, config=False)
    demo.add_argument("study", nargs="?", type=Path, metavar="STUDY_DIR", help="default: the synthetic sample of the model")
    demo.add_argument("--model", default=DEFAULT_MODEL, metavar="ID", help=f"default: {DEFAULT_MODEL}")
    demo.add_argument("--out", type=Path, default=Path("ancilla-demo"), metavar="DIR", help="default: ./ancilla-demo")


def _demo(args: argparse.Namespace) -> int:
    import logging

    from node.commands.progress import bar
    from node.demo import Demo, prepare
    from node.log import start_log

    prepare(args.out)
    with (args.out / "node.log").open("w", encoding="utf-8") as log, bar() as progress:
        start_log(log, logging.INFO)
        task = progress.add_task("starting", total=None)

        def tell(words: str, done: int, of: int) -> None:
            progress.update(task, description=words, completed=done, total=of or None)

        story = Demo(args.model, args.out, now, tell).play(args.study)
    _show(story, args.out)
    # Somebody's own study may rightly be not analysed; the sample was made to show everything.
    lacking = [role for role in SHOWN if role not in story.files] if args.study is None else []
    if story.good and not lacking:
        _clean(args.out)
        return 0
    print(f"{_trouble(story, lacking)}; see {args.out / 'node.log'}", file=sys.stderr)
    return 1


def _show(story: "Story", out: Path) -> None:
    study, infer, delivery = story.study, story.infer, story.delivery
    rows: list[tuple[object, ...]] = [
        ("received", f"{study.instances} images in {study.series} series", _seconds(study.first_at, study.last_at)),
        ("waited", "for more images", _seconds(study.last_at, infer.created_at)),
        ("inferred", f"{infer.model_id}: {story.outcome}", _seconds(infer.created_at, infer.finished_at)),
        ("", story.summary, ""),
    ]
    if delivery is not None:
        sent = ", ".join(role for role, file in story.files.items() if file.suffix == ".dcm") or "nothing"
        rows.append(("delivered", f"{sent} to the PACS", _seconds(delivery.created_at, delivery.finished_at)))
    rows.append(("audit", story.audit_words, ""))
    show_table(("step", "what", "seconds"), rows)
    files = [*story.files.values(), out / "audit.jsonl", out / "node.toml"]
    print(f"\nIn {out}/: {', '.join(file.name for file in files)}")


def _seconds(begin: object, end: object) -> str:
    from datetime import datetime

    both = isinstance(begin, datetime) and isinstance(end, datetime)
    return f"{(end - begin).total_seconds():.1f}" if both else "-"  # type: ignore[operator]


def _trouble(story: "Story", lacking: Sequence[str]) -> str:
    words = [f"{role} did not reach the PACS" for role in story.missing]
    words += [f"the sample study gave no {role}" for role in lacking if role not in story.missing]
    words += [story.infer.reason] if story.outcome == "failed" else []
    words += [] if story.audit_good else [story.audit_words]
    return "ancilla: the demonstration did not succeed: " + "; ".join([*words, *story.troubles] or ["no report arrived"])


def _clean(out: Path) -> None:
    """Results stay; the images and the node's data folder go."""
    for name in ("node", "study", "pacs"):
        shutil.rmtree(out / name, ignore_errors=True)
