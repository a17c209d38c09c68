"""MONAI bundles: configuration and metadata are read as data, weights as tensors; no code of the bundle is run."""

import re
from dataclasses import dataclass
from typing import Any

from domain.errors import PackageError
from inference.importing import images, networks, sequences, transforms, volumes
from inference.importing.constants import Configuration, needed
from inference.importing.draft import Draft
from inference.importing.graphs import Pictures
from inference.importing.options import Options
from inference.importing.transforms import Transform
from inference.importing.tree import Tree
from inference.importing.volumes import Sliding, Step

SOURCE = "MONAI bundle"
_MODALITY = {"CT": "CT", "MR": "MR", "MRI": "MR", "PET": "PT", "PT": "PT", "MAMMOGRAM": "MG"}


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle's configuration and metadata."""

    tree: Tree
    root: str  # folder of the bundle inside the tree, with its /
    configuration: Configuration
    metadata: dict[str, Any]

    def data_format(self, key: str) -> dict[str, Any]:
        """``network_data_format`` of the first input or output."""
        found = self.metadata.get("network_data_format", {})
        table = found.get(key, {}) if isinstance(found, dict) else {}
        first: Any = next(iter(table.values()), {}) if isinstance(table, dict) else {}
        return first if isinstance(first, dict) else {}


def is_bundle(tree: Tree) -> bool:
    """Whether there is a ``configs/metadata.json``."""
    return bool(tree.named("configs/metadata.json"))


def read(tree: Tree) -> Bundle:
    """The bundle in a tree; raises PackageError."""
    metadata_file = tree.named("configs/metadata.json")[0]
    root = metadata_file.removesuffix("configs/metadata.json")
    names = [f"{root}configs/inference.{ending}" for ending in ("json", "yaml", "yml")]
    config = next((name for name in names if name in tree), None)
    if config is None:
        raise PackageError(f"{tree.name}: there is no configs/inference.json or .yaml")
    metadata = tree.data(metadata_file)
    if not isinstance(metadata, dict):
        raise PackageError(f"{tree.name}: configs/metadata.json must be a table")
    return Bundle(tree, root, Configuration(tree.data(config), config.removeprefix(root)), metadata)


def package(tree: Tree, options: Options) -> Draft:
    """The draft of a bundle; raises PackageError with the step or key that cannot be represented."""
    bundle = read(tree)
    if dimensions(bundle) == 3:
        sliding, unknown = volume(bundle, options)
        model = _network(bundle, [1, len(sliding.channels) or 1, *sliding.window], options)
        draft = volumes.package(SOURCE, sliding, model, options.output)
    else:
        draft, unknown = _pictures(bundle, options)
    draft.unknown += unknown
    return _about(draft, bundle)


def dimensions(bundle: Bundle) -> int:
    """3 for volumes (a network that goes slice by slice over one included), 2 for images."""
    definition = bundle.configuration.raw("network_def")
    dims = definition.get("spatial_dims", definition.get("dimensions")) if isinstance(definition, dict) else None
    inferer = bundle.configuration.raw("inferer")
    if isinstance(inferer, dict) and str(inferer.get("_target_", "")).endswith("SliceInferer"):
        return 3
    shape = bundle.data_format("inputs").get("spatial_shape")
    if isinstance(shape, list) and len(shape) in (2, 3):
        return len(shape)
    return (
        2 if dims == 2 or (isinstance(definition, dict) and str(definition.get("_target_")).endswith("TorchVisionFCModel")) else 3
    )


def volume(bundle: Bundle, options: Options) -> tuple[Sliding, list[str]]:
    """How the volume is prepared, cut and put together; and what was assumed."""
    configuration, unknown = bundle.configuration, []
    keys, listed = transforms.joined(transforms.listed(configuration.get("preprocessing"), "preprocessing"))
    channels = _channels(bundle, keys, options)
    names = [one["name"] for one in channels]
    before = [transforms.only_some(transforms.before(t, len(channels) or 1), t, keys, names) for t in listed]
    if not any(step["step"] == "Orientation" for step in before):
        axes = options.orientation or "RAS"
        before.insert(0, {"step": "Orientation", "axcodes": axes})
        unknown.append(f"Orientation of the training images: {axes} was assumed (--orientation); the bundle does not turn them.")
    pixdim = next((step["pixdim"] for step in before if step["step"] == "Spacing"), None)
    behind, moved = transforms.behind(transforms.listed(configuration.get("postprocessing"), "postprocessing"), _ml(pixdim))
    inferer, window = _inferer(Transform(configuration.get("inferer", {"_target_": "SimpleInferer"}), "inferer"), before)
    modality = channels[0]["modality"] if channels else options.modality or _modality(bundle)
    if not any(step["step"] in ("Activations",) for step in behind) and any(step.get("argmax") for step in behind):
        unknown.append("Scores are compared as they are: the bundle has no activation.")
    sliding = Sliding(bundle.metadata.get("name") or bundle.tree.name, modality, window, inferer, before, behind)
    sliding.labels = options.labels or _labels(bundle, volumes.is_argmax(sliding))
    size = [float(p) if p > 0 else 1.5 for p in pixdim or (1.5, 1.5, 2.0)]
    sliding.spacing, sliding.channels = (size[2], size[1], size[0]), channels
    return sliding, unknown + moved


