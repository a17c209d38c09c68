"""[compute] and [compute.tls]: where models run, with 0 replaced by what this machine has, or how a Dask scheduler is reached."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from domain.errors import ConfigurationError
from node.config_check import read_section
from node.memory import room

DASK: Final = "dask"
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_ELSEWHERE: Final = ("workers", "memory_gb")  # what each machine of a cluster has for itself


@dataclass(frozen=True, slots=True)
class ClusterTls:
    """PEM files: whose certificates are good, ours with its chain, its key."""

    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class ComputeSettings:
    """[compute]. With executor "dask", ``threads`` 0 means all cores of whatever machine a worker has."""

    executor: str
    workers: int
    threads: int
    precision: str
    job_timeout_seconds: float
    max_attempts: int
    optimistic: bool = True
    cache_gb: float = 2.0
    memory_gb: float = 0.0
    address: str = ""
    tls: ClusterTls | None = None

    @property
    def memory_bytes(self) -> int:
        """How much jobs may need together (1 GB is 10^9 bytes). In a cluster each worker has a machine of its own."""
        if self.executor == DASK:
            return sys.maxsize
        return int(self.memory_gb * 1e9) or room()

    @property
    def cache_bytes(self) -> int:
        """How much of what was computed early is kept (1 GB is 10^9 bytes)."""
        return int(self.cache_gb * 1e9)


def compute_of(given: Mapping[str, Any], folder: Path, cores: int) -> ComputeSettings:
    """The section as it was written, in a file that stands in ``folder``. Raises ConfigurationError."""
    values = read_section("compute", {name: value for name, value in given.items() if name != "tls"}, "compute")
    found = ComputeSettings(**values, tls=_tls(given, folder))
    if found.executor == DASK:
        _check_cluster(found)
        return found
    if found.address or found.tls:
        name = "address" if found.address else "tls"
        raise ConfigurationError(f'compute.{name} has no meaning with compute.executor = "{found.executor}"; remove it')
    # Below four cores there is one worker: two copies of a network would only compete for the same cache.
    workers = found.workers or max(1, cores // 4)
    return replace(found, workers=workers, threads=found.threads or max(1, cores // workers))


def _tls(given: Mapping[str, Any], folder: Path) -> ClusterTls | None:
    if "tls" not in given:
        return None
    if not isinstance(given["tls"], dict):
        raise ConfigurationError("compute.tls must be written [compute.tls]")
    values = read_section("compute.tls", given["tls"], "compute.tls")
    return ClusterTls(**{name: Path(folder / Path(value).expanduser()) for name, value in values.items()})


def _check_cluster(found: ComputeSettings) -> None:
    if not found.address:
        raise ConfigurationError('compute.address is missing: compute.executor = "dask" needs the one of its scheduler')
    where = urlsplit(found.address)
    if where.scheme == "tls" and found.tls is None:
        raise ConfigurationError("[compute.tls] is missing: a scheduler behind tls:// needs its three files")
    if where.scheme == "tcp" and where.hostname not in _LOOPBACK:
        raise ConfigurationError(
            "compute.address must begin with tls:// unless the scheduler is on this machine: "
            "whoever reaches its port without a certificate may run programs"
        )
    if where.scheme == "tcp" and found.tls is not None:
        raise ConfigurationError("[compute.tls] has no meaning with a compute.address that begins with tcp://; remove it")
    for name in _ELSEWHERE:
        if getattr(found, name):
            raise ConfigurationError(
                f'compute.{name} has no meaning with compute.executor = "dask": each `ancilla worker` takes one job at a time'
            )
