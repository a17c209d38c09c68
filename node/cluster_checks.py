"""What ``ancilla check`` looks at in a cluster: the scheduler, each worker, and the golden cases on the CPU of the workers."""

from collections.abc import Iterator
from pathlib import Path

from domain.acceptance import AcceptanceOrder
from domain.errors import AncillaError, ConfigurationError
from inference.package import load
from node.checks import Check, judged
from node.cluster import Cluster
from node.config import Settings
from node.tasks import accept


def in_cluster(settings: Settings, run_golden: bool) -> Iterator[Check]:
    """Scheduler and workers, then every package on them."""
    packages = [model.package for model in settings.models]
    try:
        cluster = Cluster(settings.compute, settings.node.data_dir, packages)
    except ConfigurationError as error:
        yield Check("cluster", False, str(error))
        return
    try:
        yield from _workers(settings, cluster)
        if cluster.size and run_golden:
            yield from (_tried(package, settings, cluster) for package in packages)
    finally:
        cluster.shutdown(wait=False)


def _workers(settings: Settings, cluster: Cluster) -> Iterator[Check]:
    members = cluster.greeted()
    words = f"{settings.compute.address} answers; {cluster.size} of {len(members)} workers can be used"
    yield Check("cluster", cluster.size > 0, words)
    for member in members:
        wrong = "it has not answered" if member.wrong is None else member.wrong
        yield Check(f"worker {member.name}", not wrong, wrong or "sees the data folder and the packages")


def _tried(path: Path, settings: Settings, cluster: Cluster) -> Check:
    compute = settings.compute
    try:
        package = load(path)
        order = AcceptanceOrder(str(path), package.digest, compute.precision, compute.threads, str(settings.node.data_dir), False)
        found = cluster.submit(accept, order).result().acceptance
        return judged(package.id, found, compute.precision, f"the workers ({found.machine})")
    except AncillaError as error:
        return Check(f"golden {path.stem}", False, str(error))
