"""``import_model``: finds out what a source is, and makes a sealed package of it or says why not."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from domain.errors import PackageError
from inference.importing import bundle, draft, model_api, nnunet, repositories, single, wsinfer
from inference.importing.draft import Draft
from inference.importing.options import Options
from inference.importing.tree import Tree, opened

KINDS: tuple[tuple[str, Callable[[Tree], bool], Callable[[Tree, Options], Draft]], ...] = (
    ("MONAI bundle", bundle.is_bundle, bundle.package),
    ("nnU-Net results folder", nnunet.is_results, nnunet.package),
    ("WSInfer model", wsinfer.is_model, wsinfer.package),
    ("Triton repository", repositories.is_triton, repositories.triton),
    ("OpenVINO Model Server repository", repositories.is_ovms, repositories.ovms),
    ("OpenVINO IR with Model API metadata", model_api.is_model, model_api.package),
    ("single network", single.is_network, single.package),
)


@dataclass(frozen=True, slots=True)
class Imported:
    """What was made: of which kind of source, where, its digest, and what the source left open."""

    source: str
    folder: Path
    digest: str
    known: tuple[str, ...]
    unknown: tuple[str, ...]


def import_model(source: Path, out: Path, options: Options | None = None) -> Imported:
    """A sealed package at ``out`` (which must not exist) from whatever ``source`` is; raises PackageError."""
    chosen = options or Options()
    with opened(source) as tree:
        for name, matches, package in KINDS:
            if matches(tree):
                made = package(tree, chosen)
                made.name = chosen.name or made.name
                digest = draft.write(made, out, chosen.model_id)
                return Imported(name, out, digest, tuple(made.known), tuple(made.unknown))
    kinds = ", ".join(name for name, _, _ in KINDS)
    raise PackageError(
        f"{source.name} is none of the sources that can be imported: {kinds} (ONNX, OpenVINO IR, TensorFlow, PyTorch)"
    )
