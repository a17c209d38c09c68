"""``ancilla conformance``: what this node, as it is configured, does in terms of DICOM and IHE."""

import argparse

from node.commands.options import Commands, command, settings_of


def register(commands: Commands) -> None:
    """Add the command."""
    command(commands, "conformance", "Print the DICOM Conformance and IHE Integration Statement of this configuration.", _act)


def _act(args: argparse.Namespace) -> int:
    from node.conformance import statement
    from node.loaded import load_models

    settings = settings_of(args)
    print(statement(settings, load_models(settings)), end="")
    return 0
