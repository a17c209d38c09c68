"""``ancilla init`` and ``ancilla check``: a configuration to start from, and whether it will work."""

import argparse
from dataclasses import asdict
from pathlib import Path

from domain.errors import ConfigurationError
from node.commands.options import Commands, command, settings_of
from node.commands.output import show_json, show_table


def register(commands: Commands) -> None:
    """Add the commands."""
    init = command(commands, "init", "Write a commented node.toml and create the data folder.", _init, config=False)
    init.add_argument("dir", nargs="?", type=Path, default=Path(), metavar="DIR")
    check = command(
        commands, "check", "Check configuration, packages, disk, destinations and golden cases.", _check, listing=True
    )
    check.add_argument("--no-golden", action="store_true", help="do not run the golden cases")


def _init(args: argparse.Namespace) -> int:
    from node.config_template import template

    file = args.dir / "node.toml"
    if file.exists():
        raise ConfigurationError(f"{file} exists already; remove it first or choose another folder")
    args.dir.mkdir(parents=True, exist_ok=True)
    file.write_text(template(), encoding="utf-8")
    data_dir = args.dir / "ancilla-data"
    data_dir.mkdir(mode=0o750, exist_ok=True)
    print(f"wrote {file}; edit [[peer]] and [[destination]], then: ancilla check -c {file}")
    print("when `ancilla serve` runs, its pages are at http://127.0.0.1:8080/")
    return 0


def _check(args: argparse.Namespace) -> int:
    from node.checks import checks
    from node.commands.progress import gather

    settings = settings_of(args)
    results = gather(checks(settings, not args.no_golden), "checking")
    if args.json:
        show_json({"settings": _effective(asdict(settings)), "checks": results})
    else:
        show_table(("key", "value"), _flat("", _effective(asdict(settings))))
        print()
        show_table(("check", "result", "what"), [(r.name, "ok" if r.good else "FAILED", r.words) for r in results])
    return 0 if all(result.good for result in results) else 1


def _effective(settings: dict[str, object]) -> object:
    """Values as they count after defaults; rules become one text per clause."""
    return _simple(settings)


def _simple(value: object) -> object:
    if isinstance(value, dict):
        return {name: _simple(item) for name, item in value.items() if item not in (None, (), [])}
    if isinstance(value, list | tuple):
        return [_simple(item) for item in value]
    return value if isinstance(value, str | int | float | bool) else getattr(value, "pattern", str(value))


def _flat(path: str, value: object) -> list[tuple[str, object]]:
    if isinstance(value, dict):
        return [row for name, item in value.items() for row in _flat(f"{path}.{name}".lstrip("."), item)]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [row for number, item in enumerate(value, 1) for row in _flat(f"{path}[{number}]", item)]
    return [(path, ", ".join(map(str, value)) if isinstance(value, list) else value)]
