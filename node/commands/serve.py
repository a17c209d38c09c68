"""``ancilla serve``: the node in the foreground."""

import argparse

from node.commands.options import Commands, command, now, settings_of


def register(commands: Commands) -> None:
    """Add the command."""
    command(commands, "serve", "Run the node in the foreground until SIGTERM or Control-C.", _serve)


def _serve(args: argparse.Namespace) -> int:
    from node.app import serve
    from node.log import start_log

    start_log()
    serve(settings_of(args), now)
    return 0
