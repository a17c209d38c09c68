"""Networks as files, in OpenVINO's form: ONNX, IR, TensorFlow SavedModel; PyTorch ones only where PyTorch is installed."""

from pathlib import Path
from typing import Any

import openvino as ov

from domain.errors import PackageError
from inference.importing.tree import Tree

TORCH_SUFFIXES = (".pt", ".pth", ".ts", ".pt2")
_NO_TORCH = "PyTorch is not installed here; install the extra 'import-torch', or export the network to ONNX and import that"


def read(tree: Tree, name: str, shape: list[int] | None = None) -> Any:
    """The network in a file (or SavedModel folder) of ``tree``; ``shape`` of its input where the file may not say.

    Raises PackageError.
    """
    if name.endswith(TORCH_SUFFIXES):
        return _torch(tree.path(name), shape)
    path = tree.root / name
    try:
        return ov.Core().read_model(path)
    except (RuntimeError, OSError, ValueError) as error:
        raise PackageError(f"{tree.name}: {name or 'the folder'} is no network that can be read here") from error


def _torch(path: Path, shape: list[int] | None) -> Any:
    from inference.importing import torch_networks

    return torch_networks.scripted(path, shape)


def torch_is_here() -> bool:
    """Whether the extra is installed."""
    from importlib.util import find_spec

    return find_spec("torch") is not None


def no_torch() -> PackageError:
    """What to say where it is not."""
    return PackageError(_NO_TORCH)
