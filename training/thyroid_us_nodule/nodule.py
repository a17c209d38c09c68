"""Nodules with the features of ACR TI-RADS (Tessler 2017, J Am Coll Radiol 14:587), painted with their truth."""

from dataclasses import dataclass

import numpy as np

from training.thyroid_us_nodule.field import Grid, Map, line, noise, soft, upright
from training.thyroid_us_nodule.tissue import FLUID, Tissue

COMPOSITION = ("cystic", "spongiform", "mixed", "solid")
ECHO = ("anechoic", "hyper-isoechoic", "hypoechoic", "very-hypoechoic")
MARGIN = ("smooth", "ill-defined", "irregular", "extrathyroidal")
FOCI = ("comet-tail", "macrocalcification", "rim-calcification", "punctate")
LEVELS = ((FLUID, -26), (-2.5, 6), (-11, -4), (-19, -12))


@dataclass(frozen=True, slots=True)
class Nodule:
    """What is to be painted: indices into the tuples above, ``foci`` one flag each, sizes in mm (half axes)."""

    centre: tuple[float, float]
    half: tuple[float, float]
    turn: float
    composition: int
    echo: int
    margin: int
    foci: tuple[bool, bool, bool, bool]
    halo: bool

    @property
    def taller(self) -> bool:
        """Taller than wide (along the beam)."""
        c, s = np.cos(self.turn), np.sin(self.turn)
        high = np.hypot(self.half[0] * s, self.half[1] * c)
        return bool(high > np.hypot(self.half[0] * c, self.half[1] * s))


def _features(rng: np.random.Generator) -> tuple[int, int, int, float]:
    """Composition, echo, margin and suspicion, together as they go together in patients."""
    bad = float(np.clip(rng.beta(0.7, 0.8), 0, 1))
    composition = int(rng.choice(4, p=[0.14, 0.08, 0.26, 0.52] if bad < 0.5 else [0.02, 0.01, 0.1, 0.87]))
    if composition == 0:
        return 0, 0, int(rng.choice(2, p=[0.9, 0.1])), bad
    echo = int(rng.choice([1, 2, 3], p=[0.58, 0.37, 0.05] if bad < 0.5 else [0.12, 0.58, 0.3]))
    if composition == 1:
        return 1, 1, int(rng.choice(2, p=[0.8, 0.2])), bad
    margin = int(rng.choice(4, p=[0.66, 0.28, 0.06, 0.0] if bad < 0.5 else [0.22, 0.26, 0.4, 0.12]))
    return composition, echo, margin, bad


def draw(centre: tuple[float, float], size: float, rng: np.random.Generator) -> Nodule:
    """A nodule with half width about ``size`` mm."""
    composition, echo, margin, bad = _features(rng)
    tall = rng.random() < 0.06 + 0.32 * bad
    ratio = rng.uniform(1.02, 1.5) if tall else rng.uniform(0.48, 0.98)
    turn = float(rng.normal(0, 0.25))
    cyst = composition == 0
    chances = (
        0.35 if cyst or composition < 3 else 0.04,
        0.0 if cyst else 0.05 + 0.13 * bad,
        0.05,
        0.0 if cyst else 0.03 + 0.5 * bad,
    )
    foci = tuple(bool(rng.random() < c) for c in chances)
    halo = not cyst and margin == 0 and rng.random() < (0.65 if echo == 1 else 0.35)
    scale = size / np.sqrt(ratio)
    return Nodule(centre, (scale, scale * ratio), turn, composition, echo, margin, (foci[0], foci[1], foci[2], foci[3]), halo)


def outline(grid: Grid, nodule: Nodule, rng: np.random.Generator) -> Map:
    """Rough signed distance to the nodule's edge in mm, positive inside; lobes and spikes by its margin."""
    dx, dy = grid.x - nodule.centre[0], grid.y - nodule.centre[1]
    c, s = np.float32(np.cos(nodule.turn)), np.float32(np.sin(nodule.turn))
    u, v = (c * dx + s * dy) / nodule.half[0], (c * dy - s * dx) / nodule.half[1]
    r, angle = np.hypot(u, v), np.arctan2(v, u)
    wobble = np.zeros_like(r)
    strong = {0: 0.03, 1: 0.05, 2: 0.07, 3: 0.065}[nodule.margin]
    bulge = float(rng.uniform(0, 0.09)) if rng.random() < 0.6 else 0.0  # eggs, beans, pears
    for k in (1, 2, 3):
        wobble += np.float32(rng.normal(0, bulge)) * np.cos(k * angle + np.float32(rng.uniform(0, 6.3)))
    for k in range(2, 4 if nodule.margin < 2 else int(rng.integers(6, 12))):
        wobble += np.float32(rng.normal(0, strong / np.sqrt(k / 2))) * np.cos(k * angle + np.float32(rng.uniform(0, 6.3)))
    if nodule.margin >= 2:
        wobble += strong * 0.7 * noise(grid.shape, max(2.0, 0.22 * min(nodule.half) / grid.step), rng)
    return ((1 + np.clip(wobble, -0.45, 0.5) - r) * min(nodule.half)).astype(np.float32)


