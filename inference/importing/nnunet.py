"""nnU-Net v2 results folders: plans and data set as data, weights as tensors, the architecture by its name."""

from typing import Any

from domain.errors import PackageError
from inference.importing import networks, sequences, volumes
from inference.importing.draft import Draft
from inference.importing.options import Options
from inference.importing.tree import Tree
from inference.importing.volumes import Sliding, Step

SOURCE = "nnU-Net v2 results folder"
_RESAMPLING = "resample_data_or_seg_to_shape"


def is_results(tree: Tree) -> bool:
    """Whether there are plans.json and dataset.json."""
    return bool(tree.named("plans.json")) and bool(tree.named("dataset.json"))


def package(tree: Tree, options: Options) -> Draft:
    """The draft; raises PackageError with the key that cannot be represented."""
    plans_file = min(tree.named("plans.json"), key=len)
    root = plans_file.removesuffix("plans.json")
    plans, dataset = _table(tree, plans_file), _table(tree, min(tree.named("dataset.json"), key=len))
    name, configuration = _configuration(plans, root or tree.name, options)
    sliding, unknown = described(plans, dataset, configuration, options)
    sliding.name = str(plans.get("dataset_name", tree.name)).replace("_", " ")
    file, model = _network(tree, root, configuration, sliding, options)
    draft = volumes.package(SOURCE, sliding, model, options.output)
    draft.known += [f"plans: {plans.get('plans_name')}, configuration {name}", f"weights: {file}"]
    for key in ("description", "reference", "licence", "license"):
        if dataset.get(key):
            draft.known.append(f"{key}: {dataset[key]}")
    draft.unknown += [
        *unknown,
        "One fold of the cross-validation is used, without mirroring: nnU-Net averages folds and mirrors.",
    ]
    return draft


def _table(tree: Tree, name: str) -> dict[str, Any]:
    found = tree.data(name)
    if not isinstance(found, dict):
        raise PackageError(f"{tree.name}: {name} must be a table of keys and values")
    return found


def _configuration(plans: dict[str, Any], folder: str, options: Options) -> tuple[str, dict[str, Any]]:
    """The configuration the folder is called after, with what it inherits."""
    known = plans.get("configurations")
    if not isinstance(known, dict) or not known:
        raise PackageError("plans.json: 'configurations' is missing")
    name = options.configuration or folder.strip("/").rsplit("__", 1)[-1]
    if name not in known:
        if len(known) != 1:
            raise PackageError(f"plans.json has the configurations {', '.join(sorted(known))}: say which with --configuration")
        name = next(iter(known))
    found: dict[str, Any] = {}
    parent: Any = name
    for _ in range(len(known)):
        table = known.get(parent)
        if not isinstance(table, dict):
            raise PackageError(f"plans.json: configuration {parent!r} is missing")
        found = {**table, **found}
        parent = table.get("inherits_from")
        if parent is None:
            break
    return name, found


def described(
    plans: dict[str, Any], dataset: dict[str, Any], configuration: dict[str, Any], options: Options
) -> tuple[Sliding, list[str]]:
    """How the volume is prepared, cut and put together; and what was assumed."""
    if configuration.get("previous_stage"):
        raise PackageError("plans.json: a cascade (previous_stage) needs two networks in turn, which cannot be represented")
    names = _channel_names(dataset)
    channels = (
        sequences.channels(options.channels or names, len(names), options.modality, "dataset.json") if len(names) > 1 else []
    )
    axes = options.orientation or "RAS"
    patch = [int(n) for n in configuration.get("patch_size", [])]
    before: list[Step] = [{"step": "Orientation", "axcodes": _axes(axes, plans.get("transpose_forward", [0, 1, 2]))}]
    before += [{"step": "CropToNonzero"}, *_normalisations(plans, configuration, [one["name"] for one in channels])]
    spacing = _resampling(configuration, before)
    inferer: Step = {"name": "nnUNetPredictor", "patch_size": patch, "tile_step_size": 0.5, "use_gaussian": True}
    labels, behind = _labels(dataset)
    modality = channels[0]["modality"] if channels else options.modality or _modality(names[0])
    sliding = Sliding("", modality, patch, inferer, before, behind, list(options.labels) or labels)
    small = [max(s, 0.5) if s > 0 else 2.0 for s in spacing]
    sliding.spacing, sliding.channels = (small[0], small[1], small[2]), channels
    unknown = [
        f"Orientation of the stored training images: {axes} (x, y, z) was assumed (--orientation); nnU-Net does not turn images. "
        "If left and right, or front and back, are exchanged in results, this is why."
    ]
    return sliding, unknown


