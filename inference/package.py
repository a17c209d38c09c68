"""Loads a model package, which is data and nothing else, and refuses it with one sentence when anything is not as it should be.

The format is described in docs/model-package.md.
"""

import json
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from domain.errors import PackageError
from domain.results import Segment
from inference import archive
from inference.admission import Contract
from inference.contract import Manifest, Network, Tolerances, read_manifest
from inference.descriptors import read_segments
from inference.images.contract import KINDS
from inference.images.package import ImagePackage
from inference.images.package import understand as understand_images
from inference.keys import Table
from inference.measure import MOST_COMBINATIONS, combinations
from inference.packaged import CARD, Packaged
from inference.plan import Plan, read_plan
from inference.steps.post import PostStep
from inference.steps.pre import PreStep


@dataclass(frozen=True, slots=True)
class Package(Packaged):
    """A model package in memory. ``digest`` is the SHA-256 (hex) of its ``SHA256SUMS``."""

    digest: str
    manifest: Manifest
    segments: tuple[Segment, ...]
    layer_of: dict[int, int]  # segment number -> layer
    plan: Plan
    files: archive.Files

    @property
    def contract(self) -> Contract:
        """What a series must be like."""
        return self.manifest.contract

    @property
    def network(self) -> Network:
        """How the network is fed and read."""
        return self.manifest.network

    @property
    def preprocessing(self) -> tuple[tuple[PreStep, ...], ...]:
        """Steps for one slice of each series, the last of which is Resize."""
        return self.manifest.preprocessing

    @property
    def postprocessing(self) -> tuple[PostStep, ...]:
        """Steps for the label layers."""
        return self.manifest.postprocessing

    @property
    def tolerances(self) -> Tolerances:
        """For golden cases."""
        return self.manifest.tolerances

    @property
    def layers(self) -> int:
        """Number of label layers."""
        return max(self.layer_of.values()) + 1

    @property
    def networks(self) -> tuple[str, ...]:
        """The files of its networks."""
        return (self.network.file,)


AnyPackage = Package | ImagePackage


def load(path: Path) -> AnyPackage:
    """A sealed package (folder or zip); raises PackageError."""
    files = archive.read_files(path)
    digest = archive.verify(files)
    package = understand(files, digest)
    for case in package.golden_cases():
        if f"golden/{case}.json" not in files:
            raise PackageError(f"golden/{case}.json is missing: run 'python -m inference.golden record' first")
    if not package.golden_cases():
        raise PackageError("the package has no golden case (golden/<case>.npz)")
    return package


def understand(files: archive.Files, digest: str = "") -> AnyPackage:
    """The package these files make, seal and golden cases not looked at; raises PackageError."""
    for name in ("package.toml", "segments.json", "report.json", CARD):
        if name not in files:
            raise PackageError(f"{name} is missing")
    about = _parsed(files, "package.toml", tomllib.loads)
    segments, layer_of = read_segments(_parsed(files, "segments.json", json.loads))
    if _kind(about) in KINDS:
        images = understand_images(files, about, _parsed(files, "report.json", json.loads), segments, digest)
        _check_files(images, images.networks)
        return images
    if combinations(layer_of) > MOST_COMBINATIONS:
        raise PackageError("segments.json: too many segments in too many layers")
    manifest = read_manifest(about, layer_of)
    plan = read_plan(_parsed(files, "report.json", json.loads), layer_of, manifest.contract.units)
    package = Package(digest, manifest, _tracked(segments, manifest.about.id, plan), layer_of, plan, files)
    _check_files(package, (package.network.file,))
    return package


def _kind(about: dict[str, object]) -> object:
    """``kind`` of ``[input]``; what has none is a package over volumes."""
    table = about.get("input")
    if not isinstance(table, dict) or "kind" not in table:
        return "volume"
    return Table(table, "package.toml: input").choice("kind", ("volume", *KINDS))


def _tracked(segments: tuple[Segment, ...], package_id: str, plan: Plan) -> tuple[Segment, ...]:
    """A segment is tracked under the name of the finding that tells about it, or else under its number."""
    names = {item.segment: item.name for item in reversed(plan.findings)}
    return tuple(replace(s, tracking_id=f"{package_id}/{names.get(s.number, f'segment-{s.number}')}/1") for s in segments)


def seal(path: Path) -> str:
    """Checks a package folder and writes its ``SHA256SUMS``; gives the digest. Signatures of other contents go.

    Raises PackageError.
    """
    if not path.is_dir():
        raise PackageError("only a folder can be sealed; zip it afterwards if you like")
    files = archive.read_files(path)
    understand(files)
    sums = archive.sums(files)
    if files.get(archive.SUMS) != sums:
        (path / archive.SIGNATURE).unlink(missing_ok=True)  # it was of another package
    (path / archive.SUMS).write_bytes(sums)
    return load(path).digest


def _parsed(files: archive.Files, name: str, parse: Callable[[str], dict[str, object]]) -> dict[str, object]:
    try:
        return parse(files[name].decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise PackageError(f"{name} is not readable: {error}") from error


def _check_files(package: AnyPackage, networks: tuple[str, ...]) -> None:
    needed = {"package.toml", "segments.json", "report.json", CARD}
    for network in networks:
        if not network.endswith((".xml", ".onnx")) or "/" in network:
            raise PackageError("package.toml: network: 'file' must be an .xml (OpenVINO) or .onnx file beside package.toml")
        needed |= {network, network.removesuffix(".xml") + ".bin"} if network.endswith(".xml") else {network}
    small = {archive.int8_file(networks[0])} if package.tolerances.int8 else set()
    small |= {name for network in networks[1:] if (name := archive.int8_file(network)) in package.files}
    needed |= small | {name.removesuffix(".xml") + ".bin" for name in small}
    for name in sorted(needed):
        if name not in package.files:
            raise PackageError(f"{name} is missing")
    golden = {f"golden/{case}{suffix}" for case in package.golden_cases() for suffix in (".npz", ".json")}
    for name in sorted(set(package.files) - needed - golden - {"LICENSE", "NOTICE", archive.SUMS, archive.SIGNATURE}):
        raise PackageError(f"{name} has no place in a model package")


def main(arguments: list[str]) -> int:
    """``seal FOLDER`` or ``check FOLDER|ZIP``."""
    commands: dict[str, Callable[[Path], str]] = {"seal": seal, "check": lambda path: load(path).digest}
    if len(arguments) != 2 or arguments[0] not in commands:
        sys.stderr.write("usage: python -m inference.package seal FOLDER | check FOLDER\n")
        return 2
    try:
        sys.stdout.write(commands[arguments[0]](Path(arguments[1])) + "\n")
    except PackageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
