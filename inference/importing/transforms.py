"""MONAI transforms of a bundle, by name and constants, as steps of a package; what has no equal here is refused by name."""

from collections.abc import Callable
from typing import Any

from domain.errors import PackageError
from inference.importing.constants import needed
from inference.importing.volumes import Step
from inference.windows.plan import OF_VALUES

# They bring data in or out, or change types, and no value.
_NOTHING = frozenset(
    [
        "LoadImage",
        "EnsureChannelFirst",
        "AsChannelFirst",
        "AddChannel",
        "EnsureType",
        "CastToType",
        "ToTensor",
        "ToNumpy",
        "ToDevice",
        "SaveImage",
        "DeleteItems",
        "Identity",
        "SaveClassification",
        "SimulateDelay",
        "DataStats",
    ]
)


class Transform:
    """One transform: its name without the ending of dictionaries, and its constants, each of which must be asked for."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, dict) or not isinstance(data.get("_target_"), str):
            raise PackageError(f"{where} is no transform with a '_target_'")
        name = data["_target_"].rsplit(".", 1)[-1]
        for ending in ("Dict", "D", "d"):
            if name.endswith(ending) and len(name) > 4:
                name = name.removesuffix(ending)
                break
        self.name, self.where = name, f"{where} ({data['_target_']})"
        self._data = {k: v for k, v in data.items() if k not in _USELESS}
        keys = data.get("keys", [])
        self.keys: list[str] = [keys] if isinstance(keys, str) else [str(key) for key in keys] if isinstance(keys, list) else []

    def take(self, key: str, default: Any = None) -> Any:
        """A constant, and it counts as understood."""
        return needed(self._data.pop(key, default))

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false, also as words."""
        value = self.take(key, default)
        return value.lower() == "true" if isinstance(value, str) else bool(value)

    def three(self, key: str, default: Any = None) -> list[float]:
        """Three numbers, or one for all."""
        value = self.take(key, default)
        value = [value] * 3 if isinstance(value, int | float) else value
        if not isinstance(value, list) or len(value) != 3 or not all(isinstance(v, int | float) for v in value):
            raise PackageError(f"{self.where}: '{key}' must be three numbers")
        return [float(v) for v in value]

    def must(self, key: str, allowed: tuple[Any, ...], default: Any) -> None:
        """Refuses other values of a key."""
        value = self.take(key, default)
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        if value not in allowed:
            raise PackageError(f"{self.where}: '{key}' = {value!r} cannot be represented (only {', '.join(map(repr, allowed))})")

    def done(self) -> None:
        """Refuses keys that nobody asked for."""
        for key, value in self._data.items():
            needed(value)
            raise PackageError(f"{self.where}: '{key}' = {str(value)[:60]!r} cannot be represented")


_USELESS = frozenset(
    [
        "_target_",
        "_disabled_",
        "_requires_",
        "_desc_",
        "keys",
        "allow_missing_keys",
        "dtype",
        "device",
        "lazy",
        "track_meta",
        "data_type",
        "meta_keys",
        "meta_key_postfix",
        "orig_keys",
        "orig_meta_keys",
        "to_tensor",
        "postfix",
        "source_key",
        "image_only",
        "reader",
        "start_coord_key",
        "end_coord_key",
        "transform",
    ]
)


def listed(value: Any, where: str) -> list[Transform]:
    """The transforms of a Compose (or a list) that do anything."""
    items = value.get("transforms", []) if isinstance(value, dict) else value
    if not isinstance(items, list):
        raise PackageError(f"{where} is no list of transforms")
    wanted = [item for item in items if not (isinstance(item, dict) and str(item.get("_disabled_", False)).lower() == "true")]
    found = [Transform(item, f"{where}[{i}]") for i, item in enumerate(wanted)]
    return [transform for transform in found if transform.name not in _NOTHING]


def names(value: Any) -> list[str]:
    """The bare names of all transforms, those that do nothing included."""
    items = value.get("transforms", []) if isinstance(value, dict) else value
    return [Transform(item, "transforms").name for item in items or []]


def before(transform: Transform, channels: int = 1) -> Step:
    """A preprocessing step for so many channels; raises PackageError."""
    if transform.name not in _BEFORE:
        raise PackageError(f"{transform.where} cannot be represented: there is no such step for volumes")
    make = _BEFORE[transform.name]
    step = {"step": transform.name} | (_crop_foreground(transform, channels) if make is _crop_foreground else make(transform))
    transform.done()
    return step