def _axes(axes: str, order: Any) -> str:
    """Letters of the network's axes: nnU-Net stores (z, y, x) and then transposes."""
    letters = axes[::-1]
    if sorted(order) != [0, 1, 2] or len(letters) != 3:
        raise PackageError("plans.json: 'transpose_forward' must order three axes, and --orientation have three letters")
    return "".join(letters[i] for i in order)


def _channel_names(dataset: dict[str, Any]) -> list[str]:
    """In the order of their numbers."""
    found = dataset.get("channel_names") or dataset.get("modality")
    if not isinstance(found, dict) or not found or not all(str(key).isdigit() for key in found):
        raise PackageError("dataset.json: 'channel_names' must name each channel under its number")
    return [str(found[key]) for key in sorted(found, key=int)]


def _normalisations(plans: dict[str, Any], configuration: dict[str, Any], names: list[str]) -> list[Step]:
    """One step for all channels where it is the same for all of them, else one for each."""
    steps = [_normalisation(plans, configuration, number) for number in range(len(names) or 1)]
    if all(step == steps[0] for step in steps):
        return steps[:1]
    return [step | {"channels": [name]} for step, name in zip(steps, names, strict=True)]


def _normalisation(plans: dict[str, Any], configuration: dict[str, Any], number: int) -> Step:
    schemes, masks = configuration.get("normalization_schemes") or [""], configuration.get("use_mask_for_norm") or [False]
    scheme, masked = str(schemes[min(number, len(schemes) - 1)]), bool(masks[min(number, len(masks) - 1)])
    if scheme == "CTNormalization":
        properties = plans.get("foreground_intensity_properties_per_channel", {}).get(str(number), {})
        keys = ("mean", "std", "percentile_00_5", "percentile_99_5")
        if not all(isinstance(properties.get(key), int | float) for key in keys):
            raise PackageError("plans.json: foreground_intensity_properties_per_channel lacks what CTNormalization needs")
        return {"step": scheme} | {key: float(properties[key]) for key in keys}
    if scheme == "ZScoreNormalization":
        return {"step": scheme, "use_mask_for_norm": masked}
    if scheme == "RescaleTo01Normalization":
        return {"step": scheme}
    if scheme == "RGBTo01Normalization":
        return {"step": "NormalizeIntensity", "subtrahend": 0.0, "divisor": 255.0}
    if scheme == "NoNormalization":
        return {"step": "NormalizeIntensity", "subtrahend": 0.0, "divisor": 1.0}
    raise PackageError(f"plans.json: the normalisation {scheme!r} cannot be represented")


def _resampling(configuration: dict[str, Any], before: list[Step]) -> list[float]:
    function = configuration.get("resampling_fn_data", _RESAMPLING)
    spacing = [float(v) for v in configuration.get("spacing", [])]
    spacing = [-1.0, *spacing] if len(spacing) == 2 else spacing
    if len(spacing) != 3:
        raise PackageError("plans.json: 'spacing' must be two or three numbers")
    if function == "no_resampling_data_or_seg_to_shape":
        return spacing
    if function != _RESAMPLING:
        raise PackageError(f"plans.json: resampling_fn_data = {function!r} cannot be represented")
    arguments = configuration.get("resampling_fn_data_kwargs", {})
    if arguments.get("force_separate_z") is not None:
        raise PackageError("plans.json: force_separate_z cannot be represented")
    step = {"step": "ResampleToSpacing", "spacing": spacing}
    before.append(step | {"order": int(arguments.get("order", 3)), "order_z": int(arguments.get("order_z", 0))})
    return spacing