def _channels(bundle: Bundle, keys: list[str], options: Options) -> list[Step]:
    """The series a network sees together, by what the bundle calls them; none for one series. Raises PackageError."""
    count = bundle.data_format("inputs").get("num_channels", 1)
    if not isinstance(count, int) or count < 1:
        raise PackageError("metadata.json: 'num_channels' must be a whole number above 0")
    if keys and len(keys) != count:
        raise PackageError(f"metadata.json: {count} channels, but ConcatItems puts {len(keys)} series together")
    if count == 1:
        return []
    named = bundle.data_format("inputs").get("channel_def", {})
    numbered = isinstance(named, dict) and all(str(key).isdigit() for key in named)
    names = options.channels or keys or ([str(named[key]) for key in sorted(named, key=int)] if numbered else [])
    modality = options.modality or _MODALITY.get(str(bundle.data_format("inputs").get("modality", "")).upper(), "")
    return sequences.channels(names, count, modality, "metadata.json")


def _ml(pixdim: list[float] | None) -> float | None:
    return pixdim[0] * pixdim[1] * pixdim[2] / 1000 if pixdim and all(p > 0 for p in pixdim) else None


def _inferer(t: Transform, before: list[Step]) -> tuple[Step, list[int]]:
    for key in ("sw_batch_size", "sw_device", "progress", "cache_roi_weight_map", "cpu_thresh", "buffer_steps", "buffer_dim"):
        t.take(key)
    found: Step = {"name": t.name}
    if t.name == "SimpleInferer":
        window = _last_size(before)
        found["roi_size"] = window
    elif t.name in ("SlidingWindowInferer", "SliceInferer"):
        window = _sizes(t, 3 if t.name == "SlidingWindowInferer" else 2)
        found |= {"roi_size": window, "overlap": _overlap(t), "mode": str(t.take("mode", "constant"))}
        if t.name == "SliceInferer":
            found["spatial_dim"] = int(t.take("spatial_dim", 0))
        found["padding_mode"] = str(t.take("padding_mode", "constant"))
        found["cval"], found["sigma_scale"] = float(t.take("cval", 0.0)), float(t.take("sigma_scale", 0.125))
    else:
        raise PackageError(f"{t.where} cannot be represented: there is no such inferer")
    t.done()
    return found, window


def _sizes(t: Transform, count: int) -> list[int]:
    value = t.take("roi_size")
    value = [value] * count if isinstance(value, int) else value
    if not isinstance(value, list) or len(value) != count or not all(isinstance(v, int) and v > 0 for v in value):
        raise PackageError(f"{t.where}: 'roi_size' must be {count} sizes above 0")
    return [int(v) for v in value]


def _overlap(t: Transform) -> float:
    value = t.take("overlap", 0.25)
    values = set(value) if isinstance(value, list) else {value}
    if len(values) != 1:
        raise PackageError(f"{t.where}: 'overlap' = {value} differs from axis to axis, which cannot be represented")
    return float(values.pop())


def _last_size(before: list[Step]) -> list[int]:
    sizes = [step.get("spatial_size") or step.get("roi_size") for step in before if {"spatial_size", "roi_size"} & set(step)]
    if not sizes or any(n <= 0 for n in sizes[-1] or [0]):
        raise PackageError("inferer: SimpleInferer over volumes of any size cannot be represented; a Resize must come before it")
    return [int(n) for n in sizes[-1] or []]


def _modality(bundle: Bundle) -> str:
    word = str(bundle.data_format("inputs").get("modality", "")).upper()
    if word not in _MODALITY:
        raise PackageError(f"metadata.json: modality {word!r} is none that DICOM knows: say which with --modality (CT, MR, PT)")
    return _MODALITY[word]


def _labels(bundle: Bundle, argmax: bool) -> list[str]:
    defined = bundle.data_format("outputs").get("channel_def", {})
    if not isinstance(defined, dict) or not all(str(key).isdigit() for key in defined):
        return []
    ordered = [str(defined[key]) for key in sorted(defined, key=int)]
    return ordered[1:] if argmax else ordered


def _network(bundle: Bundle, shape: list[int], options: Options) -> Any:
    """The architecture with its weights, or else what the bundle has exported."""
    definition: Any = bundle.configuration.get("network_def", {})
    definition = definition if isinstance(definition, dict) else {}
    target = str(definition.get("_target_", "no network_def"))
    models = [name for name in bundle.tree.files if name.startswith(f"{bundle.root}models/")]
    weights = options.weights or next((name for name in models if name.endswith("model.pt")), "")
    exported = next((name for ending in (".onnx", ".ts", ".pt2") for name in models if name.endswith(ending)), "")
    own = re.fullmatch(r"(monai\.networks\.nets\.)?\w+", target) is not None
    if own and weights in bundle.tree and networks.torch_is_here():
        from inference.importing import torch_networks

        arguments = {key: needed(value) for key, value in definition.items() if not key.startswith("_")}
        network = torch_networks.monai_network(target, arguments)
        return torch_networks.filled(network, torch_networks.state_dict(bundle.tree.path(weights)), weights, shape)
    if exported:
        return networks.read(bundle.tree, exported, shape)
    if own and weights in bundle.tree:
        raise networks.no_torch()
    if own:
        raise PackageError(f"{bundle.tree.name}: there is no models/model.pt, model.ts or model.onnx")
    raise PackageError(
        f"network_def: {target!r} is code of the bundle, which is not run, and there is no models/model.ts or model.onnx"
    )


