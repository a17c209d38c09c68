"""What looks a little like a nodule and is none: neck muscles, lymph nodes, tiny colloid cysts, bright sheets in the gland."""

import numpy as np

from training.thyroid_us_nodule.field import ellipse, line, noise, soft, upright
from training.thyroid_us_nodule.tissue import FLUID, Tissue, fibres

Place = tuple[float, float]


def muscle(tissue: Tissue, centre: Place, half: Place, rng: np.random.Generator) -> None:
    """A muscle cut across: dark, spotted and striped, in a bright sheath (sternomastoid beside, longus colli behind a lobe)."""
    wobble = 0.15 * min(half) * noise(tissue.grid.shape, max(2.0, 3 / tissue.grid.step), rng)
    d = (ellipse(tissue.grid, centre, half, rng.normal(0, 0.35), rng.uniform(1.7, 2.6)) + wobble).astype(np.float32)
    tissue.lay(soft(d, 0.5), rng.uniform(-17, -6) + fibres(tissue.grid, rng))
    tissue.glint(d, rng.uniform(0.15, 0.4), rng.uniform(3, 12), rng)


def lymph_node(tissue: Tissue, centre: Place, size: float, rng: np.random.Generator) -> None:
    """Dark and oval, often with a bright hilum; beside the great vessels."""
    half = (size, size * rng.uniform(0.35, 0.7))
    d = ellipse(tissue.grid, centre, half, rng.normal(0, 0.4))
    tissue.lay(soft(d, 0.3), rng.uniform(-16, -7))
    if rng.random() < 0.6:
        tissue.lay(soft(d - rng.uniform(0.4, 0.6) * min(half), 0.3), rng.uniform(-4, 5))
    tissue.glint(d, 0.2, rng.uniform(2, 8), rng)


def colloid(tissue: Tissue, rng: np.random.Generator) -> None:
    """Follicles of about a millimetre in the gland, with or without a bright spot; too small to be called nodules."""
    rows, columns = np.nonzero(tissue.gland > 1.0)
    for _ in range(int(rng.integers(1, 5)) if len(rows) else 0):
        k = int(rng.integers(len(rows)))
        at = (float(tissue.grid.x[rows[k], columns[k]]), float(tissue.grid.y[rows[k], columns[k]]))
        r = rng.uniform(0.3, 0.8)
        tissue.lay(soft(ellipse(tissue.grid, at, (r * rng.uniform(1, 1.6), r)), 0.25), rng.uniform(FLUID, -14))
        if rng.random() < 0.5:
            tissue.lay(soft(ellipse(tissue.grid, at, (0.25, 0.18)), 0.2), rng.uniform(6, 16))


def sheets(tissue: Tissue, rng: np.random.Generator) -> None:
    """Short bright lines across the beam, as septa and layers of every depth give them."""
    grid = tissue.grid
    wave = noise(grid.shape, max(2.0, rng.uniform(0.8, 3) / grid.step), rng, rng.uniform(2, 8))
    here = np.clip(noise(grid.shape, max(2.0, rng.uniform(2, 6) / grid.step), rng, 2) - rng.uniform(0, 1), 0, 1)
    tissue.echo += line(wave, rng.uniform(0.05, 0.15)) * upright(wave) ** 2 * here * rng.uniform(4, 14)