def _solid(grid: Grid, nodule: Nodule, rng: np.random.Generator) -> Map:
    low, high = LEVELS[nodule.echo]
    size = min(nodule.half) / grid.step
    level = np.full(grid.shape, rng.uniform(low, high), np.float32)
    level += rng.uniform(0, 2.2) * noise(grid.shape, max(2.0, size * rng.uniform(0.3, 0.8)), rng)
    level += rng.uniform(0, 2.5) * noise(grid.shape, max(1.5, size * rng.uniform(0.06, 0.2)), rng)
    if rng.random() < 0.4:
        level += _parts(grid, nodule, rng)
    if rng.random() < 0.2:
        level += line(noise(grid.shape, max(2.0, 0.4 * size), rng), 0.12) * rng.uniform(3, 9)
    return level


def _parts(grid: Grid, nodule: Nodule, rng: np.random.Generator) -> Map:
    """Darker and brighter parts within one nodule, dB: a patch, and a slope from one side to the other."""
    size = min(nodule.half) / grid.step
    patch = soft(noise(grid.shape, max(2.0, size * rng.uniform(0.5, 1.0)), rng) - rng.uniform(-0.5, 1.0), rng.uniform(0.2, 1.0))
    turn = rng.uniform(0, 2 * np.pi)
    aside = (grid.x - nodule.centre[0]) * np.cos(turn) + (grid.y - nodule.centre[1]) * np.sin(turn)
    slope = np.clip(aside / max(nodule.half), -1.2, 1.2) * rng.uniform(0, 3)
    return np.asarray(patch * rng.uniform(-7, 7) + slope, np.float32)


def _cysts(grid: Grid, nodule: Nodule, distance: Map, rng: np.random.Generator) -> Map:
    """Where the nodule holds fluid, 0..1."""
    size = min(nodule.half) / grid.step
    if nodule.composition == 0:
        return np.ones(grid.shape, np.float32)
    if nodule.composition == 1:
        return soft(noise(grid.shape, max(2.2, size * rng.uniform(0.12, 0.22)), rng) - rng.uniform(-0.3, 0.2), 0.5)
    if rng.random() < 0.5:  # one cavity with a mural part
        part = (
            distance / max(min(nodule.half), 1e-3) - rng.uniform(0.08, 0.4) + 0.25 * noise(grid.shape, max(2.0, 0.5 * size), rng)
        )
        return soft(part, 0.08)
    return soft(noise(grid.shape, max(2.0, size * rng.uniform(0.35, 0.7)), rng) - rng.uniform(-0.6, 0.7), 0.3)


def _blend(nodule: Nodule, grid: Grid, rng: np.random.Generator) -> Map:
    """Width of the border, mm; in some nodules it is lost along a part of the way."""
    width = _width(nodule, grid, rng)
    if rng.random() > (0.5 if nodule.margin == 1 else 0.2):
        return np.full(grid.shape, width, np.float32)
    lost = np.clip(noise(grid.shape, max(2.0, min(nodule.half) / grid.step), rng) - 0.3, 0, 1)
    return np.asarray(width + lost * rng.uniform(0.15, 0.5) * min(nodule.half), np.float32)


def _width(nodule: Nodule, grid: Grid, rng: np.random.Generator) -> float:
    smallest = max(0.25, 1.2 * grid.step)
    if nodule.margin == 1:
        return max(smallest, min(nodule.half) * rng.uniform(0.15, 0.45))
    return smallest * rng.uniform(0.8, 1.8)


