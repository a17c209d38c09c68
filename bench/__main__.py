"""``python -m bench NAME``: our speed beside that of others, measured here and now."""

import argparse
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import priority
from bench.rows import Row, UnmeasurableError, as_json, as_table
from node.worker import SMALL_PAGES

FOLDER = Path("build") / "bench"  # on the disk of the checkout: /tmp may be memory, where a sync costs nothing


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark. Exit status 0 whatever the figures, 1 when something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "name", choices=("cluster", "console", "ingest", "inference", "results", "scale", "sending", "slides", "turnaround")
    )
    parser.add_argument("--json", action="store_true", help="print a list of objects instead of a table")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (5)")
    parser.add_argument("--images", type=int, default=600, help="ingest, sending: objects of half a megabyte (600)")
    parser.add_argument("--small", type=int, default=10_000, help="ingest: objects of two kilobytes (10000)")
    parser.add_argument("--large", type=float, default=2.0, help="ingest: GB of one large object (2)")
    parser.add_argument("--only", default="", help="ingest: nothing but rows in whose name these words occur")
    parser.add_argument("--first", action="store_true", help="what is measured runs before all else (root only)")
    parser.add_argument("--study", type=Path, default=None, help="turnaround: folder of one chest CT series")
    parser.add_argument(
        "--model", default="chest-ct-opacity", help="turnaround, inference: package folder or id of a shipped one"
    )
    parser.add_argument("--tiles", type=int, default=50_000, help="inference: the most tiles through the runner (50000)")
    parser.add_argument("--fields", type=int, default=300, help="slides: fields of a smear (300)")
    parser.add_argument(
        "--studies",
        type=int,
        nargs="+",
        default=[100, 3_000, 30_000],
        help="scale: sizes of archives; console: the largest of them",
    )
    parser.add_argument("--each", type=int, default=100, help="scale, console: images in each study (100)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"where files are written ({FOLDER})")
    options = parser.parse_args(arguments)
    os.environ.setdefault(*SMALL_PAGES)  # as in a worker; NumPy is not imported yet
    if options.first:
        priority.want()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder.resolve(), prefix=f"{options.name}-") as work:
        return report(rows(options, Path(work)), options.json)


def rows(options: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """The rows of the benchmark that was asked for, as they are measured."""
    module = importlib.import_module(f"bench.{options.name}")
    measured: Iterator[Row] = module.measure(options.rounds, *_given(options, folder))
    return measured


def _given(options: argparse.Namespace, folder: Path) -> tuple[Any, ...]:
    """What a benchmark is told beside the number of rounds."""
    told: dict[str, tuple[Any, ...]] = {  # a benchmark that is not here is told its folder
        "console": (max(options.studies), options.each, folder),
        "ingest": (_sizes, folder, options.only),
        "inference": (options.model, folder, options.tiles),
        "scale": (options.studies, options.each, folder),
        "sending": (options.images, folder),
        "slides": (options.fields, folder),
        "turnaround": (options.study, package_of(options.model), folder),
    }
    return tuple(value(options) if value is _sizes else value for value in told.get(options.name, (folder,)))


def _sizes(options: argparse.Namespace) -> Any:
    from bench.ingest import Sizes

    return Sizes(options.images, options.small, int(options.large * 1e9))


def package_of(name: str) -> str:
    """A folder as absolute path, anything else as it is: the node resolves names of shipped packages."""
    return str(Path(name).resolve()) if Path(name).exists() else name


def report(measured: Iterator[Row], json: bool) -> int:
    """Print what could be measured, also when something could not."""
    done: list[Row] = []
    try:
        for row in measured:
            done.append(row)
            theirs = "" if row.theirs is None else f", {row.peer} {row.theirs:.4g}"
            print(f"measured: {row.name}: {row.ours:.4g} {row.unit}{theirs}", file=sys.stderr)  # a long run may be cut off
        failure = ""
    except (UnmeasurableError, AssertionError, OSError) as error:
        failure = str(error)
    print(as_json(done) if json else as_table(done))
    if failure:
        print(f"could not be measured: {failure}", file=sys.stderr)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