def _labels(dataset: dict[str, Any]) -> tuple[list[str], list[Step]]:
    """Names in the order of channels, and how scores become labels."""
    labels = dataset.get("labels")
    if not isinstance(labels, dict):
        raise PackageError("dataset.json: 'labels' is missing")
    named = {name: value for name, value in labels.items() if name not in ("background", "ignore")}
    if any(isinstance(value, list) for value in named.values()):
        # Regions overlap: each has a channel of its own, in the order they are written.
        return list(named), [{"step": "Activations", "sigmoid": True}, {"step": "AsDiscrete", "threshold": 0.5}]
    numbers = sorted(int(value) for value in named.values())
    if numbers != list(range(1, len(numbers) + 1)):
        raise PackageError("dataset.json: labels must count 1, 2, 3 ... without gaps")
    ordered = sorted(named, key=lambda name: int(named[name]))
    # nnU-Net resamples logits, not probabilities.
    return ordered, [{"step": "Invert", "nearest_interp": False}, {"step": "AsDiscrete", "argmax": True}]


def _modality(word: str) -> str:
    upper = word.upper()
    if upper == "CT":
        return "CT"
    if upper in ("PET", "PT", "SUV"):
        return "PT"
    if any(part in upper for part in ("MR", "T1", "T2", "FLAIR", "ADC", "DWI")):
        return "MR"
    raise PackageError(f"dataset.json: the channel {word!r} is no modality DICOM knows: say which with --modality (CT, MR, PT)")


def _network(
    tree: Tree,
    root: str,
    configuration: dict[str, Any],
    sliding: Sliding,
    options: Options,
) -> tuple[str, Any]:
    """The file the weights came from, and the network: an ONNX export beside it, or the architecture with its checkpoint."""
    exported = options.weights if options.weights.endswith(".onnx") else next(iter(tree.named(".onnx")), "")
    if exported:
        return exported, networks.read(tree, exported)
    fold = f"fold_{options.fold}/" if options.fold else ""
    checkpoints = [n for n in tree.named("checkpoint_final.pth", "checkpoint_best.pth") if n.startswith(root + fold)]
    if not checkpoints:
        raise PackageError(f"{tree.name}: there is no checkpoint_final.pth in a fold, and no .onnx beside the plans")
    if not networks.torch_is_here():
        raise networks.no_torch()
    from inference.importing import torch_networks

    file = options.weights or min(checkpoints, key=lambda name: ("best" in name, name))
    class_name, arguments, imports = architecture(configuration)
    classes = len(sliding.labels) + volumes.is_argmax(sliding)
    network = torch_networks.nnunet_network(class_name, arguments, imports, len(sliding.channels) or 1, classes)
    weights = torch_networks.state_dict(tree.path(file))
    return file, torch_networks.filled(network, weights, file, [1, len(sliding.channels) or 1, *sliding.window])


def architecture(configuration: dict[str, Any]) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Class, arguments and which of them name layers; the older form of plans says the same in other words."""
    found = configuration.get("architecture")
    if isinstance(found, dict):
        return (
            str(found.get("network_class_name")),
            dict(found.get("arch_kwargs", {})),
            tuple(found.get("_kw_requires_import", ())),
        )
    kernels, strides = configuration.get("conv_kernel_sizes"), configuration.get("pool_op_kernel_sizes")
    if not kernels or not strides:
        raise PackageError("plans.json: the configuration has neither 'architecture' nor 'conv_kernel_sizes'")
    dims, stages = len(kernels[0]), len(kernels)
    base, most = int(configuration.get("UNet_base_num_features", 32)), int(configuration.get("unet_max_num_features", 320))
    name = str(configuration.get("UNet_class_name", "PlainConvUNet"))
    per_stage = "n_blocks_per_stage" if name == "ResidualEncoderUNet" else "n_conv_per_stage"
    arguments = {
        "n_stages": stages,
        "features_per_stage": [min(base * 2**i, most) for i in range(stages)],
        "conv_op": f"torch.nn.modules.conv.Conv{dims}d",
        "kernel_sizes": kernels,
        "strides": strides,
        per_stage: configuration.get("n_conv_per_stage_encoder", [2] * stages),
        "n_conv_per_stage_decoder": configuration.get("n_conv_per_stage_decoder", [2] * (stages - 1)),
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dims}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    class_name = f"dynamic_network_architectures.architectures.unet.{name}"
    return class_name, arguments, ("conv_op", "norm_op", "dropout_op", "nonlin")
