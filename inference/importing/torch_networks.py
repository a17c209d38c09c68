"""The only module that touches PyTorch: TorchScript, exported programs, and known architectures with weights. Never in the node.

Weights are read with ``weights_only``; architectures come by name from MONAI or dynamic-network-architectures.
"""

import inspect
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from domain.errors import PackageError
from inference.importing import networks

_NNUNET = ("PlainConvUNet", "ResidualEncoderUNet", "ResidualUNet")


def _torch() -> Any:
    if not networks.torch_is_here():
        raise networks.no_torch()
    return import_module("torch")


def scripted(path: Path, shape: list[int] | None) -> Any:
    """A TorchScript archive or exported program as an OpenVINO model; raises PackageError."""
    torch = _torch()
    try:
        if path.suffix == ".pt2":
            return _exported(torch.export.load(path), path.name)
        return _converted(torch.jit.load(path, map_location="cpu").eval(), shape, path.name)
    except (RuntimeError, ValueError, KeyError, OSError, AttributeError) as error:
        raise PackageError(f"{path.name} is neither TorchScript nor an exported program ({type(error).__name__})") from error


def _converted(module: Any, shape: list[int] | None, name: str) -> Any:
    if shape is None:
        raise PackageError(f"{name}: a PyTorch network does not say the size of its input: give it with --size")
    torch = _torch()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        example = torch.zeros(shape)
        try:
            model = ov.convert_model(module, example_input=example, input=[ov.PartialShape(shape)])
        except Exception as error:
            raise PackageError(f"{name}: OpenVINO cannot convert this network ({type(error).__name__})") from error
    return model


def _exported(program: Any, name: str) -> Any:
    """An exported program says the size of its input itself."""
    try:
        return ov.convert_model(program)
    except Exception as error:
        raise PackageError(f"{name}: OpenVINO cannot convert this network ({type(error).__name__})") from error


def state_dict(path: Path, keys: tuple[str, ...] = ("model", "state_dict", "network_weights", "net")) -> dict[str, Any]:
    """The tensors of a checkpoint, read without running anything in it; raises PackageError."""
    torch = _torch()
    try:
        with torch.serialization.safe_globals(_plain_numbers()):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        words = f"{path.name} holds more than plain tensors, or is no checkpoint; it was not loaded"
        raise PackageError(words) from error
    for key in keys:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not found or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise PackageError(f"{path.name} has no dictionary of weights")
    return {str(key).removeprefix("module."): value for key, value in found.items()}


def _plain_numbers() -> list[Any]:
    """Numbers of NumPy that checkpoints log; loading them runs nothing."""
    scalar = import_module("numpy._core.multiarray").scalar
    kinds = (np.float64, np.float32, np.int64, np.bool_)
    return [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *kinds, *(type(np.dtype(kind)) for kind in kinds)]


def monai_network(target: str, arguments: dict[str, Any]) -> Any:
    """A network of ``monai.networks.nets`` by its class name; raises PackageError."""
    torch = _torch()
    try:
        nets = import_module("monai.networks.nets")
    except ImportError as error:
        raise PackageError("MONAI is not installed here; install the extra 'import-torch'") from error
    name = target.rsplit(".", 1)[-1]
    kind = getattr(nets, name, None)
    if target not in (name, f"monai.networks.nets.{name}") or not inspect.isclass(kind) or not issubclass(kind, torch.nn.Module):
        raise PackageError(f"network_def: {target!r} is no network of MONAI but code of the bundle, which is not run")
    known = inspect.signature(kind.__init__).parameters
    arguments = {key: value for key, value in arguments.items() if key != "img_size" or key in known}  # gone since MONAI 1.5
    if "pretrained" in known:
        arguments["pretrained"] = False  # nothing is fetched
    unknown = sorted(set(arguments) - set(known))
    if unknown and not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values()):
        raise PackageError(f"network_def: MONAI's {name} knows no '{unknown[0]}'")
    return _made(kind, arguments, name)


def _made(kind: Any, arguments: dict[str, Any], name: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return kind(**arguments).eval()
    except Exception as error:
        raise PackageError(f"network_def: {name} cannot be built from these arguments ({type(error).__name__})") from error


def filled(network: Any, weights: dict[str, Any], file: str, shape: list[int]) -> Any:
    """The network with its weights as an OpenVINO model; raises PackageError when they do not belong together."""
    own = network.state_dict()
    missing, extra = sorted(set(own) - set(weights)), sorted(set(weights) - set(own))
    if missing or extra:
        which = f"{missing[0]} is missing" if missing else f"{extra[0]} is too much"
        raise PackageError(f"{file}: these are not the weights of this architecture: {which}")
    wrong = next((key for key in own if tuple(own[key].shape) != tuple(weights[key].shape)), None)
    if wrong:
        raise PackageError(f"{file}: {wrong} has another shape than this architecture's")
    network.load_state_dict(weights)
    return _converted(network, shape, file)


def nnunet_network(class_name: str, arguments: dict[str, Any], imports: tuple[str, ...], channels: int, classes: int) -> Any:
    """An architecture of nnU-Net's plans; ``imports`` are the arguments that name layers of ``torch.nn``. Raises PackageError."""
    torch = _torch()
    name = class_name.rsplit(".", 1)[-1]
    if name not in _NNUNET or not class_name.startswith("dynamic_network_architectures."):
        raise PackageError(
            f"plans.json: the architecture {class_name!r} is not one that can be built here ({', '.join(_NNUNET)})"
        )
    try:
        kind = getattr(import_module("dynamic_network_architectures.architectures.unet"), name, None)
    except ImportError as error:
        raise PackageError(
            "dynamic-network-architectures is not installed here: install the extra 'import-torch', or put an ONNX export beside"
        ) from error
    if kind is None:
        raise PackageError(f"dynamic-network-architectures has no {name}")
    ready = {
        key: _module(torch, value, key) if key in imports and value is not None else value for key, value in arguments.items()
    }
    return _made(kind, {"input_channels": channels, "num_classes": classes, **ready, "deep_supervision": False}, name)


def _module(torch: Any, value: Any, key: str) -> Any:
    """``torch.nn.modules.conv.Conv3d`` and its like, by the last name, from torch.nn alone."""
    found = getattr(torch.nn, str(value).rsplit(".", 1)[-1], None) if str(value).startswith("torch.nn.") else None
    if not inspect.isclass(found) or not issubclass(found, torch.nn.Module):
        raise PackageError(f"plans.json: {key} = {value!r} is no layer of torch.nn")
    return found
