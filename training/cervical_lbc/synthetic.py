"""Pap-stained cells of nobody: cytoplasm, folds, nucleus and chromatin painted in density, as the textbook has each class."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from training.cervical_lbc.cells import Cell
from training.microscopy.paint import Density, blob, rod, smooth

SIZE = 200


@dataclass(frozen=True, slots=True)
class _Look:
    """What a class looks like: share of the nucleus in the area, its darkness, coarseness, roughness; how slim the cell is."""

    ratio: tuple[float, float]
    dark: tuple[float, float]
    coarse: tuple[float, float]
    rough: tuple[float, float]
    slim: tuple[float, float]


_LOOKS = (
    _Look((0.008, 0.022), (1.0, 1.8), (0.0, 0.15), (0.0, 0.08), (0.7, 1.0)),
    _Look((0.02, 0.055), (0.7, 1.4), (0.1, 0.3), (0.0, 0.06), (0.7, 1.0)),
    _Look((0.16, 0.4), (0.5, 1.1), (0.1, 0.3), (0.0, 0.06), (0.35, 0.8)),
    _Look((0.09, 0.25), (0.6, 1.3), (0.2, 0.45), (0.03, 0.1), (0.5, 0.95)),
    _Look((0.22, 0.4), (0.7, 1.4), (0.25, 0.5), (0.04, 0.12), (0.45, 0.9)),
    _Look((0.34, 0.58), (0.8, 1.6), (0.3, 0.6), (0.05, 0.16), (0.4, 0.85)),
    _Look((0.5, 0.8), (0.8, 1.7), (0.3, 0.7), (0.05, 0.18), (0.45, 0.95)),
)


def _cytoplasm(kind: int, rng: np.random.Generator) -> Density:
    """Density of the cytoplasm: eosin pink, light green, or the greyish violet of young and dysplastic cells."""
    pink, green, violet = np.array([0.12, 0.6, 0.35]), np.array([0.55, 0.22, 0.3]), np.array([0.5, 0.5, 0.25])
    share = {0: (0.75, 0.2, 0.05), 1: (0.15, 0.75, 0.1), 2: (0.02, 0.2, 0.78)}.get(kind, (0.25, 0.3, 0.45))
    colour = (pink, green, violet)[rng.choice(3, p=share)] * rng.uniform(0.75, 1.25, 3)
    strength = rng.uniform(0.25, 0.9) if kind < 2 else rng.uniform(0.3, 1.1)
    return np.asarray(colour * strength, np.float32)


def _fitted(patch: npt.NDArray[np.float32], slim: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """``patch`` squeezed, turned and brought to the middle of a SIZE x SIZE square."""
    scale, angle = SIZE / patch.shape[0], rng.uniform(0, np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.diag([1.0, 1 / slim]) @ turn.T / scale
    middle = np.full(2, SIZE / 2)
    out = ndimage.affine_transform(patch, matrix, np.array(patch.shape) / 2 - matrix @ middle, output_shape=(SIZE, SIZE), order=1)
    return np.asarray(out, np.float32)


def density(kind: int, rng: np.random.Generator) -> Density:
    """What a cell of ``kind`` takes from the light, (SIZE, SIZE, 3); 0 outside it."""
    look = _LOOKS[kind]
    slim = rng.uniform(*look.slim)
    body = _fitted(blob(rng, SIZE * 0.36, rng.uniform(0.05, 0.28) if kind < 2 else rng.uniform(0.05, 0.35)), slim, rng)
    body = ndimage.gaussian_filter(body, rng.uniform(1, 4))
    shape = body.shape
    texture = np.clip(
        1 + rng.uniform(0.05, 0.35) * smooth(shape, rng.uniform(10, 40), rng) + 0.08 * smooth(shape, 4, rng), 0.1, 2
    )
    out = (body * texture)[..., None] * _cytoplasm(kind, rng)
    for _ in range(rng.poisson(1.5 if kind < 2 else 0.4)):
        fold = rod(rng, rng.uniform(40, 110), rng.uniform(1, 4))
        out += _at(fold, shape, rng.normal(0, 30, 2))[..., None] * body[..., None] * rng.uniform(0.05, 0.3)
    area = float((body > 0.5).sum())
    radius = np.sqrt(area * rng.uniform(*look.ratio) / np.pi)
    nucleus = _at(
        blob(rng, radius * 1.12, rng.uniform(*look.rough)),
        shape,
        rng.normal(0, 0.12 * np.sqrt(area) * (1 - radius / SIZE * 2), 2),
    )
    if kind >= 2:
        nucleus = nucleus * np.clip(body * 2.5, 0, 1)
    chromatin = 1 + rng.uniform(*look.coarse) * smooth(shape, max(2.0, radius * rng.uniform(0.1, 0.35)), rng)
    rim = np.clip(nucleus - ndimage.gaussian_filter(nucleus, max(1.0, radius * 0.15)), 0, 1)
    colour = np.array([rng.uniform(0.8, 1.1), rng.uniform(0.7, 1.0), rng.uniform(0.25, 0.6)]) * rng.uniform(*look.dark)
    out += (nucleus * np.clip(chromatin, 0.2, 2) + rim * rng.uniform(0, 0.8))[..., None] * colour
    return np.asarray(out, np.float32)


def _at(patch: npt.NDArray[np.float32], shape: tuple[int, int], offset: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """``patch`` in an empty picture, its middle ``offset`` (rows, columns) from the middle."""
    out = np.zeros(shape, np.float32)
    r0, c0 = (round(s / 2 + o - p / 2) for s, o, p in zip(shape, offset, patch.shape, strict=True))
    ra, ca, rb, cb = max(0, r0), max(0, c0), min(shape[0], r0 + patch.shape[0]), min(shape[1], c0 + patch.shape[1])
    if ra < rb and ca < cb:
        out[ra:rb, ca:cb] = patch[ra - r0 : rb - r0, ca - c0 : cb - c0]
    return out


def cell(seed: int, kind: int) -> Cell:
    """Cell number ``seed`` of class ``kind`` on clear glass, its frame tight around it; equal arguments give equal cells."""
    rng = np.random.default_rng((seed, kind))
    taken = density(kind, rng)
    rows, columns = np.nonzero(taken.sum(2).max(1) > 0.12)[0], np.nonzero(taken.sum(2).max(0) > 0.12)[0]
    taken = taken[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    glass = rng.uniform(0.78, 0.97) * np.array([1, rng.uniform(0.92, 1), rng.uniform(0.92, 1)])
    light = ndimage.gaussian_filter(glass * np.exp(-taken), (*[rng.uniform(0.5, 1.5)] * 2, 0))
    pixels = np.clip(np.rint(light * 255), 0, 255).astype(np.uint8)
    return Cell(f"made-{kind}-{seed}", f"made-{seed}", kind, pixels, (0, 0, 0))
