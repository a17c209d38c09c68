"""Preprocessing steps that change the values of a volume, not its grid. Names, keys and results are MONAI's and nnU-Net's."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from inference.windows.field import Values


def scale_intensity_range(values: Values, a_min: float, a_max: float, b_min: float, b_max: float, clip: bool) -> Values:
    """Maps a_min..a_max to b_min..b_max, and clips to that if asked (ScaleIntensityRange)."""
    scaled: Values = (values - np.float32(a_min)) / np.float32(a_max - a_min)
    scaled *= np.float32(b_max - b_min)
    scaled += np.float32(b_min)
    return np.clip(scaled, np.float32(b_min), np.float32(b_max), out=scaled) if clip else scaled


def scale_intensity(values: Values, minv: float = 0.0, maxv: float = 1.0) -> Values:
    """Maps the least and the greatest value of the volume to ``minv`` and ``maxv`` (ScaleIntensity)."""
    least, greatest = values.min(), values.max()
    if least == greatest:
        return np.asarray(values * np.float32(minv), np.float32)
    scaled: Values = (values - least) / (greatest - least)
    return np.asarray(scaled * np.float32(maxv - minv) + np.float32(minv), np.float32)


def normalize_intensity(
    values: Values, subtrahend: float | None = None, divisor: float | None = None, nonzero: bool = False
) -> Values:
    """(x - mean) / standard deviation, or the numbers given; of what is not 0 alone if asked (NormalizeIntensity)."""
    inside = values != 0 if nonzero else None
    chosen = values if inside is None else values[inside]
    if not chosen.size:
        return values
    mean = float(chosen.mean(dtype=np.float64)) if subtrahend is None else subtrahend
    spread = float(chosen.std(dtype=np.float64)) if divisor is None else divisor
    scaled = _standard(values, mean, spread or 1.0)
    return scaled if inside is None else np.where(inside, scaled, values)


def _standard(values: Values, mean: float, spread: float) -> Values:
    return np.asarray((values - np.float32(mean)) / np.float32(spread), np.float32)


def ct_normalization(values: Values, mean: float, std: float, lower: float, upper: float) -> Values:
    """nnU-Net's CTNormalization: clipped to the 0.5 and 99.5 percentiles of the training data, then standardised by theirs."""
    return _standard(np.clip(values, np.float32(lower), np.float32(upper)), mean, max(std, 1e-8))


def nonzero_mask(channels: Sequence[Values]) -> npt.NDArray[np.bool_]:
    """What is not 0 in any of the channels, holes filled: what nnU-Net calls the inside of a volume."""
    there = channels[0] != 0
    for values in channels[1:]:
        there |= values != 0
    filled: npt.NDArray[np.bool_] = ndimage.binary_fill_holes(there)
    return filled


def zscore_normalization(values: Values, inside: npt.NDArray[np.bool_] | None = None) -> Values:
    """nnU-Net's ZScoreNormalization: over everything, or over what is ``inside``, where the rest stays as it is."""
    if inside is not None and not inside.any():
        return values
    chosen = values if inside is None else values[inside]
    scaled = _standard(values, float(chosen.mean(dtype=np.float64)), max(float(chosen.std(dtype=np.float64)), 1e-8))
    return scaled if inside is None else np.where(inside, scaled, values)


def rescale_to_01(values: Values) -> Values:
    """nnU-Net's RescaleTo01Normalization."""
    shifted: Values = values - values.min()
    return np.asarray(shifted / np.float32(max(float(shifted.max()), 1e-8)), np.float32)