def _pictures(bundle: Bundle, options: Options) -> tuple[Draft, list[str]]:
    """A classification of images."""
    configuration, unknown = bundle.configuration, []
    steps = transforms.listed(configuration.get("preprocessing"), "preprocessing")
    size = options.size or _size(bundle, steps, configuration)
    channels = bundle.data_format("inputs").get("num_channels", 3)
    model = _network(bundle, [1, int(channels), *size], options)
    wrapped = Pictures(model, SOURCE, "NCHW", (size[0], size[1]))
    if "LoadImage" in transforms.names(configuration.get("preprocessing")):
        wrapped.turned()
        unknown.append("MONAI reads pictures column by column: rows and columns are exchanged in front of the network.")
    tiles = str(configuration.raw("dataset")).find("WSI") >= 0 or options.um_per_pixel > 0
    for step in steps:
        _picture_step(step, wrapped)
    activation = _picture_activation(configuration)
    modality = [options.modality] if options.modality else _picture_modality(bundle)
    if tiles and not options.um_per_pixel:
        unknown.append("Scale of the tiles: 0.25 micrometres per pixel was assumed (--um-per-pixel).")
    taken = images.Taken(modality, "stretch", (options.um_per_pixel or 0.25) if tiles else 0.0)
    labels = options.labels or _labels(bundle, argmax=False)
    name = bundle.metadata.get("name") or bundle.tree.name
    return images.classification(SOURCE, name, wrapped, labels, taken, activation, options.output), unknown


def _size(bundle: Bundle, steps: list[Transform], configuration: Configuration) -> list[int]:
    for step in steps:
        if step.name == "Resize":
            value = step.take("spatial_size")
            if isinstance(value, list) and len(value) == 2:
                return [int(v) for v in value]
    shape = configuration.get("patch_size") or bundle.data_format("inputs").get("spatial_shape")
    if isinstance(shape, list) and len(shape) == 2 and all(isinstance(v, int) for v in shape):
        return [int(v) for v in shape]
    raise PackageError("the size of the network's input is not said: give it with --size")


def _picture_step(step: Transform, wrapped: Pictures) -> None:
    if step.name == "ScaleIntensity":
        wrapped.stretched(float(step.take("minv", 0.0)), float(step.take("maxv", 1.0)))
        step.must("factor", (None,), None)
        step.must("channel_wise", (False,), False)
    elif step.name == "ScaleIntensityRange":
        a_min, a_max, b_min, b_max = (float(step.take(key)) for key in ("a_min", "a_max", "b_min", "b_max"))
        step.take("clip")
        scale = (a_max - a_min) / (b_max - b_min)
        wrapped.normalised([a_min - b_min * scale], [scale])
    elif step.name == "NormalizeIntensity":
        step.must("channel_wise", (True, "True"), False)
        wrapped.standardised(step.flag("nonzero"))
    elif step.name == "Resize":
        step.take("spatial_size")
        step.must("mode", ("area", "bilinear"), "area")
    else:
        raise PackageError(f"{step.where} cannot be represented for images")
    step.done()


def _picture_activation(configuration: Configuration) -> str:
    steps = transforms.listed(configuration.get("postprocessing"), "postprocessing")
    activation = ""
    for step in steps:
        if step.name == "Activations":
            step.must("other", (None,), None)
            activation = "sigmoid" if step.flag("sigmoid") else "softmax"
        elif step.name != "AsDiscrete":
            raise PackageError(f"{step.where} cannot be represented for classes of an image")
    return activation


def _picture_modality(bundle: Bundle) -> list[str]:
    word = str(bundle.data_format("inputs").get("modality", "")).upper()
    return [_MODALITY[word]] if word in _MODALITY else []


def _about(draft: Draft, bundle: Bundle) -> Draft:
    about = bundle.metadata
    version = str(about.get("version", ""))
    draft.version = version if re.fullmatch(r"\d{1,4}\.\d{1,4}\.\d{1,4}", version) else draft.version
    draft.intended_use = str(about.get("intended_use") or about.get("description") or draft.intended_use)
    draft.manufacturer = str(about.get("authors") or draft.manufacturer)
    for key in ("task", "description", "intended_use", "data_source", "data_type", "eval_metrics", "copyright", "references"):
        if about.get(key):
            draft.known.append(f"{key}: {about[key]}")
    return draft
