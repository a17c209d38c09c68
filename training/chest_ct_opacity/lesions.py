"""Opacities painted into lungs, phantom or real, with the truth that belongs to them."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from training.chest_ct_opacity.body import Field, Mask, smooth_noise

GROUND_GLASS, CONSOLIDATION = 1, 2
Spacing = tuple[float, float, float]


def depth_in_lung(lungs: npt.NDArray[np.uint8], spacing: Spacing) -> Field:
    """Distance of each lung voxel to the edge of its lung within the slice, mm."""
    return np.stack([ndimage.distance_transform_edt(s > 0, sampling=spacing[1:]) for s in lungs]).astype(np.float32)


def dependent(hu: Field, lungs: npt.NDArray[np.uint8], spacing: Spacing, rng: np.random.Generator) -> None:
    """Normal density of the lowest (dorsal) lung near the pleura: looks like ground glass and is not one."""
    edge = depth_in_lung(lungs, spacing)
    rows = np.arange(hu.shape[1], dtype=np.float32)[None, :, None]
    lung = lungs > 0
    low = np.where(lung.any(1), lung.shape[1] - 1 - lung[:, ::-1].argmax(1), -1)[:, None, :]
    below = (low - rows) * spacing[1]
    width = rng.uniform(3, 10)
    ragged = 1 + 0.5 * smooth_noise(hu.shape, (max(1, hu.shape[0] // 6), 12, 12), rng)
    alpha = np.clip(1 - below / (width * np.clip(ragged, 0.1, 2)), 0, 1) * lung * (edge < width)
    hu += alpha * rng.uniform(20, 330)


def _noise(shape: tuple[int, ...], spacing: Spacing, size_mm: float, rng: np.random.Generator) -> Field:
    cells = [max(1, min(s, int(s * d / size_mm))) for s, d in zip(shape, spacing, strict=True)]
    return smooth_noise(shape, (cells[0], cells[1], cells[2]), rng)


def _blob(lung: Mask, edge: Field, spacing: Spacing, rng: np.random.Generator, small: bool = False) -> Field:
    where = np.argwhere(lung)
    pick = where[rng.integers(0, len(where), 24)]
    like = np.exp(-edge[tuple(pick.T)] / 12) + 0.6 * pick[:, 1] / lung.shape[1] - 0.3 * pick[:, 0] / lung.shape[0]
    centre = pick[int(np.argmax(like + rng.normal(0, 0.4, len(pick))))]
    radius = float(np.clip(rng.lognormal(1.7, 0.4), 3, 12) if small else np.clip(rng.lognormal(2.8, 0.55), 5, 55))
    axes = [np.arange(n, dtype=np.float32) for n in lung.shape]
    stretch = rng.uniform(0.6, 1.5, 3)
    d = sum(
        ((a - c) * s / (radius * k)).reshape([-1 if i == n else 1 for n in range(3)]) ** 2
        for i, (a, c, s, k) in enumerate(zip(axes, centre, spacing, stretch, strict=True))
    )
    return 1 - np.sqrt(d) + rng.uniform(0.1, 0.4) * _noise(lung.shape, spacing, max(4, radius / 2.2), rng)


def _band(edge: Field, spacing: Spacing, rng: np.random.Generator) -> Field:
    width = rng.uniform(6, 22)
    return (width - edge) / width - 0.4 + 0.6 * _noise(edge.shape, spacing, rng.uniform(25, 60), rng)


def _diffuse(edge: Field, spacing: Spacing, rng: np.random.Generator) -> Field:
    return rng.uniform(-0.6, 0.7) + 0.6 * _noise(edge.shape, spacing, rng.uniform(25, 90), rng)


def _paint(hu: Field, alpha: Field, target: Field | float) -> None:
    hu += alpha * np.maximum(target - hu, 0)


def _reticles(shape: tuple[int, ...], spacing: Spacing, rng: np.random.Generator) -> Field:
    lines = np.minimum(np.abs(_noise(shape, spacing, 9, rng)), np.abs(_noise(shape, spacing, 7, rng)))
    return np.clip(1 - lines / 0.16, 0, 1)


def _one(hu: Field, shape_of: Field, inside: Field, spacing: Spacing, rng: np.random.Generator) -> tuple[Mask, Mask]:
    """Paints one lesion where ``shape_of`` is positive; returns its ground-glass and consolidated parts."""
    soft = rng.uniform(0.03, 0.22)
    alpha = inside / (1 + np.exp(-np.clip(shape_of / soft, -30, 30)))
    kind = rng.choice(["glass", "paving", "solid", "mixed"], p=[0.42, 0.15, 0.15, 0.28])
    none = np.zeros(hu.shape, bool)
    texture = 25 * _noise(hu.shape, spacing, 5, rng)
    air = np.clip((hu + 960) / 40, 0.15, 1)
    solid = rng.uniform(-80, 70) + texture
    if kind == "solid":
        _paint(hu, alpha * air, solid)
        return none, alpha > 0.5
    _paint(hu, alpha * air, rng.uniform(-660, -330) + texture)
    if kind == "paving":
        _paint(hu, alpha * _reticles(hu.shape, spacing, rng) * 0.8, rng.uniform(-350, -100))
    core = none
    if kind == "mixed":
        middle = inside / (1 + np.exp(-np.clip((shape_of - rng.uniform(0.2, 0.6)) / soft, -30, 30)))
        _paint(hu, middle * air, solid)
        core = middle > 0.5
    return (alpha > 0.5) & ~core, core


def add(
    hu: Field,
    lungs: npt.NDArray[np.uint8],
    spacing: Spacing,
    rng: np.random.Generator,
    count: int,
    diffuse: float = 0.2,
    small: bool = False,
) -> npt.NDArray[np.uint8]:
    """Paints ``count`` lesions into ``hu`` in place and returns their labels (0, 1 ground glass, 2 consolidation).

    ``diffuse`` is the share of widespread ones; the others are ``small`` (3 to 12 mm radius) or of any size (5 to 55 mm).
    """
    truth = np.zeros(hu.shape, np.uint8)
    lung = lungs > 0
    if lung.sum() < 300:
        return truth
    edge = depth_in_lung(lungs, spacing)
    inside = np.clip(edge / spacing[1], 0, 1)
    for _ in range(count):
        draw = rng.random()
        if draw < diffuse * 0.5:
            field = _diffuse(edge, spacing, rng)
        elif draw < diffuse:
            field = _band(edge, spacing, rng)
        else:
            field = _blob(lung, edge, spacing, rng, small)
        glass, solid = _one(hu, field, inside, spacing, rng)
        truth[glass & lung & (truth == 0)] = GROUND_GLASS
        truth[solid & lung] = CONSOLIDATION
    return truth
