"""The configured models with their packages checked: who they are and which rule they follow."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.errors import ConfigurationError, PackageError
from domain.jobs import model_name
from inference import signature
from inference.about import About
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
    about: About | None = None  # who says so, and what readers must know
    card: str = ""  # for people

    @property
    def shadow(self) -> bool:
        """Nothing it answers is sent."""
        return self.settings.shadow

    @property
    def name(self) -> str:
        """What people read; different for every configured model."""
        return model_name(self.package_id, self.shadow)


def load_models(settings: Settings) -> tuple[Model, ...]:
    """Every configured package, checked file by file. Two versions of a package may be there if one runs
    in shadow. Raises ConfigurationError that names the key."""
    models: dict[str, Model] = {}
    for entry in settings.models:
        where = f"model[{entry.slot + 1}].package"
        try:
            package = load(entry.package)
            check_signature(entry.package, settings)
        except PackageError as error:
            raise ConfigurationError(f"{where}: {error}") from None
        named = (package.id, package.version, package.digest, package.peak_memory)
        model = Model(entry, *named, channels_of(package), package.about, package.card)
        _check_beside(model, models, where)
        models[model.name] = model
    return tuple(models.values())


def _check_beside(model: Model, others: Mapping[str, Model], where: str) -> None:
    """Raises ConfigurationError when another one would answer the same studies under the same name or UIDs."""
    if model.name in others:
        hint = "use one [[model]] with all its send_to" if not model.shadow else "one version of it at a time can run in shadow"
        raise ConfigurationError(f'{where}: the model "{model.name}" is configured twice; {hint}')
    if any(other.digest == model.digest for other in others.values()):
        words = f'the same package of "{model.package_id}" is configured live and in shadow; in shadow runs another version of it'
        raise ConfigurationError(f"{where}: {words}")


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
    return {"models": {model.name: model.digest for model in models}, "configuration": digest}


def in_shadow(models: Sequence[Model]) -> frozenset[str]:
    """The packages (digests) of which nothing is sent."""
    return frozenset(model.digest for model in models if model.shadow)


def channels_of(package: AnyPackage) -> tuple[Channel, ...]:
    """The series that the network of a package sees together."""
    return package.manifest.channels if isinstance(package, Package) else ()
