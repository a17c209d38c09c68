"""What ``package.toml`` says of a network that slides over a volume: ``[inferer]``, steps before it, scores to labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from domain.errors import PackageError
from inference.channels import chosen_channels
from inference.keys import Table, suggestion
from inference.windows import intensity, nnunet, spatial
from inference.windows.discrete import Decision
from inference.windows.field import Field, Values

Fields = tuple[Field, ...]  # one for each channel, on one grid
Step = Callable[[Fields], Fields]
SCORES = ("Activations", "Invert", "AsDiscrete")  # the first postprocessing steps, which need scores
_MOST_WINDOW = 512**3


@dataclass(frozen=True, slots=True)
class Inferer:
    """How windows are laid over the volume. ``roi`` has three sizes, one of them 1 where the network is two-dimensional
    (along ``flat``). ``kind`` is MONAI's or nnU-Net's name."""

    kind: str
    roi: tuple[int, int, int]
    flat: int | None
    overlap: tuple[float, float, float]
    mode: str
    sigma_scale: float
    padding: str  # of what is smaller than a window: "constant" (``cval``), "replicate", "reflect"
    cval: float


@dataclass(frozen=True, slots=True)
class Windows:
    """All that ``package.toml`` says of it."""

    inferer: Inferer
    steps: tuple[Step, ...]
    decision: Decision


def read_inferer(table: Table) -> Inferer:
    """The table ``[inferer]``; raises PackageError."""
    kind = table.text("name")
    if kind not in INFERERS:
        raise PackageError(f"{table.where}: there is no inferer {kind!r}{suggestion(kind, INFERERS)}")
    inferer = INFERERS[kind](table)
    table.done()
    if inferer.roi[0] * inferer.roi[1] * inferer.roi[2] > _MOST_WINDOW:
        raise PackageError(f"{table.where}: the window has more than {_MOST_WINDOW} voxels")
    return inferer


def _sliding(table: Table) -> Inferer:
    roi = table.integers("roi_size", 3, 3, 1, 1024)
    return Inferer("SlidingWindowInferer", (roi[0], roi[1], roi[2]), None, *_monai(table))


def _monai(table: Table) -> tuple[tuple[float, float, float], str, float, str, float]:
    overlap = table.number("overlap", 0, 0.95, 0.25)
    mode = table.choice("mode", ("constant", "gaussian"), "constant")
    padding = table.choice("padding_mode", ("constant", "replicate", "reflect"), "constant")
    return (overlap,) * 3, mode, table.number("sigma_scale", 0.01, 1, 0.125), padding, table.number("cval", default=0.0)


def _slices(table: Table) -> Inferer:
    size, flat = table.integers("roi_size", 2, 2, 1, 4096), table.integer("spatial_dim", 0, 2, 2)
    return Inferer("SliceInferer", _with_one(size, flat), flat, *_monai(table))


def _with_one(size: tuple[int, ...], flat: int) -> tuple[int, int, int]:
    roi = [size[0], size[1]]
    roi.insert(flat, 1)
    return roi[0], roi[1], roi[2]


def _simple(table: Table) -> Inferer:
    roi = table.integers("roi_size", 3, 3, 1, 1024)
    return Inferer("SimpleInferer", (roi[0], roi[1], roi[2]), None, (0.0, 0.0, 0.0), "constant", 0.125, "constant", 0.0)


def _nnunet(table: Table) -> Inferer:
    size = table.integers("patch_size", 2, 3, 1, 4096)
    flat = 0 if len(size) == 2 else None
    roi = _with_one(size, 0) if flat == 0 else (size[0], size[1], size[2])
    step = table.number("tile_step_size", 0.1, 1, 0.5)
    weighting = "gaussian" if table.flag("use_gaussian", True) else "constant"
    return Inferer("nnUNetPredictor", roi, flat, (step,) * 3, weighting, 0.125, "constant", 0.0)


INFERERS: dict[str, Callable[[Table], Inferer]] = {
    "SlidingWindowInferer": _sliding,
    "SliceInferer": _slices,
    "SimpleInferer": _simple,
    "nnUNetPredictor": _nnunet,
}


def read_steps(tables: list[Table], channels: Sequence[str] = ()) -> tuple[Step, ...]:
    """``[[preprocessing]]`` of a volume, or of the named ``channels`` of one; raises PackageError."""
    names = [table.take("step") for table in tables]
    if names.count("Orientation") != 1:
        raise PackageError("package.toml: preprocessing: one step, and only one, must be 'Orientation'")
    return tuple(_step(table, channels) for table in tables)


def _step(table: Table, channels: Sequence[str]) -> Step:
    name = table.text("step")
    if name not in STEPS:
        raise PackageError(f"{table.where}: there is no step {name!r} for volumes{suggestion(name, STEPS)}")
    step = STEPS[name](table)
    if name in OF_VALUES and "channels" in table:
        step = _of_some(step, chosen_channels(table, channels))
    table.done()
    return step


def _of_some(step: Step, chosen: frozenset[int]) -> Step:
    """The step for some of the channels; the others stay as they are."""

    def changed(fields: Fields) -> Fields:
        done = iter(step(tuple(field for i, field in enumerate(fields) if i in chosen)))
        return tuple(next(done) if i in chosen else field for i, field in enumerate(fields))

    return changed


def _each(change: Callable[[Field], Field]) -> Step:
    return lambda fields: tuple(change(field) for field in fields)


def _on_values(change: Callable[[Values], Values]) -> Step:
    return _each(lambda field: Field(change(field.values), field.place))


def _on_all_values(change: Callable[[Values], Values]) -> Step:
    """The values of all channels in one array (channels, ...): what is measured of them is measured of all together."""

    def changed(fields: Fields) -> Fields:
        if len(fields) == 1:
            return (Field(change(fields[0].values), fields[0].place),)
        values = change(np.stack([field.values for field in fields]))
        return tuple(Field(one, field.place) for one, field in zip(values, fields, strict=True))

    return changed


def _orientation(table: Table) -> Step:
    axcodes = spatial.read_axcodes(table)
    return _each(lambda field: spatial.orientation(field, axcodes))


def _spacing(table: Table) -> Step:
    pixdim = table.numbers("pixdim", 3, 3, -1, 100)
    mode = table.choice("mode", ("bilinear", "nearest"), "bilinear")
    return _each(lambda field: spatial.spacing(field, pixdim, mode))


def _resize(table: Table) -> Step:
    size, mode = table.integers("spatial_size", 3, 3, 1, 4096), table.choice("mode", ("area", "trilinear", "nearest"), "area")
    return _each(lambda field: spatial.resize(field, size, mode))


def _crop_foreground(table: Table) -> Step:
    margin, k = table.integer("margin", 0, 1000, 0), table.integer("k_divisible", 1, 512, 1)
    smaller = table.flag("allow_smaller", False)
    return lambda fields: spatial.crop_foreground(fields, margin, k, smaller)


def _spatial_pad(table: Table) -> Step:
    size = table.integers("spatial_size", 3, 3, -1, 4096)
    return _each(lambda field: spatial.spatial_pad(field, size))


def _divisible_pad(table: Table) -> Step:
    k = table.integers("k", 3, 3, 1, 512)
    return _each(lambda field: spatial.divisible_pad(field, k))


def _center_crop(table: Table) -> Step:
    size = table.integers("roi_size", 3, 3, -1, 4096)
    return _each(lambda field: spatial.center_spatial_crop(field, size))


def _scale_range(table: Table) -> Step:
    a_min, a_max, b_min, b_max = (table.number(key) for key in ("a_min", "a_max", "b_min", "b_max"))
    clip = table.flag("clip", False)
    if a_min >= a_max or b_min >= b_max:
        raise PackageError(f"{table.where}: 'a_min' must be below 'a_max', and 'b_min' below 'b_max'")
    return _on_values(lambda values: intensity.scale_intensity_range(values, a_min, a_max, b_min, b_max, clip))


def _scale(table: Table) -> Step:
    least, greatest = table.number("minv", default=0.0), table.number("maxv", default=1.0)
    by_channel = table.flag("channel_wise", False)
    return (_on_values if by_channel else _on_all_values)(lambda values: intensity.scale_intensity(values, least, greatest))


def _normalize(table: Table) -> Step:
    subtrahend = table.number("subtrahend") if "subtrahend" in table else None
    divisor = table.number("divisor") if "divisor" in table else None
    nonzero, by_channel = table.flag("nonzero", False), table.flag("channel_wise", False)
    if divisor == 0:
        raise table.wrong("divisor", "a number other than 0")
    on = _on_values if by_channel else _on_all_values
    return on(lambda values: intensity.normalize_intensity(values, subtrahend, divisor, nonzero))


def _ct_normalization(table: Table) -> Step:
    mean, std = table.number("mean"), table.number("std", 0)
    low, high = table.number("percentile_00_5"), table.number("percentile_99_5")
    return _on_values(lambda values: intensity.ct_normalization(values, mean, std, low, high))


def _zscore(table: Table) -> Step:
    use_mask = table.flag("use_mask_for_norm", False)
    if not use_mask:
        return _on_values(intensity.zscore_normalization)

    def changed(fields: Fields) -> Fields:
        inside = intensity.nonzero_mask([field.values for field in fields])
        return tuple(Field(intensity.zscore_normalization(f.values, inside), f.place) for f in fields)

    return changed


def _nnunet_resampling(table: Table) -> Step:
    wanted = table.numbers("spacing", 3, 3, -1, 100)
    order, order_z = table.integer("order", 0, 5, 3), table.integer("order_z", 0, 1, 0)
    return _each(lambda field: nnunet.resample_to_spacing(field, wanted, order, order_z))


# Steps that may be for some of the channels only ("channels"): the others change the grid, which is one for all.
OF_VALUES = frozenset(
    (
        "ScaleIntensityRange",
        "ScaleIntensity",
        "NormalizeIntensity",
        "CTNormalization",
        "ZScoreNormalization",
        "RescaleTo01Normalization",
    )
)
STEPS: dict[str, Callable[[Table], Step]] = {
    "Orientation": _orientation,
    "Spacing": _spacing,
    "Resize": _resize,
    "CropForeground": _crop_foreground,
    "SpatialPad": _spatial_pad,
    "DivisiblePad": _divisible_pad,
    "CenterSpatialCrop": _center_crop,
    "ScaleIntensityRange": _scale_range,
    "ScaleIntensity": _scale,
    "NormalizeIntensity": _normalize,
    "CTNormalization": _ct_normalization,
    "ZScoreNormalization": _zscore,
    "RescaleTo01Normalization": lambda _table: _on_values(intensity.rescale_to_01),
    "CropToNonzero": lambda _table: nnunet.crop_to_nonzero,
    "ResampleToSpacing": _nnunet_resampling,
}


def read_decision(tables: list[Table], labels: tuple[int, ...], layer_of: dict[int, int]) -> tuple[Decision, list[Table]]:
    """The score steps at the head of ``[[postprocessing]]``, and the tables behind them; raises PackageError."""
    head = [table for table in tables if table.take("step") in SCORES]
    names = [str(table.take("step")) for table in head]
    if tables[: len(head)] != head or names.count("AsDiscrete") != 1 or len(set(names)) != len(names):
        raise PackageError(
            "package.toml: postprocessing must begin with Activations (or not), Invert and AsDiscrete, in either order, once each"
        )
    by_name = dict(zip(names, head, strict=True))
    activation = _activation(by_name["Activations"]) if "Activations" in by_name else ""
    if activation and names[0] != "Activations":
        raise PackageError("package.toml: postprocessing: 'Activations' must come first")
    threshold = _threshold(by_name["AsDiscrete"])
    nearest = _nearest(by_name["Invert"], names) if "Invert" in by_name else False
    decision = Decision(activation, threshold, labels, nearest, layer_of)
    _check_layers(decision)
    return decision, tables[len(head) :]


def _activation(table: Table) -> str:
    sigmoid, softmax = table.flag("sigmoid", False), table.flag("softmax", False)
    if sigmoid == softmax:
        raise PackageError(f"{table.where}: exactly one of 'sigmoid' and 'softmax' must be true")
    table.done()
    return "sigmoid" if sigmoid else "softmax"


def _threshold(table: Table) -> float | None:
    argmax = table.flag("argmax", False)
    threshold = table.number("threshold") if "threshold" in table else None
    if argmax == (threshold is not None):
        raise PackageError(f"{table.where}: exactly one of 'argmax' and 'threshold' must be there")
    table.done()
    return threshold


def _nearest(table: Table, names: list[str]) -> bool:
    nearest = table.flag("nearest_interp", names.index("Invert") > names.index("AsDiscrete"))
    table.done()
    if not nearest and names.index("Invert") > names.index("AsDiscrete"):
        raise table.wrong("nearest_interp", "true where 'Invert' comes after 'AsDiscrete': labels have nothing between them")
    return nearest


def _check_layers(decision: Decision) -> None:
    layers = {decision.layer_of[label] for label in decision.labels}
    if decision.threshold is None and len(layers) != 1:
        raise PackageError("package.toml: network: outputs: 'labels' must be segments of one layer where 'argmax' decides")
