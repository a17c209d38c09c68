"""The configured models with their packages checked: who they are and which rule they follow."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.errors import ConfigurationError, PackageError
from inference import signature
from inference.channels import Channel
from inference.package import AnyPackage, Package, load
from node.config import ModelSettings, Settings, shipped_packages


@dataclass(frozen=True, slots=True)
class Model:
    """One configured model. ``digest`` pins its package: a job made with it runs with it or not at all."""

    settings: ModelSettings
    package_id: str
    version: str
    digest: str
    peak_memory: int = 0  # bytes a job may need at most; 0: not said
    channels: tuple[Channel, ...] = ()  # the series its network sees together; none: one series, whichever fits


def load_models(settings: Settings) -> tuple[Model, ...]:
    """Every configured package, checked file by file. Raises ConfigurationError that names the key."""
    models: dict[str, Model] = {}
    for entry in settings.models:
        where = f"model[{entry.slot + 1}].package"
        try:
            package = load(entry.package)
            check_signature(entry.package, settings)
        except PackageError as error:
            raise ConfigurationError(f"{where}: {error}") from None
        if package.id in models:
            raise ConfigurationError(
                f'{where}: the model "{package.id}" is configured twice; use one [[model]] with all its send_to'
            )
        models[package.id] = Model(entry, package.id, package.version, package.digest, package.peak_memory, channels_of(package))
    return tuple(models.values())


def check_signature(package: Path, settings: Settings) -> None:
    """Where keys are configured, packages that did not come with the product must be signed by one. Raises PackageError."""
    if settings.trusted_keys and package not in shipped_packages().values():
        signature.check(package, settings.trusted_keys)


def configured(settings: Settings, models: Sequence[Model]) -> dict[str, Any]:
    """What the audit log says about the configuration of a running node: packages, and the SHA-256 (hex) of node.toml."""
    try:
        digest = hashlib.sha256(settings.file.read_bytes()).hexdigest()
    except OSError:
        digest = ""
    return {"models": {model.package_id: model.digest for model in models}, "configuration": digest}


def channels_of(package: AnyPackage) -> tuple[Channel, ...]:
    """The series that the network of a package sees together."""
    return package.manifest.channels if isinstance(package, Package) else ()
