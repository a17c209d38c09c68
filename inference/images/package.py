"""A model package over images, frames or slides in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from domain.errors import PackageError
from domain.results import Segment
from inference.images.contract import Contract, Manifest, Network, Tolerances
from inference.images.manifest import read_manifest
from inference.images.plan import Plan, read_plan
from inference.images.quantity import vocabulary
from inference.packaged import Packaged

TOML, REPORT = "package.toml", "report.json"


@dataclass(frozen=True, slots=True)
class ImagePackage(Packaged):
    """``digest`` is the SHA-256 (hex) of its ``SHA256SUMS``."""

    digest: str
    manifest: Manifest
    segments: tuple[Segment, ...]
    plan: Plan
    files: Mapping[str, bytes]

    @property
    def contract(self) -> Contract:
        """What images must be like."""
        return self.manifest.contract

    @property
    def network(self) -> Network:
        """How the network is fed and read."""
        return self.manifest.network

    @property
    def tolerances(self) -> Tolerances:
        """For golden cases."""
        return self.manifest.tolerances

    @property
    def networks(self) -> tuple[str, ...]:
        """The files of its networks."""
        crops = self.manifest.crops
        return (self.network.file, *((crops.file,) if crops else ()))

    def segment(self, number: int) -> Segment:
        """How a class is described."""
        return self.segments[number - 1]


def understand(
    files: Mapping[str, bytes], about: object, report: object, segments: tuple[Segment, ...], digest: str
) -> ImagePackage:
    """The package these files make; raises PackageError."""
    numbers = tuple(segment.number for segment in segments)
    manifest = read_manifest(about, numbers)
    plan = read_plan(report, vocabulary(manifest, numbers))
    tracked = tuple(replace(s, tracking_id=f"{manifest.about.id}/segment-{s.number}/1") for s in segments)
    package = ImagePackage(digest, manifest, tracked, plan, files)
    for name in package.networks:
        if not name.endswith((".xml", ".onnx")) or "/" in name:
            raise PackageError("package.toml: each 'file' must be an .xml (OpenVINO) or .onnx file beside package.toml")
    return package
