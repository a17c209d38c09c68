"""What computes: worker processes on this machine, or the workers of a Dask cluster; whoever asks cannot tell them apart."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from node.config_compute import DASK, ComputeSettings

T = TypeVar("T")


class Engine(Protocol):
    """An executor whose tasks can be ended one by one."""

    @property
    def size(self) -> int:
        """How many tasks run at the same time; in a cluster this changes, and may be 0."""

    def submit(self, fn: Callable[..., T], /, *args: Any) -> Future[T]:
        """Run in a worker; ``fn`` may be ``node.pool.Bounded``."""

    def kill(self, future: Future[Any], /) -> bool:
        """End the worker that works on this."""

    def shutdown(self, wait: bool = True) -> None:
        """No new tasks; without ``wait`` those that run are ended now."""


def engine_of(compute: ComputeSettings, folder: Path, sees: Sequence[Path] = (), most: int = 0, patient: bool = False) -> Engine:
    """As configured. Workers of a cluster must be able to read and write ``folder`` and to see the paths ``sees``, by the same
    names; of worker processes there are ``most`` at most (0: as configured). Raises ConfigurationError; ``patient``: not for a
    cluster that is away but has worked before."""
    if compute.executor == DASK:
        from node.cluster import Cluster

        return Cluster(compute, folder, sees, patient)
    from node.pool import Pool

    return Pool(min(most, compute.workers) if most else compute.workers)


@contextmanager
def engine(compute: ComputeSettings, folder: Path, sees: Sequence[Path] = (), most: int = 0) -> Iterator[Engine]:
    """The same for as long as it is needed."""
    made = engine_of(compute, folder, sees, most)
    try:
        yield made
    finally:
        made.shutdown(wait=False)
