"""``ancilla batch``: one model over an archive, its results and a table of them into a folder; nothing is sent anywhere."""

import argparse
import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import ConfigurationError, PermanentError
from node.commands.options import Commands, command, now
from node.commands.output import show_json
from node.commands.run import chosen_outputs

if TYPE_CHECKING:
    from concurrent.futures import Future

    from domain.acceptance import Acceptance, Accepted
    from node.archives import Found
    from node.config import Settings
    from node.engine import Engine
    from node.solo import Desk

WORK = ".work"  # below the folder of results: what acceptance found, the compiled network
NOTE = "batch.json"


def register(commands: Commands) -> None:
    """Add the command."""
    words = "Run one model over all studies of an archive; write results and batch.csv. Call it again to go on where it was."
    batch = command(commands, "batch", words, _batch, listing=True)
    batch.add_argument(
        "--model", required=True, metavar="PACKAGE", help="folder, .zip, or the id of a shipped or configured model"
    )
    batch.add_argument("--out", required=True, type=Path, metavar="DIR", help="gets batch.csv and one folder per study")
    batch.add_argument("--outputs", default="sr,seg", help="which results are written, as for `ancilla run`; default: sr,seg")
    batch.add_argument("--precision", default="", choices=("auto", "fp32", "bf16", "int8"), help="default: of [compute]")
    batch.add_argument(
        "--query", action="append", default=[], metavar="KEYWORD=VALUE", help="which studies of an archive; may be repeated"
    )
    words = "folder or .zip file in any layout, URL of a DICOMweb service, or the name of a destination of node.toml"
    batch.add_argument("source", metavar="SOURCE", help=words)


def _batch(args: argparse.Namespace) -> int:
    from inference.package import load
    from node.archives import archive_of
    from node.loaded import check_signature
    from node.lock import DataLock

    settings, outputs = _settings(args.config), chosen_outputs(args.outputs)
    path = _package(args.model, settings)
    package = load(path)
    check_signature(path, settings)
    args.out.mkdir(parents=True, exist_ok=True)
    lock = DataLock(args.out, f"--out: another `ancilla batch` is writing to {args.out}; wait for it or choose another folder")
    try:
        _check_note(args.out, package.id)
        with (
            contextlib.closing(archive_of(args.source, args.out, args.query, settings)) as archive,
            _pool(settings, package.peak_memory, args.out.resolve(), _sees(path, archive)) as pool,
        ):
            accepted = _accepting(args, settings, pool, path, package.digest)
            _look(archive, args.source)
            desk = _desk(args, settings, path, package.digest, outputs, accepted)
            states = _work(args, settings, pool, archive, desk, package.id, package.peak_memory)
    finally:
        lock.release()
    _report(args, archive, states)
    return 1 if states["failed"] else 0


def _sees(package: Path, archive: "Found") -> list[Path]:
    return [package, *([archive.place] if archive.place else [])]


def _settings(file: Path) -> "Settings":
    """Those of the file; without one in this folder, the defaults: a batch needs no node."""
    from node.config import load, parse

    return load(file) if file.exists() or file != Path("node.toml") else parse({}, file.resolve())


def _package(name: str, settings: "Settings") -> Path:
    from inference.package import load
    from node.config import find_package

    try:
        return find_package(name, Path.cwd())
    except ConfigurationError:
        for model in settings.models:
            if load(model.package).id == name:
                return model.package
        raise


def _check_note(out: Path, model: str) -> None:
    """Results of two models would stand in the same folders. Raises ConfigurationError."""
    file = out / NOTE
    try:
        before = str(json.loads(file.read_text(encoding="utf-8"))["model"])
    except FileNotFoundError:
        before = model
        file.write_text(json.dumps({"model": model}), encoding="utf-8")
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigurationError(f"--out: {file} cannot be read; choose another folder") from None
    if before != model:
        raise ConfigurationError(f"--out: {out} holds results of {before}; choose another folder for {model}")


