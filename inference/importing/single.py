"""One network and nothing else: ONNX, OpenVINO IR, SavedModel, TorchScript, exported program. Most must be assumed."""

import math
from typing import Any

from domain.errors import PackageError
from inference.importing import images, networks, sequences, volumes
from inference.importing.draft import Draft
from inference.importing.graphs import Pictures, fixed, one_input, only_output
from inference.importing.options import Options
from inference.importing.tree import Tree
from inference.importing.volumes import Sliding, Step

SOURCE = "single network"
_SUFFIXES = (".onnx", ".xml", *networks.TORCH_SUFFIXES)


def is_network(tree: Tree) -> bool:
    """Whether there is exactly one network, or a SavedModel."""
    return "saved_model.pb" in tree or len(tree.named(*_SUFFIXES)) == 1


def package(tree: Tree, options: Options) -> Draft:
    """The draft; raises PackageError."""
    name = "" if "saved_model.pb" in tree else tree.named(*_SUFFIXES)[0]
    return of_network(tree, name, options, SOURCE)


def of_network(tree: Tree, name: str, options: Options, source: str, model: Any = None) -> Draft:
    """The draft of the network in a file of ``tree``."""
    model = networks.read(tree, name, _guess(options)) if model is None else model
    title = options.name or (name.rsplit("/", 1)[-1].rsplit(".", 1)[0] if name else tree.name)
    rank = one_input(model, source).get_partial_shape().rank
    rank = rank.get_length() if rank.is_static else 0
    volume = options.kind == "volume" or (not options.kind and rank == 5)
    draft = _volume(model, title, options, source) if volume else _images(model, title, options, source)
    draft.known.append(f"Network: {name or 'TensorFlow SavedModel'}")
    return draft


def _guess(options: Options) -> list[int] | None:
    """The input of a PyTorch network, which does not say it."""
    if not options.size:
        return None
    return (
        [1, len(options.channels) or 1, *options.size]
        if options.kind == "volume" or len(options.size) == 3
        else [1, 3, *options.size]
    )


def _volume(model: Any, title: str, options: Options, source: str) -> Draft:
    partial = model.input(0).get_partial_shape()
    window = options.size or [int(d.get_length()) if d.is_static else 0 for d in list(partial)[2:]]
    if len(window) not in (2, 3) or not all(window):
        raise PackageError(f"{source}: the size of the network's window is not fixed: give it with --size")
    count = int(partial[1].get_length()) if partial[1].is_static else len(options.channels) or 1
    channels = sequences.channels(options.channels, count, options.modality, source) if count > 1 else []
    axes = options.orientation or "RAS"
    before: list[Step] = [{"step": "Orientation", "axcodes": axes}]
    unknown = [
        f"Orientation of the training images: {axes} was assumed (--orientation).",
        "Size of voxels: as acquired; no Spacing.",
    ]
    if options.mean or options.scale:
        before.append(
            {"step": "NormalizeIntensity", "subtrahend": (options.mean or [0.0])[0], "divisor": (options.scale or [1.0])[0]}
        )
    else:
        before.append({"step": "NormalizeIntensity"} | ({"channel_wise": True} if channels else {}))
        unknown.append("Intensities: mean 0 and deviation 1 of each volume were assumed (--mean, --scale).")
    inferer: Step = {"name": "SlidingWindowInferer", "roi_size": window, "overlap": 0.5, "mode": "gaussian"}
    if len(window) == 2:
        inferer = inferer | {"name": "SliceInferer", "spatial_dim": 2}
    shape = fixed(only_output(model, source, options.output)) or [1, 2]
    one = shape[1] == 1
    behind: list[Step] = [{"step": "Activations", "sigmoid": True}, {"step": "AsDiscrete", "threshold": 0.5}]
    if not one:
        behind = [{"step": "Activations", "softmax": True}, {"step": "AsDiscrete", "argmax": True}]
        unknown.append("Channel 0 was taken as background, the greatest score decides.")
    modality = channels[0]["modality"] if channels else options.modality or "CT"
    sliding = Sliding(title, modality, list(window), inferer, before, behind, list(options.labels), channels=channels)
    if not options.modality and not channels:
        unknown.append("Modality: CT was assumed (--modality).")
    draft = volumes.package(source, sliding, model, options.output)
    draft.unknown += unknown
    return draft


def _images(model: Any, title: str, options: Options, source: str) -> Draft:
    size = (options.size[0], options.size[1]) if len(options.size) == 2 else (0, 0)
    wrapped = Pictures(model, source, size=size)
    unknown = ["Shape: whole images, stretched to the input."]
    mean, scale = options.mean or [0.0], options.scale or [255.0]
    wrapped.normalised(mean, scale)
    if not options.mean and not options.scale:
        unknown.append("Values: RGB from 0 to 1 were assumed (--mean, --scale in values of 0 to 255).")
    taken = images.Taken([options.modality] if options.modality else [], "stretch", options.um_per_pixel)
    draft = answered(model, source, title, wrapped, list(options.labels), taken, options.output)
    draft.unknown += unknown
    return draft


def answered(
    model: Any, source: str, title: str, wrapped: Pictures, labels: list[str], taken: images.Taken, output: str
) -> Draft:
    """A classification, label map or detection, by the shape of the answer."""
    shape = fixed(only_output(model, source, output))
    if shape is None:
        raise PackageError(f"{source}: the size of the network's answer is not fixed")
    if math.prod(shape[2:]) == 1 and len(shape) >= 2:
        return images.classification(source, title, wrapped, labels or [f"class {i}" for i in range(shape[1])], taken, "", output)
    if len(shape) == 3 and shape[2] == 6:
        if not labels:
            raise PackageError(f"{source}: the names of the classes of a detector must be given (--labels)")
        return images.detection(source, title, wrapped, labels, taken, wrapped.joined(output), 0.5)
    return images.segmentation(source, title, wrapped, labels, taken, output)
