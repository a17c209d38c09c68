"""``ancilla worker``: this machine computes for a node on another one."""

import argparse

from domain.errors import ConfigurationError
from node.commands.options import Commands, command, settings_of


def register(commands: Commands) -> None:
    """Add the command."""
    words = "Compute for a node whose [compute] executor is dask; needs the same [compute] address and tls, and its data folder."
    worker = command(commands, "worker", words, _worker)
    worker.add_argument("--port", type=int, default=0, help="where the scheduler reaches this worker; default: any free port")


def _worker(args: argparse.Namespace) -> int:
    from node.config_compute import DASK
    from node.log import start_log

    compute = settings_of(args).compute
    if compute.executor != DASK:
        raise ConfigurationError('compute.executor must be "dask": otherwise a node starts its workers itself')
    from node.cluster_worker import serve

    start_log()
    serve(compute, args.port)
    return 0
