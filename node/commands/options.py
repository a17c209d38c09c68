"""Options that several commands share."""

import argparse
import getpass
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from db.store import Store
    from node.config import Settings
    from node.operating import Operating

Commands = Any  # argparse keeps the type of its sub-parsers private
Act = Callable[[argparse.Namespace], int]


def command(
    commands: Commands, name: str, words: str, act: Act, config: bool = True, listing: bool = False
) -> argparse.ArgumentParser:
    """Add one command; ``config`` gives it -c, ``listing`` --json."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=words, description=words)
    if config:
        parser.add_argument("-c", "--config", type=Path, default=Path("node.toml"), metavar="FILE", help="default: ./node.toml")
    if listing:
        parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(act=act)
    return parser


def now() -> datetime:
    """The clock of the node: aware, UTC."""
    return datetime.now(UTC)


def settings_of(args: argparse.Namespace) -> "Settings":
    """The settings that -c names."""
    from node.config import load

    return load(args.config)


def store_of(args: argparse.Namespace) -> "Store":
    """The store of the node that -c names; it may be running."""
    from db.engine import open_store

    settings = settings_of(args)
    if not settings.node.data_dir.is_dir():
        raise ConfigurationError(f"node.data_dir {settings.node.data_dir} does not exist; has this node ever run?")
    return open_store(settings.node.database, now)


def days(word: str) -> float:
    """The type of an option that is a number of days."""
    count = float(word)
    if not 0 <= count <= 36500:
        raise argparse.ArgumentTypeError("must be 0-36500")
    return count


def operating(args: argparse.Namespace) -> "Operating":
    """The operator's moves on the node that -c names."""
    from node.loaded import load_models
    from node.operating import Operating

    settings = settings_of(args)
    return Operating(store_of(args), lambda: settings, lambda: load_models(settings), now)


def actor() -> str:
    """Who types, for the audit log."""
    return f"operator:{getpass.getuser()}"