def paint(tissue: Tissue, nodule: Nodule, rng: np.random.Generator) -> Map:
    """Paints ``nodule`` and returns the signed distance to its edge."""
    grid = tissue.grid
    distance = outline(grid, nodule, rng)
    alpha = soft(distance, _blend(nodule, grid, rng))
    wide = float(np.clip(rng.uniform(0.06, 0.16) * min(nodule.half), 0.3, 1.6))
    if nodule.halo:
        tissue.lay(line(distance, wide) * rng.uniform(0.6, 1), rng.uniform(-14, -6))
    level = _solid(grid, nodule, rng)
    if nodule.composition < 3:
        fluid = _cysts(grid, nodule, distance, rng)
        debris = rng.uniform(0, 14) if rng.random() < 0.35 else 0.0
        dark = FLUID + rng.uniform(0, 10) + debris
        level = level + fluid * (dark - level)
        tissue.loss -= alpha * fluid * rng.uniform(0.2, 0.9) * grid.step
    inner = soft(distance - (wide if nodule.halo else 0), _blend(nodule, grid, rng))
    tissue.lay(inner if nodule.halo else alpha, level)
    if nodule.margin == 0 and not nodule.halo and rng.random() < 0.7:
        tissue.glint(distance, rng.uniform(0.15, 0.35), rng.uniform(3, 14), rng)
    tissue.loss += alpha * (rng.uniform(-0.25, 0.25) if nodule.echo < 3 else rng.uniform(0, 0.7)) * grid.step
    if rng.random() < (0.5 if nodule.composition == 0 or nodule.margin == 0 else 0.15):
        _edge_shadows(tissue, distance, rng)
    _foci(tissue, nodule, distance, rng)
    return distance


def _edge_shadows(tissue: Tissue, distance: Map, rng: np.random.Generator) -> None:
    steep = (1 - upright(distance)) ** 3
    tissue.loss += line(distance, 0.6) * steep * rng.uniform(0.3, 1.6) * tissue.grid.step


def _somewhere(distance: Map, count: int, deep: float, rng: np.random.Generator) -> list[tuple[int, int]]:
    inside = np.flatnonzero(distance > deep)
    if not len(inside):
        return []
    picked = rng.choice(inside, count)
    return [(int(p) // distance.shape[1], int(p) % distance.shape[1]) for p in picked]


def _spot(tissue: Tissue, at: tuple[int, int], radius: tuple[float, float], gain: float) -> Map:
    """A bright spot, brightest in the middle; returns its shape over the whole plane."""
    rows = (np.arange(tissue.grid.shape[0], dtype=np.float32) - at[0])[:, None] * tissue.grid.step / radius[1]
    columns = (np.arange(tissue.grid.shape[1], dtype=np.float32) - at[1])[None, :] * tissue.grid.step / radius[0]
    shape = np.exp(-(rows**2)) * np.exp(-(columns**2))
    tissue.lay(np.clip(1.5 * shape, 0, 1), gain)
    return shape


def _foci(tissue: Tissue, nodule: Nodule, distance: Map, rng: np.random.Generator) -> None:
    comet, coarse, rim, fine = nodule.foci
    size, step = min(nodule.half), tissue.grid.step
    if fine:
        for at in _somewhere(distance, int(rng.integers(3, 28)), 0.15 * size, rng):
            r = rng.uniform(0.1, 0.28)
            _spot(tissue, at, (max(r, step), max(r * 0.7, 0.8 * step)), rng.uniform(8, 22))
    if coarse:
        for at in _somewhere(distance, int(rng.integers(1, 4)), 0.25 * size, rng):
            r = rng.uniform(0.5, max(0.6, min(3.0, 0.35 * size)))
            shape = _spot(tissue, at, (r * rng.uniform(0.8, 1.8), r * 0.6), rng.uniform(14, 26))
            tissue.loss += shape * rng.uniform(2, 14) * step / r
    if rim:
        patchy = np.clip(noise(distance.shape, max(2.0, 0.7 * size / step), rng) + rng.uniform(0, 1.5), 0, 1)
        shell = line(distance, max(0.35, step)) * patchy
        tissue.lay(np.clip(shell, 0, 1), rng.uniform(12, 24))
        tissue.loss += shell * rng.uniform(0.4, 3.5) * step
    if comet:
        for at in _somewhere(distance, int(rng.integers(1, 5)), 0.15 * size, rng):
            _spot(tissue, at, (max(0.25, step), max(0.15, 0.8 * step)), rng.uniform(10, 20))
            tissue.ghosts.append((at[0], at[1], int(rng.uniform(1.0, 4.0) / step), rng.uniform(4, 16)))
