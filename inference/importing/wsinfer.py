"""WSInfer models: config.json says everything about tiles of a slide, and three transforms are all there are."""

from typing import Any

from domain.errors import PackageError
from inference.importing import images, networks
from inference.importing.draft import Draft
from inference.importing.graphs import Pictures
from inference.importing.options import Options
from inference.importing.tree import Tree

SOURCE = "WSInfer model"
_KEYS = ("spec_version", "architecture", "num_classes", "patch_size_pixels", "spacing_um_px", "class_names", "transform")


def is_model(tree: Tree) -> bool:
    """Whether there is a config.json of WSInfer."""
    return (
        "config.json" in tree
        and isinstance(data := tree.data("config.json"), dict)
        and {"spec_version", "patch_size_pixels"} <= set(data)
    )


def package(tree: Tree, options: Options) -> Draft:
    """The draft; raises PackageError."""
    config = tree.data("config.json")
    for key in _KEYS:
        if key not in config:
            raise PackageError(f"config.json: {key!r} is missing")
    if str(config["spec_version"]) != "1.0":
        raise PackageError(f"config.json: spec_version {config['spec_version']!r} is not known (1.0)")
    size, steps = _size(config), config["transform"]
    file = options.weights or next(iter(tree.named(".onnx", *networks.TORCH_SUFFIXES)), "")
    if not file:
        raise PackageError(f"{tree.name}: there is no network beside config.json")
    wrapped = Pictures(networks.read(tree, file, [1, 3, size, size]), SOURCE, "NCHW", (size, size))
    _transformed(wrapped, steps, size)
    # A resize brings the patch to the network's size: the scale of tiles changes by as much.
    um = float(config["spacing_um_px"]) * float(config["patch_size_pixels"]) / size
    labels = list(options.labels) or [str(name) for name in config["class_names"]]
    taken = images.Taken([options.modality] if options.modality else ["SM"], "stretch", options.um_per_pixel or um)
    draft = images.classification(SOURCE, options.name or tree.name, wrapped, labels, taken, "", options.output)
    draft.known += [f"{key}: {config[key]}" for key in _KEYS]
    return draft


def _size(config: dict[str, Any]) -> int:
    for step in config["transform"]:
        if isinstance(step, dict) and step.get("name") == "Resize":
            size = (step.get("arguments") or {}).get("size")
            size = size[0] if isinstance(size, list) and size and all(s == size[0] for s in size) else size
            if not isinstance(size, int):
                raise PackageError(f"config.json: transform: Resize to {size!r} is no square")
            return size
    return int(config["patch_size_pixels"])


def _transformed(wrapped: Pictures, steps: Any, size: int) -> None:
    for step in steps:
        name, arguments = step.get("name"), step.get("arguments") or {}
        if name == "ToTensor":
            wrapped.normalised([0.0], [255.0])
        elif name == "Normalize":
            wrapped.normalised([float(v) for v in arguments["mean"]], [float(v) for v in arguments["std"]])
        elif name != "Resize" or not size:
            raise PackageError(f"config.json: transform: {name!r} cannot be represented (Resize, ToTensor, Normalize)")
