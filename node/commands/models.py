"""``ancilla models``: which packages there are, what they say about themselves, whether they are whole."""

import argparse
from pathlib import Path

from domain.errors import PackageError
from node.commands import bring, quality
from node.commands.options import Commands, command
from node.commands.output import show_json, show_pairs, show_table


def register(commands: Commands) -> None:
    """Add the commands."""
    group = commands.add_parser("models", help="Model packages.").add_subparsers(metavar="WHAT", required=True)
    command(group, "list", "Packages that came with this version, and those of node.toml if it is there.", _list, listing=True)
    show = command(group, "show", "What a package says about itself.", _show, config=False, listing=True)
    show.add_argument("package", metavar="PACKAGE", help="folder, .zip or the id of a shipped model")
    verify = command(
        group, "verify", "Check every file and run the golden cases on this CPU.", _verify, config=False, listing=True
    )
    verify.add_argument("package", metavar="PACKAGE", nargs="*", help="default: all that came with this version")
    verify.add_argument(
        "--trusted", metavar="KEY", action="append", default=[], help="it must be signed by one of these public keys"
    )
    quality.register(group)
    bring.register(group)
    verify.add_argument("--files-only", action="store_true", help="do not run the golden cases")


def _list(args: argparse.Namespace) -> int:
    from inference.package import load
    from node.config import load as settings
    from node.config import shipped_packages

    paths = list(shipped_packages().values())
    if args.config.exists():
        paths += [model.package for model in settings(args.config).models]
    rows = []
    for path in dict.fromkeys(paths):
        try:
            package = load(path)
        except PackageError as error:
            rows.append({"id": path.name, "version": "", "digest": "", "path": path, "problem": str(error)})
            continue
        rows.append({"id": package.id, "version": package.version, "digest": package.digest, "path": path, "problem": ""})
    if args.json:
        show_json(rows)
    else:
        cells = [(r["id"], r["version"], str(r["digest"])[:12], r["path"], r["problem"]) for r in rows]
        show_table(("id", "version", "sha256", "path", "problem"), cells, "no model packages")
    return 0


def _show(args: argparse.Namespace) -> int:
    from inference.package import load
    from node.config import find_package

    path = find_package(args.package, Path.cwd())
    package = load(path)
    algorithm = package.algorithm()
    about = {
        "id": package.id,
        "version": package.version,
        "name": algorithm.name,
        "manufacturer": algorithm.manufacturer,
        "procedure": algorithm.procedure.meaning,
        "disclaimer": algorithm.disclaimer,
        "precisions": ", ".join(package.precisions),
        "peak memory": f"{package.peak_memory // 1_000_000} MB" if package.peak_memory else "not said",
        "sha256": package.digest,
        "path": path,
    }
    (show_json if args.json else show_pairs)(about)
    return 0


def _verify(args: argparse.Namespace) -> int:
    from node.checks import verify_package
    from node.commands.progress import gather
    from node.config import find_package, shipped_packages

    paths = [find_package(name, Path.cwd()) for name in args.package] or list(shipped_packages().values())
    results = gather(
        (result for path in paths for result in verify_package(path, not args.files_only, tuple(args.trusted))), "verifying"
    )
    if args.json:
        show_json(results)
    else:
        show_table(
            ("check", "result", "what"), [(r.name, "ok" if r.good else "FAILED", r.words) for r in results], "no model packages"
        )
    return 0 if results and all(result.good for result in results) else 1
