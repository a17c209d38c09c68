"""The closed list of preprocessing steps: each turns one slice into the next form of it. Names follow MONAI's."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from domain.errors import PackageError
from inference.channels import chosen_channels
from inference.keys import Table, suggestion
from inference.steps.resize import Image, resize

Slice = npt.NDArray[np.number]
PreStep = Callable[[Slice], Image]


def pre_step(table: Table, size: tuple[int, int], channels: Sequence[str] = ()) -> tuple[PreStep, frozenset[int] | None]:
    """The step a table of ``[[preprocessing]]`` asks for, and which of the ``channels`` it is for (None: all).

    ``size`` is the network's (rows, columns). Raises PackageError.
    """
    name = table.text("step")
    if name not in PREPROCESSING:
        raise PackageError(f"{table.where}: there is no step {name!r}{suggestion(name, PREPROCESSING)}")
    step = PREPROCESSING[name](table, size)
    chosen = chosen_channels(table, channels) if name in OF_VALUES and "channels" in table else None
    table.done()
    return step, chosen


def scale_intensity_range(image: Slice, a_min: float, a_max: float, b_min: float, b_max: float, clip: bool) -> Image:
    """Maps a_min..a_max to b_min..b_max, and clips to that if asked."""
    scaled = (image.astype(np.float32) - np.float32(a_min)) * np.float32((b_max - b_min) / (a_max - a_min)) + np.float32(b_min)
    return np.clip(scaled, np.float32(b_min), np.float32(b_max)) if clip else scaled


def normalize_intensity(image: Slice, subtrahend: float, divisor: float) -> Image:
    """(x - subtrahend) / divisor."""
    return (image.astype(np.float32) - np.float32(subtrahend)) / np.float32(divisor)


def _scale_intensity_range(table: Table, _size: tuple[int, int]) -> PreStep:
    a_min, a_max, b_min, b_max = (table.number(key) for key in ("a_min", "a_max", "b_min", "b_max"))
    clip = table.flag("clip", False)
    if a_min >= a_max or b_min >= b_max:
        raise PackageError(f"{table.where}: 'a_min' must be below 'a_max', and 'b_min' below 'b_max'")
    return lambda image: scale_intensity_range(image, a_min, a_max, b_min, b_max, clip)


def _normalize_intensity(table: Table, _size: tuple[int, int]) -> PreStep:
    subtrahend, divisor = table.number("subtrahend"), table.number("divisor")
    if divisor == 0:
        raise table.wrong("divisor", "a number other than 0")
    return lambda image: normalize_intensity(image, subtrahend, divisor)


def _resize(table: Table, size: tuple[int, int]) -> PreStep:
    mode = table.choice("mode", ("area", "bilinear"))
    return lambda image: resize(image, size, mode)


OF_VALUES = frozenset(("ScaleIntensityRange", "NormalizeIntensity"))  # may be for some of the channels only ("channels")
PREPROCESSING: dict[str, Callable[[Table, tuple[int, int]], PreStep]] = {
    "ScaleIntensityRange": _scale_intensity_range,
    "NormalizeIntensity": _normalize_intensity,
    "Resize": _resize,
}
