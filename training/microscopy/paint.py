"""Shapes and textures that microscopic fields are painted with; all as density, so that stains add up."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Density = npt.NDArray[np.float32]
Patch = npt.NDArray[np.float32]


def smooth(shape: tuple[int, int], cell: float, rng: np.random.Generator) -> Density:
    """Noise of unit variance with bumps of about ``cell`` pixels."""
    coarse = rng.standard_normal((int(shape[0] / cell) + 3, int(shape[1] / cell) + 3)).astype(np.float32)
    rows = np.linspace(0.5, coarse.shape[0] - 1.5, shape[0], dtype=np.float32)
    columns = np.linspace(0.5, coarse.shape[1] - 1.5, shape[1], dtype=np.float32)
    spread = ndimage.map_coordinates(coarse, np.meshgrid(rows, columns, indexing="ij"), order=1 if cell < 100 else 3)
    return np.asarray(spread / (spread.std() + 1e-6), np.float32)


def rod(rng: np.random.Generator, length: float, width: float) -> Patch:
    """How dense a slightly bent, often beaded rod is over a small square, 0 to 1; its ends are round."""
    reach = int(length / 2 + 2 * width + 4)
    t = np.linspace(-0.5, 0.5, max(6, int(length)))
    angle, bend, wave = rng.uniform(0, np.pi), rng.normal(0, 0.7), rng.normal(0, 0.3)
    heading = angle + bend * t + wave * np.sin(2 * np.pi * t)
    x, y = np.cumsum(np.cos(heading)) * length / len(t), np.cumsum(np.sin(heading)) * length / len(t)
    x, y = x - x.mean() + reach, y - y.mean() + reach
    thick = width / 2 * (1 + 0.25 * rng.uniform(-1, 1) * np.sin(np.pi * t * rng.uniform(1, 3)))
    beads = 1 - rng.choice([0, 0, rng.uniform(0.1, 0.6)]) * (
        0.5 + 0.5 * np.sin(2 * np.pi * t * rng.uniform(2, 5) + rng.uniform(0, 6))
    )
    rows, columns = np.mgrid[0 : 2 * reach, 0 : 2 * reach].astype(np.float32)
    patch = np.zeros(rows.shape, np.float32)
    for cx, cy, r, b in zip(x, y, thick, beads, strict=True):
        away = np.hypot(rows - cy, columns - cx)
        np.maximum(patch, b * np.clip(r - away + 0.5, 0, 1), out=patch)
    return np.asarray(ndimage.gaussian_filter(patch, rng.uniform(0.5, 1.1)), np.float32)


def blob(rng: np.random.Generator, radius: float, rough: float) -> Patch:
    """A filled, uneven disc over a small square, 0 to 1."""
    reach = int(radius * (1.4 + rough)) + 4
    rows, columns = np.mgrid[-reach:reach, -reach:reach].astype(np.float32)
    turn = np.arctan2(rows, columns)
    squeeze, phase = rng.uniform(0.6, 1.0), rng.uniform(0, np.pi)
    u, v = rows * np.cos(phase) + columns * np.sin(phase), columns * np.cos(phase) - rows * np.sin(phase)
    edge = radius * (1 + rough * sum(rng.normal(0, 0.5 / k) * np.cos(k * turn + rng.uniform(0, 6)) for k in (2, 3, 5)))
    return np.asarray(np.clip((edge - np.hypot(u, v / squeeze)) / max(1.0, 0.08 * radius) + 0.5, 0, 1), np.float32)
