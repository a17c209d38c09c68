"""Where the windows of a sliding network lie and how much each voxel of one counts, as MONAI and as nnU-Net have it."""

import itertools
import math

import numpy as np
from scipy import ndimage

from inference.windows.field import Values

Starts = list[tuple[int, int, int]]


def monai_starts(shape: tuple[int, ...], roi: tuple[int, ...], overlap: tuple[float, ...]) -> list[list[int]]:
    """Starts along each axis of SlidingWindowInferer: every int(roi x (1 - overlap)) voxels, the last one moved back inside."""
    found = []
    for n, size, share in zip(shape, roi, overlap, strict=True):
        step = size if size == n else max(int(size * (1 - share)), 1)
        count = 1 + max(0, math.ceil((n - size) / step))
        found.append([min(i * step, n - size) for i in range(count)])
    return found


def nnunet_starts(shape: tuple[int, ...], roi: tuple[int, ...], step: float) -> list[list[int]]:
    """Starts along each axis of nnUNetPredictor: evenly spread, at most ``step`` x window apart."""
    found = []
    for n, size in zip(shape, roi, strict=True):
        count = math.ceil((n - size) / (size * step)) + 1
        apart = (n - size) / (count - 1) if count > 1 else 0.0
        found.append([round(i * apart) for i in range(count)])
    return found


def monai_weights(roi: tuple[int, ...], mode: str, sigma_scale: float = 0.125) -> Values:
    """SlidingWindowInferer's importance map: 1, or a Gaussian around the middle that is nowhere below 0.001."""
    if mode == "constant":
        return np.ones(roi, np.float32)
    lines = [np.exp(-((np.arange(n) - (n - 1) / 2) ** 2) / (2 * (n * sigma_scale) ** 2)) for n in roi]
    weights = (lines[0][:, None, None] * lines[1][:, None] * lines[2]).astype(np.float32)
    return np.asarray(np.maximum(weights, max(float(weights.min()), 1e-3)), np.float32)


def nnunet_weights(roi: tuple[int, ...]) -> Values:
    """nnU-Net's: a blurred point in the middle, sigma an eighth of the window, greatest value 10, zeros raised to the least."""
    point = np.zeros(roi, np.float64)
    point[tuple(n // 2 for n in roi)] = 1
    weights = ndimage.gaussian_filter(point, [n / 8 for n in roi], order=0, mode="constant", cval=0)
    weights = weights / weights.max() * 10
    weights[weights == 0] = weights[weights > 0].min()
    return np.asarray(weights, np.float32)


def in_order(starts: list[list[int]], first: int) -> Starts:
    """Every window; those with the same start along axis ``first`` together, in rising order."""
    axes = [first, *(axis for axis in range(3) if axis != first)]
    places = sorted(itertools.product(*starts), key=lambda place: tuple(place[axis] for axis in axes))
    return [(a, b, c) for a, b, c in places]
