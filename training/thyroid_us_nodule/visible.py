"""Can a reader see this nodule? How much of its border stands out from speckle, in the finished picture.

A nodule as bright and as coarse as the gland about it, without halo or capsule, has no border that anybody could draw. To train
on it teaches noise, and real outlines were drawn by people who saw something. Phantoms below the limit are drawn again.
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

SECTORS = 12
LEAST_SHARE = 0.58  # of the sectors of the border: 7 of 12
LEAST_PIXELS = 160  # of a nodule; smaller ones are slivers at the edge of the picture, or about 2 mm across
CONTRAST, LEVELS = 0.5, 6.0  # inside against outside: in deviations of the speckle, and in grey levels
LINE, LINE_LEVELS = 1.0, 10.0  # a halo or capsule against both sides of it
GRAIN = 1.7  # how much coarser one texture is
SURE, SPECKLE = 2.5, 6.0  # deviations of a mean that are not chance; pixels that one speckle covers
Map = npt.NDArray[np.float32]
Plane = npt.NDArray[np.uint8]


def _signed(mask: npt.NDArray[np.bool_], reach: int) -> tuple[Map, tuple[slice, slice]]:
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    box = (slice(max(0, rows[0] - reach), rows[-1] + reach + 1), slice(max(0, columns[0] - reach), columns[-1] + reach + 1))
    part = np.pad(mask[box], 1, mode="edge")
    inside, outside = ndimage.distance_transform_edt(part), ndimage.distance_transform_edt(~part)
    return (inside - outside)[1:-1, 1:-1].astype(np.float32), box


def _differs(inner: Map, outer: Map, edge: Map) -> int:
    """1 or -1 where the inside is brighter or darker than the outside, 2 where a line or the texture shows the border, else 0."""
    spreads = float(inner.std()), float(outer.std())
    noise = float(np.hypot(*spreads)) / 2**0.5 + 1e-3
    chance = SURE * noise * (SPECKLE * (1 / len(inner) + 1 / len(outer))) ** 0.5
    step = float(inner.mean() - outer.mean())
    line = abs(float(edge.mean() - np.concatenate([inner, outer]).mean()))
    if line >= max(LINE_LEVELS, LINE * noise, SURE * noise * (SPECKLE / len(edge)) ** 0.5):
        return 2
    if max(spreads) >= max(GRAIN * min(spreads), min(spreads) + LEVELS) and min(len(inner), len(outer)) >= 8 * SPECKLE:
        return 2
    return int(np.sign(step)) if abs(step) >= max(LEVELS, CONTRAST * noise, chance) else 0


def border(pixels: Plane, mask: npt.NDArray[np.bool_]) -> float:
    """Share of the border of ``mask`` that can be seen in ``pixels``, 0..1; parts beside the edge of the picture do not count."""
    width = float(np.clip(0.3 * np.sqrt(mask.sum() / np.pi), 3, 10))
    distance, box = _signed(mask, round(width) + 2)
    grey = pixels[box].astype(np.float32)
    rows, columns = np.nonzero(distance > 0)
    y, x = np.mgrid[0 : distance.shape[0], 0 : distance.shape[1]]
    sector = ((np.arctan2(y - rows.mean(), x - columns.mean()) / (2 * np.pi) + 0.5) * SECTORS).astype(int) % SECTORS
    inner, outer, edge = (
        (distance > 1) & (distance <= width + 1),
        (distance < -1) & (distance >= -width - 1),
        np.abs(distance) <= 1.5,
    )
    found = []
    for k in range(SECTORS):
        parts = [grey[(sector == k) & band] for band in (inner, outer, edge)]
        if min(map(len, parts)) >= 6:
            found.append(_differs(*parts))
    counts = [found.count(sign) for sign in (-1, 1)]
    return (max(counts) + found.count(2)) / max(1, len(found))  # brighter here and darker there is no border


def all_seen(pixels: Plane, labels: Plane) -> bool:
    """Whether every nodule of a picture (``labels`` 1, 2 ...) can be seen."""
    masks = [labels == k for k in np.unique(labels) if k]
    return all(mask.sum() >= LEAST_PIXELS and border(pixels, mask) >= LEAST_SHARE for mask in masks)