@contextlib.contextmanager
def _pool(settings: "Settings", memory: int, out: Path, sees: Sequence[Path]) -> "Iterator[Engine]":
    """No more workers than have room together; ``memory`` is the peak of one in bytes, 0: nobody says. Raises ConfigurationError
    when the workers of a cluster cannot be used for these folders, or there are none."""
    from node.engine import engine

    room = settings.compute.memory_bytes // memory if memory else settings.compute.workers
    with engine(settings.compute, out, sees, max(1, room)) as pool:
        if not pool.size:
            raise ConfigurationError(
                f"compute.address: no `ancilla worker` that can be used is connected to {settings.compute.address}"
            )
        yield pool


def _accepting(
    args: argparse.Namespace, settings: "Settings", pool: "Engine", path: Path, digest: str
) -> "Future[Accepted] | Acceptance":
    """Whether the package runs on this CPU and how, as for a node; what the node of the configuration knows is taken."""
    from domain.acceptance import AcceptanceOrder
    from inference import acceptance
    from node.config_compute import DASK
    from node.tasks import accept

    precision, threads = args.precision or settings.compute.precision, settings.compute.threads
    here = settings.compute.executor != DASK  # this machine knows nothing of those of a cluster
    known = acceptance.remembered(settings.node.data_dir, digest, threads, precision) if here else None
    order = AcceptanceOrder(str(path), digest, precision, threads, str((args.out / WORK).resolve()))
    return known or pool.submit(accept, order)


def _look(archive: "Found", source: str) -> None:
    from node.commands.progress import bar

    with bar() as progress:
        task = progress.add_task("looking for studies", total=None)
        for seen in archive.look():
            progress.update(task, completed=seen)
    if not archive.studies():
        raise PermanentError(f"there is no DICOM study in {source} ({archive.other + archive.damaged} other files)")


def _desk(
    args: argparse.Namespace,
    settings: "Settings",
    path: Path,
    digest: str,
    outputs: tuple[str, ...],
    accepted: "Future[Accepted] | Acceptance",
) -> "Desk":
    """Raises PackageError when the package may not run on this CPU."""
    from domain.acceptance import Acceptance
    from node.commands.progress import gather
    from node.solo import Desk

    if isinstance(accepted, Acceptance):
        found = accepted
    else:
        [found] = gather((future.result().acceptance for future in (accepted,)), "trying the package")
    way = found.chosen(args.precision or settings.compute.precision)
    return Desk(
        str(path),
        digest,
        str(args.out.resolve()),
        outputs,
        settings.node.institution,
        settings.node.language,
        way.precision,
        settings.compute.threads,
        way.streams,
        way.batch,
    )


def _work(
    args: argparse.Namespace, settings: "Settings", pool: "Engine", archive: "Found", desk: "Desk", model: str, memory: int
) -> Counter[str]:
    from node.batch import Batch, Limits
    from node.commands.progress import bar
    from node.summary import written
    from node.tasks import solve

    limits = Limits(settings.compute.job_timeout_seconds, memory)
    rows = Batch(archive, pool, solve, desk, args.out.resolve(), limits, now).rows()
    states: Counter[str] = Counter()
    with bar() as progress:
        task = progress.add_task("studies", total=len(archive.studies()))
        for row in written(rows, args.out, model, desk.package_digest):
            states[row.state] += 1
            states["kept"] += row.kept
            progress.advance(task)
    return states


def _report(args: argparse.Namespace, archive: "Found", states: Counter[str]) -> None:
    from node.batch import State, tally
    from node.summary import FILE

    studies = sum(states[state] for state in State)
    if args.json:
        counts = {state.value: states[state] for state in State} | {"kept": states["kept"]}
        files = {"other_files": archive.other, "damaged_files": archive.damaged, "damaged": archive.named}
        show_json({"studies": studies, **counts, **files, "table": args.out / FILE})
        return
    print(f"{studies} studies: {tally(states)}; {states['kept']} of them answered by an earlier call")
    if archive.other:
        print(f"{archive.other} files were no DICOM files")
    for name in archive.named:
        print(f"damaged: {name}")
    if archive.damaged > len(archive.named):
        print(f"and {archive.damaged - len(archive.named)} more")
    print(f"table: {args.out / FILE}")
