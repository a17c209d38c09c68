"""The neck under the probe: skin, fat, strap muscles, thyroid lobe, trachea, carotid, jugular vein, oesophagus, spine."""

from dataclasses import dataclass, field

import numpy as np

from training.thyroid_us_nodule.field import Grid, Map, ellipse, line, noise, soft, upright

FLUID = -38.0


@dataclass(slots=True)
class Tissue:
    """``echo`` dB relative to normal thyroid, ``loss`` dB lost at each sample beyond what the machine compensates."""

    grid: Grid
    echo: Map
    loss: Map
    gland: Map  # distance to the edge of the gland, mm
    ghosts: list[tuple[int, int, int, float]] = field(default_factory=list)  # row, column, length, dB: reverberation tails

    def lay(self, alpha: Map, level: Map | float) -> None:
        """Covers what lies there."""
        self.echo += alpha * (level - self.echo)

    def glint(self, distance: Map, width: float, gain: float, rng: np.random.Generator) -> None:
        """A bright border where it faces the probe, broken here and there."""
        broken = np.clip(0.75 + 0.5 * noise(self.echo.shape, 2.5 / self.grid.step, rng), 0, 1.2)
        self.echo += line(distance, width) * upright(distance) ** 2 * gain * broken


def fibres(grid: Grid, rng: np.random.Generator) -> Map:
    """Bright lines along a muscle, across the beam, dB."""
    cells = rng.uniform(0.5, 1.1) / grid.step
    streaks = noise(grid.shape, max(cells, 1.5), rng, stretch=rng.uniform(6, 18))
    return np.maximum(streaks - rng.uniform(0.3, 1.2), 0) * rng.uniform(4, 9)


def _muscle(tissue: Tissue, alpha: Map, rng: np.random.Generator) -> None:
    tissue.lay(alpha, rng.uniform(-16, -5) + fibres(tissue.grid, rng))


def layers(tissue: Tissue, depths: tuple[float, float, float], rng: np.random.Generator) -> None:
    """Skin, fat and strap muscles, ending ``depths`` mm deep."""
    grid = tissue.grid
    skin, fat, strap = depths
    wave = grid.y + 0.5 * noise(grid.shape, 9 / grid.step, rng, 2)
    _muscle(tissue, soft(strap - wave, 0.4), rng)
    fatty = rng.uniform(-12, -3) + np.maximum(noise(grid.shape, max(1.5, 0.8 / grid.step), rng, 5) - 0.8, 0) * rng.uniform(5, 12)
    tissue.lay(soft(fat - wave, 0.4), fatty)
    tissue.lay(soft(skin - grid.y, 0.3), rng.uniform(2, 9))
    if rng.random() < 0.4:
        tissue.lay(soft(rng.uniform(0.3, 1.2) - grid.y, 0.2), FLUID if rng.random() < 0.5 else 10.0)  # gel, cover of the probe
    for depth in (fat, strap, fat + (strap - fat) * rng.uniform(0.3, 0.7)):
        tissue.glint(wave - depth, rng.uniform(0.15, 0.35), rng.uniform(5, 14), rng)


def gland(tissue: Tissue, distance: Map, disease: float, rng: np.random.Generator) -> None:
    """A thyroid lobe; ``disease`` 0 (normal) to 1 (thyroiditis: dark, patchy, with bright septa)."""
    grid = tissue.grid
    level = rng.uniform(-2, 3) - disease * rng.uniform(3, 9)
    level = level + rng.uniform(0.3, 1.4) * noise(grid.shape, 4 / grid.step, rng)
    if disease > 0:
        patches = noise(grid.shape, rng.uniform(1.2, 4) / grid.step, rng)
        level = level + disease * (np.minimum(patches, 0) * rng.uniform(1, 4))
        septa = line(noise(grid.shape, rng.uniform(3, 6) / grid.step, rng, 1.5), 0.15)
        level = level + disease * septa * rng.uniform(2, 8)
    tissue.lay(soft(distance, 0.4), level)
    tissue.glint(distance, rng.uniform(0.15, 0.3), rng.uniform(4, 12), rng)
    tissue.gland = np.maximum(tissue.gland, distance)


def vessel(tissue: Tissue, distance: Map, wall: float, rng: np.random.Generator) -> None:
    """Blood with a wall; blood is never quite black near the wall facing the probe."""
    bent = noise(distance.shape, max(2.0, 2.5 / tissue.grid.step), rng)
    distance = (distance + rng.uniform(0, 0.14) * max(float(distance.max()), 0.0) * bent).astype(np.float32)
    tissue.lay(soft(distance + 0.5 * wall, 0.3), rng.uniform(-6, 3))
    tissue.lay(soft(distance, 0.3), rng.uniform(FLUID, -22))
    tissue.glint(distance, rng.uniform(0.15, 0.4), rng.uniform(3, 14), rng)
    if rng.random() < 0.6:
        _haze(tissue, distance, rng)
    tissue.loss -= soft(distance, 0.3) * rng.uniform(0, 0.5) * tissue.grid.step


