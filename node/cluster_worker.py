"""``ancilla worker``: takes tasks of a Dask scheduler, for as long as it is let; a scheduler that is away is waited for."""

import asyncio
import os
import signal
import socket
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from domain.errors import ConfigurationError
from node.cluster_link import own_address, security_of
from node.config_compute import ComputeSettings
from node.lane import LANE, Lane, open_lane
from node.log import event, warn

if TYPE_CHECKING:
    from distributed import Security, Worker

PATIENCE: Final = 30.0  # seconds for the scheduler to answer; then it is tried again, and the log says so
PAUSE: Final = 1.0  # before the next try
_LAST_WORDS: Final = 0.5  # for the answer of a task that was ended
_SETTINGS: Final = {
    "distributed.worker.profile.enabled": False,  # it would look at the stack of every thread a hundred times a second
    "distributed.worker.http.routes": [],  # a port that anybody may ask
    "distributed.diagnostics.nvml": False,
}


@dataclass(frozen=True, slots=True)
class _Place:
    """Where this worker is: its certificates, the port it listens on (0: any), a folder that Dask wants."""

    security: "Security | None"
    port: int
    folder: str


def serve(compute: ComputeSettings, port: int = 0) -> None:
    """Work until SIGTERM or SIGINT; ``port`` 0: any. Raises ConfigurationError for certificates that are not good."""
    security = security_of(compute)
    import dask

    with dask.config.set(_SETTINGS), tempfile.TemporaryDirectory(prefix="ancilla-worker-") as folder:
        asyncio.run(_serve(compute, _Place(security, port, folder)))


async def _serve(compute: ComputeSettings, place: _Place) -> None:
    stop, lane = asyncio.Event(), open_lane()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        while not stop.is_set():
            await _work(compute, place, lane, stop)
            await _first(asyncio.sleep(PAUSE), stop.wait())
    finally:
        lane.stop()


async def _work(compute: ComputeSettings, place: _Place, lane: Lane, stop: asyncio.Event) -> None:
    """One connection, from its beginning to its end."""
    if not await _reaches(compute, place, stop):
        return
    lane.instance = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    try:
        worker = _worker(compute, place, lane.instance)
        await _first(worker, stop.wait())
        if not stop.is_set():
            event("connected", scheduler=compute.address, worker=lane.instance)
            await _first(worker.finished(), stop.wait())
            event("disconnected", scheduler=compute.address)
        if stop.is_set():
            await asyncio.to_thread(lane.stop)
            await asyncio.sleep(_LAST_WORDS)
        await worker.close()
    except (OSError, RuntimeError) as error:
        warn("no-scheduler", scheduler=compute.address, error=type(error).__name__)


async def _reaches(compute: ComputeSettings, place: _Place, stop: asyncio.Event) -> bool:
    """Whether the scheduler answers: a Worker would ask ten times a second and not say why. Raises ConfigurationError."""
    from distributed.comm.core import FatalCommClosedError, connect

    shows = place.security.get_connection_args("worker") if place.security else {}
    trying = asyncio.ensure_future(connect(compute.address, timeout=PATIENCE, **shows))
    try:
        await _first(trying, stop.wait())
        if trying.cancelled():
            return False
        await trying.result().close()
        return True
    except FatalCommClosedError:
        words = "one side does not take the certificate of the other"
        raise ConfigurationError(f"compute.tls: {compute.address}: {words}") from None
    except OSError:
        warn("no-scheduler", scheduler=compute.address)
        return False


def _worker(compute: ComputeSettings, place: _Place, name: str) -> "Worker":
    """One task at a time; memory is watched by the lane, where it is used."""
    from distributed import Worker

    return Worker(
        compute.address,
        nthreads=2,
        resources={LANE: 1},
        memory_limit=0,
        name=name,
        security=place.security,
        port=place.port,
        host=own_address(compute.address),
        local_directory=place.folder,
        death_timeout=PATIENCE,
        dashboard=False,
    )


async def _first(*these: Any) -> None:
    """Wait for one of them; the others are not needed any more."""
    tasks = [asyncio.ensure_future(one) for one in these]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()
