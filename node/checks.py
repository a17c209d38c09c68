"""What ``ancilla check`` looks at: each finding is one line that says what is well, or what to do."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from delivery import dicom, dicomweb, syslog
from domain.acceptance import Acceptance, Trial
from domain.destinations import Destination
from domain.errors import AncillaError, PackageError
from domain.repositories import Repository
from inference import acceptance, golden, signature
from inference.package import AnyPackage, load
from node.config import Settings
from node.config_compute import DASK


@dataclass(frozen=True, slots=True)
class Check:
    """One look at one thing."""

    name: str
    good: bool
    words: str


def checks(settings: Settings, run_golden: bool = True) -> Iterator[Check]:
    """Everything about a configuration, the quick things first."""
    yield _data_dir(settings)
    yield from _peers(settings)
    if not settings.models:
        yield Check("model", False, "no [[model]] is configured: studies are stored and never answered")
    for destination in settings.destinations:
        yield _destination(destination)
        yield from _reporting(destination, settings)
    if settings.audit is not None:
        yield _repository(settings.audit)
    for model in settings.models:
        yield from verify_package(model.package, False)
        if model.shadow:
            yield Check(f"model {model.package.stem}", True, "runs in shadow: its answers are kept here, nothing is sent")
        if run_golden and settings.compute.executor != DASK:
            yield from _accepted(model.package, settings)
    if settings.compute.executor == DASK:
        from node.cluster_checks import in_cluster

        yield from in_cluster(settings, run_golden)


def _data_dir(settings: Settings) -> Check:
    folder = settings.node.data_dir
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(there).free
    words = f"{free / 1e9:.1f} GB free at {there}, {settings.scp.reserve_gb:g} GB are kept in reserve"
    return Check("disk", free > settings.scp.reserve_bytes, words)


def _peers(settings: Settings) -> Iterator[Check]:
    if not settings.peers and not settings.scp.admit_unknown:
        yield Check("peer", False, "no [[peer]] is configured and scp.admit_unknown is false: nobody can send")


def _destination(destination: Destination) -> Check:
    name = f"destination {destination.name}"
    if destination.kind == "folder":
        there = Path(destination.path).is_dir() or Path(destination.path).parent.is_dir()
        return Check(
            name, there, f"folder {destination.path}" if there else f"{destination.path} and its parent folder do not exist"
        )
    try:
        if destination.kind == "dicomweb":
            dicomweb.reach(destination)
            return Check(name, True, f"{destination.url} answers")
        dicom.echo(destination)
    except AncillaError as error:
        return Check(name, False, str(error))
    return Check(name, True, f"{destination.ae_title} at {destination.host}:{destination.port} answers C-ECHO")


def _repository(repository: Repository) -> Check:
    try:
        protocol = syslog.reach(repository)
    except AncillaError as error:
        return Check("audit", False, str(error))
    if repository.transport == "udp":
        return Check("audit", True, f"datagrams go to {repository.name}; whether they arrive cannot be known")
    return Check("audit", True, f"{repository.name} takes messages by {protocol}")


def _reporting(destination: Destination, settings: Settings) -> Iterator[Check]:
    """Most archives report a commitment on an association of their own: they must be let in."""
    known = settings.scp.admit_unknown or any(peer.ae_title.strip() == destination.ae_title for peer in settings.peers)
    if destination.commitment and not known:
        words = f"commitment = true, but {destination.ae_title} is no [[peer]]: its reports would be refused at the door"
        yield Check(f"destination {destination.name}", False, words)


def verify_package(path: Path, run_golden: bool = True, trusted: tuple[str, ...] = ()) -> list[Check]:
    """Every file of a package against its SHA-256, then its golden cases on this CPU. One of ``trusted`` must have signed."""
    try:
        package = load(path)
        signed = signature.signers(package.files)
        if trusted:
            signature.check(path, trusted)
    except PackageError as error:
        return [Check(f"package {path.name}", False, str(error))]
    by = f", signed by {', '.join(signed)}" if signed else ""
    whole = Check(f"package {package.id}", True, f"version {package.version}, SHA-256 {package.digest}{by}")
    return [whole, *(_golden(package) if run_golden else ())]


def _accepted(path: Path, settings: Settings) -> list[Check]:
    """The golden cases on this CPU, in every precision the setting allows; remembered for the node where it has a folder."""
    compute, data_dir = settings.compute, settings.node.data_dir
    try:
        package = load(path)
        found = acceptance.remembered(data_dir, package.digest, compute.threads, compute.precision)
        if found is None:
            found = acceptance.accept(package, compute.precision, compute.threads)
            if data_dir.is_dir():
                acceptance.remember(data_dir, found)
        return [judged(package.id, found, compute.precision, "this CPU")]
    except AncillaError as error:
        return [Check(f"golden {path.stem}", False, str(error))]


def judged(package_id: str, found: Acceptance, precision: str, where: str) -> Check:
    """What was tried, in words. Raises PackageError when the package may not run."""
    trial = found.chosen(precision)
    others = ", ".join(f"{other.precision} {_verdict(other)}" for other in found.trials)
    return Check(f"golden {package_id}", True, f"runs in {trial.precision} on {where} ({others})")


def _verdict(trial: Trial) -> str:
    return f"{trial.per_second:.1f}/s" if trial.agrees else f"not accepted: {trial.words}"


def _golden(package: AnyPackage) -> list[Check]:
    try:
        agreements = golden.check(package)
    except AncillaError as error:
        return [Check(f"golden {package.id}", False, str(error))]
    return [Check(f"golden {package.id}/{a.case}", a.agrees, a.words or f"as expected ({a.precision})") for a in agreements]