def joined(transforms: list[Transform]) -> tuple[list[str], list[Transform]]:
    """The keys that ConcatItems puts together into one image, in this order (none: there is no such step), and the other steps.

    ResampleToMatch onto the first of them goes too: all series are laid over the first in any case. Raises PackageError.
    """
    at = next((i for i, t in enumerate(transforms) if t.name == "ConcatItems"), None)
    if at is None:
        return [], transforms
    keys = transforms[at].keys
    rest = []
    for number, t in enumerate(transforms):
        if t.name == "ResampleToMatch" and number < at:
            t.must("key_dst", (keys[0],), None)
        elif number != at:
            rest.append(t)
    return keys, rest


def only_some(step: Step, t: Transform, keys: list[str], names: list[str]) -> Step:
    """The step with the channels it is for, where it stands before they are put together and is not for all; PackageError."""
    if not keys:
        return step
    chosen = [name for key, name in zip(keys, names, strict=True) if key in t.keys]
    if not chosen or len(chosen) == len(keys):
        return step
    if step["step"] not in OF_VALUES:
        raise PackageError(f"{t.where} is for some channels only, which cannot be represented: it changes the grid")
    return step | {"channels": chosen}


def _orientation(t: Transform) -> Step:
    canonical = t.flag("as_closest_canonical")
    t.take("labels")
    return {"axcodes": "RAS" if canonical else str(t.take("axcodes", "RAS"))}


def _spacing(t: Transform) -> Step:
    t.must("padding_mode", ("border",), "border")
    t.must("align_corners", (None, False, True), None)
    for key in ("diagonal", "scale_extent"):
        t.must(key, (False,), False)
    t.take("recompute_affine")
    mode = t.take("mode", "bilinear")
    mode = mode[0] if isinstance(mode, list) else mode
    if mode not in ("bilinear", "nearest"):
        raise PackageError(f"{t.where}: 'mode' = {mode!r} cannot be represented")
    return {"pixdim": t.three("pixdim"), "mode": mode}


def _range(t: Transform) -> Step:
    found = {key: float(t.take(key)) for key in ("a_min", "a_max")}
    b_min, b_max = t.take("b_min"), t.take("b_max")
    if b_min is None or b_max is None:
        raise PackageError(f"{t.where}: without 'b_min' and 'b_max' it cannot be represented")
    return found | {"b_min": float(b_min), "b_max": float(b_max), "clip": t.flag("clip")}


def _scale(t: Transform) -> Step:
    t.must("factor", (None,), None)
    found: Step = {"minv": float(t.take("minv", 0.0)), "maxv": float(t.take("maxv", 1.0))}
    return found | ({"channel_wise": True} if t.flag("channel_wise") else {})


def _normalize(t: Transform) -> Step:
    found: Step = {"nonzero": t.flag("nonzero"), "channel_wise": t.flag("channel_wise")}
    for key in ("subtrahend", "divisor"):
        value = t.take(key)
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(value, list):
            raise PackageError(f"{t.where}: '{key}' = {value!r} differs from channel to channel, which cannot be represented")
        if value is not None:
            found[key] = float(value)
    return found


def _crop_foreground(t: Transform, channels: int = 1) -> Step:
    select = t.take("select_fn")
    if select is not None and str(select).replace(" ", "") not in ("$lambdax:x>0",):
        raise PackageError(f"{t.where}: 'select_fn' is code; only 'above 0' can be represented")
    t.must("channel_indices", (None, 0) if channels == 1 else (None,), None)
    t.must("mode", ("constant",), "constant")
    return {
        "margin": int(t.take("margin", 0)),
        "k_divisible": int(t.take("k_divisible", 1)),
        "allow_smaller": t.flag("allow_smaller"),
    }


def _resize(t: Transform) -> Step:
    t.must("size_mode", ("all",), "all")
    t.must("align_corners", (None, False), None)
    t.must("anti_aliasing", (False,), False)
    t.take("anti_aliasing_sigma")
    mode = t.take("mode", "area")
    if mode not in ("area", "trilinear", "nearest"):
        raise PackageError(f"{t.where}: 'mode' = {mode!r} cannot be represented")
    return {"spatial_size": [int(n) for n in t.three("spatial_size")], "mode": mode}


