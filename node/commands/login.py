"""``ancilla login``: who may look at the pages of the console, and who may change something there."""

import argparse
from typing import TYPE_CHECKING

from domain.errors import ConfigurationError
from node.commands.options import Commands, command, settings_of

if TYPE_CHECKING:
    from pathlib import Path


def register(commands: Commands) -> None:
    """Add the command."""
    words = "Make a login for the pages of the console, or a new password for it; the password is shown once."
    login = command(commands, "login", words, _login)
    login.add_argument("name", metavar="NAME")
    login.add_argument("--read-only", action="store_true", help="may look, and change nothing (for a scraper of metrics)")
    login.add_argument("--remove", action="store_true", help="take the login away; a running node knows at once")


def _login(args: argparse.Namespace) -> int:
    from node.logins import add_login, remove_login

    file = _file(args)
    if args.remove:
        remove_login(file, args.name)
        print(f"{args.name} may not look at the pages any more")
        return 0
    print(f"{args.name}  {add_login(file, args.name, not args.read_only)}")
    return 0


def _file(args: argparse.Namespace) -> "Path":
    console = settings_of(args).console
    if console is None or console.admin_file is None:
        raise ConfigurationError('console.admin_file is empty: write admin_file = "logins" into [console] first')
    return console.admin_file
