"""The command line: ``ancilla COMMAND``. Errors are one sentence; exit code 2 for usage and configuration, 1 for failure."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from domain.errors import AncillaError, ConfigurationError
from node.commands import (
    admit,
    audit,
    batch,
    conformance,
    demo,
    destinations,
    export,
    jobs,
    lint,
    login,
    look,
    models,
    purge,
    rerun,
    run,
    send,
    serve,
    setup,
    shadow,
    worker,
)

GROUPS = (
    setup,
    serve,
    send,
    admit,
    login,
    demo,
    run,
    batch,
    lint,
    look,
    jobs,
    rerun,
    shadow,
    export,
    purge,
    destinations,
    audit,
    models,
    conformance,
    worker,
)


def parser() -> argparse.ArgumentParser:
    """All commands. Heavy imports wait until a command runs, so that `ancilla --help` is quick."""
    top = argparse.ArgumentParser(prog="ancilla", description="DICOM-native AI node.")
    top.add_argument("--version", action="version", version=f"ancilla {version('ancilla')}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for group in GROUPS:
        group.register(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    args = parser().parse_args(argv)
    try:
        return int(args.act(args))
    except ConfigurationError as error:
        return _say(str(error), 2)
    except AncillaError as error:
        return _say(str(error), 1)
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        return 1
    except OSError as error:
        return _say(f"{error.filename or 'system'}: {error.strerror or type(error).__name__}", 1)
    except KeyboardInterrupt:
        return _say("interrupted", 130)


def _say(words: str, code: int) -> int:
    print(f"ancilla: {words}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
