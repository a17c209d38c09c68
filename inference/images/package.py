"""A model package over images, frames or slides in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from domain.errors import PackageError
from domain.results import Algorithm, Code, Segment
from inference.archive import int8_file
from inference.images.contract import Contract, Manifest, Network, Tolerances
from inference.images.manifest import read_manifest
from inference.images.plan import Plan, read_plan
from inference.images.quantity import vocabulary

CARD = "MODEL_CARD.md"
TOML, REPORT = "package.toml", "report.json"


@dataclass(frozen=True, slots=True)
class ImagePackage:
    """``digest`` is the SHA-256 (hex) of its ``SHA256SUMS``."""

    digest: str
    manifest: Manifest
    segments: tuple[Segment, ...]
    plan: Plan
    files: Mapping[str, bytes]

    @property
    def id(self) -> str:
        """The identifier that never changes between versions."""
        return self.manifest.about.id

    @property
    def version(self) -> str:
        """Three numbers."""
        return self.manifest.about.version

    @property
    def name(self) -> str:
        """What people call it."""
        return self.manifest.about.name

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
    def card(self) -> str:
        """The model card, for people."""
        return self.files[CARD].decode("utf-8", "replace")

    @property
    def procedure(self) -> Code:
        """Procedure Reported."""
        return self.manifest.about.procedure

    @property
    def networks(self) -> tuple[str, ...]:
        """The files of its networks."""
        crops = self.manifest.crops
        return (self.network.file, *((crops.file,) if crops else ()))

    def segment(self, number: int) -> Segment:
        """How a class is described."""
        return self.segments[number - 1]

    @property
    def peak_memory(self) -> int:
        """Bytes of resident memory a job needs at most; 0: the package does not say."""
        return self.manifest.peak_memory_mb * 1_000_000

    @property
    def precisions(self) -> tuple[str, ...]:
        """In which precisions there is a network: int8 is a file of its own."""
        return ("fp32", "bf16", "int8") if self.tolerances.int8 else ("fp32", "bf16")

    def weights(self, precision: str = "fp32", file: str = "") -> tuple[bytes, bytes]:
        """The bytes of a network file (the main one, unless said otherwise) and of its weights (empty for ONNX).

        Raises PackageError when there is no INT8 form of the main network; the second one may do without.
        """
        name = file or self.network.file
        small = int8_file(name)
        if precision == "int8" and name == self.network.file and small not in self.files:
            raise PackageError(f"the package {self.id} has no INT8 network; `ancilla models quantize` makes one")
        name = small if precision == "int8" and small in self.files else name
        return self.files[name], self.files.get(f"{name.removesuffix('.xml')}.bin", b"") if name.endswith(".xml") else b""

    def golden_cases(self) -> tuple[str, ...]:
        """Names of the golden cases."""
        names = (name for name in self.files if name.startswith("golden/") and name.endswith(".npz"))
        return tuple(sorted(name.removeprefix("golden/").removesuffix(".npz") for name in names))

    def algorithm(self, slot: int = 0, precision: str = "") -> Algorithm:
        """Who says so."""
        about = self.manifest.about
        return Algorithm(
            about.id,
            about.name,
            about.version,
            self.digest,
            about.manufacturer,
            about.disclaimer,
            about.procedure,
            precision,
            slot,
        )


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
