"""What every model package in memory answers in the same way, whatever its network looks at."""

from collections.abc import Mapping
from typing import Final, Protocol

from domain.errors import PackageError
from domain.results import Algorithm, Code
from inference.about import About
from inference.archive import int8_file

CARD: Final = "MODEL_CARD.md"


class _Network(Protocol):
    @property
    def file(self) -> str: ...


class _Tolerances(Protocol):
    @property
    def int8(self) -> bool: ...


class _Manifest(Protocol):
    @property
    def about(self) -> About: ...

    @property
    def network(self) -> _Network: ...

    @property
    def tolerances(self) -> _Tolerances: ...

    @property
    def peak_memory_mb(self) -> int: ...


class Packaged:
    """The part of a package class that reads what is alike in every ``manifest``."""

    __slots__ = ()
    digest: str
    manifest: _Manifest
    files: Mapping[str, bytes]

    @property
    def about(self) -> About:
        """Who says so."""
        return self.manifest.about

    @property
    def id(self) -> str:
        """The identifier that never changes between versions."""
        return self.about.id

    @property
    def version(self) -> str:
        """Three numbers."""
        return self.about.version

    @property
    def name(self) -> str:
        """What people call it."""
        return self.about.name

    @property
    def procedure(self) -> Code:
        """Procedure Reported."""
        return self.about.procedure

    @property
    def card(self) -> str:
        """The model card, for people."""
        return self.files[CARD].decode("utf-8", "replace")

    @property
    def peak_memory(self) -> int:
        """Bytes of resident memory a job needs at most; 0: the package does not say."""
        return self.manifest.peak_memory_mb * 1_000_000

    @property
    def precisions(self) -> tuple[str, ...]:
        """In which precisions there is a network: int8 is a file of its own."""
        return ("fp32", "bf16", "int8") if self.manifest.tolerances.int8 else ("fp32", "bf16")

    def weights(self, precision: str = "fp32", file: str = "") -> tuple[bytes, bytes]:
        """The bytes of a network file (the main one, unless said otherwise) and of its weights (empty for ONNX).

        Raises PackageError when there is no INT8 form of the main network; a second one may do without.
        """
        main = self.manifest.network.file
        name = file or main
        if precision == "int8":
            small = int8_file(name)
            if name == main and not (self.manifest.tolerances.int8 and small in self.files):
                raise PackageError(f"the package {self.id} has no INT8 network; `ancilla models quantize` makes one")
            name = small if small in self.files else name
        return self.files[name], self.files.get(f"{name.removesuffix('.xml')}.bin", b"") if name.endswith(".xml") else b""

    def golden_cases(self) -> tuple[str, ...]:
        """Names of the golden cases."""
        names = (name for name in self.files if name.startswith("golden/") and name.endswith(".npz"))
        return tuple(sorted(name.removeprefix("golden/").removesuffix(".npz") for name in names))

    def algorithm(self, slot: int = 0, precision: str = "") -> Algorithm:
        """Who says so, for a report."""
        about = self.about
        words = (about.manufacturer, about.disclaimer, about.procedure)
        return Algorithm(about.id, about.name, about.version, self.digest, *words, precision, slot)