def _haze(tissue: Tissue, distance: Map, rng: np.random.Generator) -> None:
    inside = distance > 0
    first = np.where(inside.any(0), inside.argmax(0), 0)
    below = (np.arange(len(distance))[:, None] - first) * tissue.grid.step
    tissue.echo += inside * np.exp(-np.maximum(below, 0) / rng.uniform(0.5, 2)) * rng.uniform(5, 22)


def trachea(tissue: Tissue, centre: tuple[float, float], half: tuple[float, float], rng: np.random.Generator) -> None:
    """Cartilage arc, then air: a shadow with repeated echoes."""
    grid = tissue.grid
    d = ellipse(grid, centre, half, power=rng.uniform(2, 2.6))
    shade = soft(d, 0.6)
    period = rng.uniform(1.0, 3.0)
    rings = np.maximum(np.cos(d / period * 2 * np.pi), 0) ** 2 * np.exp(-np.maximum(d, 0) / rng.uniform(0.6, 2.5))
    tissue.lay(soft(d + 1.2, 0.6), rng.uniform(-14, -6))
    tissue.lay(shade, -30 + rings * rng.uniform(8, 30) + rng.uniform(0, 4) * noise(grid.shape, 2 / grid.step, rng, 3))
    front = np.where(grid.y < centre[1] - 0.2 * half[1], d, 9.0).astype(np.float32)
    tissue.glint(front, rng.uniform(0.3, 0.6), rng.uniform(10, 26), rng)
    below = np.maximum.accumulate(shade > 0.5, 0) & (shade < 0.5)
    tissue.lay(below * rng.uniform(0.7, 1), rng.uniform(-36, -18))


def oesophagus(tissue: Tissue, centre: tuple[float, float], size: float, rng: np.random.Generator) -> None:
    """A dark ring of muscle about bright mucosa; looks like a nodule and is none."""
    d = ellipse(tissue.grid, centre, (size, size * rng.uniform(0.5, 0.9)))
    tissue.lay(soft(d, 0.4), rng.uniform(-14, -7))
    tissue.lay(soft(d - 0.5 * size, 0.5), rng.uniform(-2, 8))
    tissue.glint(d, 0.25, rng.uniform(2, 8), rng)


def spine(tissue: Tissue, depth: float, rng: np.random.Generator) -> None:
    """Prevertebral muscle, then bone: bright, and dark beneath."""
    grid = tissue.grid
    wave = grid.y + rng.uniform(0, 1.5) * noise(grid.shape, 14 / grid.step, rng, 2) + rng.uniform(-0.15, 0.15) * grid.x
    _muscle(tissue, soft(wave - depth, 0.6) * soft(depth + 12 - wave, 0.6), rng)
    bone = wave - depth - rng.uniform(3, 12)
    tissue.lay(soft(bone, 0.5), rng.uniform(-32, -16))
    tissue.glint(bone, rng.uniform(0.3, 0.8), rng.uniform(8, 22), rng)
    if rng.random() < 0.5:
        tissue.glint(wave - depth, 0.3, rng.uniform(4, 12), rng)


def fascia(tissue: Tissue, rng: np.random.Generator) -> None:
    """Thin bright sheets between parts, mostly across the beam."""
    grid = tissue.grid
    for _ in range(int(rng.integers(0, 4))):
        sheet = noise(grid.shape, rng.uniform(4, 10) / grid.step, rng, rng.uniform(2, 6))
        tissue.glint(sheet * rng.uniform(1.5, 4) + rng.uniform(-2, 2), rng.uniform(0.2, 0.5), rng.uniform(2, 9), rng)


def ground(grid: Grid, rng: np.random.Generator) -> Tissue:
    """Tissue without a name, everywhere."""
    level = rng.uniform(-12, 2) + rng.uniform(1, 5) * noise(grid.shape, rng.uniform(2, 6) / grid.step, rng, rng.uniform(1, 3))
    streaks = np.maximum(noise(grid.shape, max(1.5, 0.9 / grid.step), rng, rng.uniform(3, 9)) - 0.9, 0) * rng.uniform(2, 8)
    return Tissue(
        grid, (level + streaks).astype(np.float32), np.zeros(grid.shape, np.float32), np.full(grid.shape, -99, np.float32)
    )