def _pad(t: Transform) -> Step:
    t.must("mode", ("constant",), "constant")
    t.must("method", ("symmetric",), "symmetric")
    t.must("value", (0, None), None)
    return {"spatial_size": [int(n) for n in t.three("spatial_size")]}


def _divisible(t: Transform) -> Step:
    t.must("mode", ("constant",), "constant")
    return {"k": [int(n) for n in t.three("k")]}


def _center(t: Transform) -> Step:
    return {"roi_size": [int(n) for n in t.three("roi_size")]}


_BEFORE: dict[str, Callable[[Transform], Step]] = {
    "Orientation": _orientation,
    "Spacing": _spacing,
    "ScaleIntensityRange": _range,
    "ScaleIntensity": _scale,
    "NormalizeIntensity": _normalize,
    "CropForeground": _crop_foreground,
    "Resize": _resize,
    "SpatialPad": _pad,
    "DivisiblePad": _divisible,
    "CenterSpatialCrop": _center,
}


def behind(transforms: list[Transform], voxel_ml: float | None) -> tuple[list[Step], list[str]]:
    """Postprocessing steps in the order a package has them, and sentences on what changed places.

    ``voxel_ml`` is the size of a voxel of the network's grid, where it is known.
    """
    scores: list[Step] = []
    labels: list[Step] = []
    moved: list[str] = []
    discrete = False
    for transform in transforms:
        name = transform.name
        if name in ("Activations", "AsDiscrete"):
            scores.append({"step": name} | (_activations(transform) if name == "Activations" else _discrete(transform)))
            discrete |= name == "AsDiscrete"
        elif name == "Invert":
            scores.append({"step": "Invert", "nearest_interp": transform.flag("nearest_interp", True) or discrete})
            moved += [f"{step['step']} came before Invert; here it works on the grid of the source." for step in labels]
        elif name in _LABELS:
            labels.append({"step": name} | _LABELS[name](transform, voxel_ml))
        else:
            raise PackageError(f"{transform.where} cannot be represented: there is no such step for labels")
        transform.done()
    if not discrete:
        raise PackageError("postprocessing: there is no AsDiscrete: how scores become labels is not said")
    return scores + labels, moved


def _activations(t: Transform) -> Step:
    t.must("other", (None,), None)
    sigmoid, softmax = t.flag("sigmoid"), t.flag("softmax")
    if sigmoid == softmax:
        raise PackageError(f"{t.where}: exactly one of sigmoid and softmax can be represented")
    return {"sigmoid": True} if sigmoid else {"softmax": True}


def _discrete(t: Transform) -> Step:
    t.take("to_onehot")
    t.take("n_classes")
    t.take("num_classes")
    t.must("rounding", (None,), None)
    argmax, threshold = t.flag("argmax"), t.take("threshold", t.take("logit_thresh"))
    t.take("threshold_values")
    if argmax:
        return {"argmax": True}
    if not isinstance(threshold, int | float):
        raise PackageError(f"{t.where}: neither 'argmax' nor a 'threshold'")
    return {"threshold": float(threshold)}


def _applied(t: Transform) -> Any:
    value = t.take("applied_labels")
    if value is None:
        return "all"
    return [int(v) for v in (value if isinstance(value, list) else [value])]


def _largest(t: Transform, _ml: float | None) -> Step:
    t.must("is_onehot", (None, False), None)
    t.must("independent", (True,), True)
    # MONAI counts corners as touching unless it is told otherwise.
    return {
        "segments": _applied(t),
        "num_components": int(t.take("num_components", 1)),
        "connectivity": int(t.take("connectivity", 3) or 3),
    }


def _small(t: Transform, voxel_ml: float | None) -> Step:
    least, by_measure = float(t.take("min_size", 64)), t.flag("by_measure")
    t.must("independent_channels", (True,), True)
    t.take("pixdim")
    if not by_measure and voxel_ml is None:
        raise PackageError(f"{t.where}: 'min_size' counts voxels of a grid whose size is not known")
    ml = least / 1000 if by_measure else least * (voxel_ml or 0)
    return {"segments": "all", "min_volume_ml": round(ml, 6), "connectivity": int(t.take("connectivity", 1) or 1)}


def _holes(t: Transform, _ml: float | None) -> Step:
    t.take("connectivity")
    return {"segments": _applied(t), "per_slice": False}


_LABELS: dict[str, Callable[[Transform, float | None], Step]] = {
    "KeepLargestConnectedComponent": _largest,
    "RemoveSmallObjects": _small,
    "FillHoles": _holes,
}
