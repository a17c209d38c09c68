"""``ancilla models accept``, ``bench`` and ``quantize``: whether packages run on this CPU, how fast, and their INT8 form."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.errors import ConfigurationError, PackageError
from node.commands.options import Commands, actor, command
from node.commands.output import show_json, show_pairs, show_table
from node.commands.progress import steps

if TYPE_CHECKING:
    from domain.acceptance import Acceptance
    from node.config import Settings

COLUMNS = ("package", "precision", "golden cases", "items/s", "streams", "batch", "chosen")


def register(group: Commands) -> None:
    """Add the commands to the group ``models``."""
    words = "Run the golden cases in every precision of this CPU, choose the fastest that agrees, remember it for the node."
    accept = command(group, "accept", words, _accept, listing=True)
    accept.add_argument("package", metavar="PACKAGE", nargs="*", help="default: those of node.toml, or all shipped ones")
    words = "How fast the network of a package is on this CPU, in every precision; nothing is remembered."
    bench = command(group, "bench", words, _bench, config=False, listing=True)
    bench.add_argument("package", metavar="PACKAGE", nargs="*", help="default: all that came with this version")
    bench.add_argument("--threads", type=int, default=0, help="default: all cores")
    words = "Make the INT8 form of a package's network with NNCF (extra 'train') and seal the package again."
    quantize = command(group, "quantize", words, _quantize, config=False, listing=True)
    quantize.add_argument("package", metavar="PACKAGE", type=Path, help="folder or .zip")
    quantize.add_argument("--out", type=Path, metavar="DIR", help="write a new package there; default: into the folder itself")
    words = "folders of DICOM files to look at beside the golden cases"
    quantize.add_argument("--cases", type=Path, nargs="+", default=[], metavar="DIR", help=words)


def _accept(args: argparse.Namespace) -> int:
    settings = _settings(args.config)
    if settings is None and not args.package:
        raise ConfigurationError(f"{args.config} does not exist; name a package, or the configuration with -c")
    paths = _paths(args.package, settings)
    precision, threads = (settings.compute.precision, settings.compute.threads) if settings else ("auto", 0)
    found = _tried(paths, precision, threads)
    if settings is not None:
        _keep(settings, found)
    _show(args.json, found)
    return 0 if all(isinstance(one, tuple) and _runs(one[1], precision) for one in found) else 1


def _bench(args: argparse.Namespace) -> int:
    found = _tried(_paths(args.package, None), "auto", args.threads)
    _show(args.json, found)
    return 0


def _settings(file: Path) -> "Settings | None":
    from node.config import load

    return load(file) if file.exists() else None


def _paths(names: Sequence[str], settings: "Settings | None") -> list[Path]:
    from node.config import find_package, shipped_packages

    if names:
        return [find_package(name, Path.cwd()) for name in names]
    if settings is not None and settings.models:
        return list(dict.fromkeys(model.package for model in settings.models))
    return list(shipped_packages().values())


def _tried(paths: Sequence[Path], precision: str, threads: int) -> "list[tuple[Path, Acceptance]]":
    from inference.acceptance import accept
    from inference.package import load

    return [(path, accept(load(path), precision, threads)) for path in steps(paths, "trying")]


def _runs(found: "Acceptance", precision: str) -> bool:
    try:
        found.chosen(precision)
    except PackageError:
        return False
    return True


def _keep(settings: "Settings", found: "list[tuple[Path, Acceptance]]") -> None:
    """For the node that -c names; it may be running, and takes it up when it starts the next time."""
    from inference.acceptance import remember
    from node.accepting import told
    from node.commands.options import now

    if not settings.node.data_dir.is_dir():
        raise ConfigurationError(f"node.data_dir {settings.node.data_dir} does not exist; ancilla init makes it")
    from db.engine import open_store
    from domain.audit import Event

    store = open_store(settings.node.database, now)
    for _, acceptance in found:
        remember(settings.node.data_dir, acceptance)
        good = _runs(acceptance, settings.compute.precision)
        store.note(Event.PACKAGE_ACCEPTED if good else Event.PACKAGE_REFUSED, actor(), told(acceptance))


def _show(as_json: bool, found: "list[tuple[Path, Acceptance]]") -> None:
    if as_json:
        show_json([{"path": path, **_plain(acceptance)} for path, acceptance in found])
        return
    rows = [
        (
            acceptance.package_id,
            trial.precision,
            "agree" if trial.agrees else trial.words,
            f"{trial.per_second:.1f}" if trial.per_second else "",
            trial.streams or "",
            trial.batch if trial.streams else "",
            "yes" if trial.precision == acceptance.precision else "",
        )
        for _, acceptance in found
        for trial in acceptance.trials
    ]
    show_table(COLUMNS, rows, "no model packages")
    for _, acceptance in found:
        if not acceptance.precision:
            print(f"{acceptance.package_id} is refused on this CPU: it fails in FP32")
    for machine in {acceptance.machine for _, acceptance in found}:
        print(f"on {machine}")


def _plain(acceptance: "Acceptance") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(acceptance)


def _quantize(args: argparse.Namespace) -> int:
    from inference.quantizing import quantize
    from inference.source import open_source
    from node.files import find, view

    studies = find(args.cases).by_study().values() if args.cases else ()
    with redirect_stdout(sys.stderr):  # NNCF says how far it is
        made = quantize(args.package, args.out, ([open_source(view(file.path)) for file in files] for files in studies))
    about = {
        "sha256": made.digest,
        "inputs": made.inputs,
        "agreement": round(made.agreement, 4),
        "golden cases": ", ".join(f"{case.case}: agrees" for case in made.cases),
        "path": args.out or args.package,
    }
    (show_json if args.json else show_pairs)(about)
    return 0
