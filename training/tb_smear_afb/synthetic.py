"""Ziehl-Neelsen fields of nobody, painted in density: glass, mucus, cells, debris, red rods, and what only looks like them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from training.microscopy.heat import Boxes
from training.microscopy.paint import Density, Patch, blob, rod, smooth
from training.tb_smear_afb.where import HEIGHT, WIDTH


def _mean_box(patch: Patch) -> tuple[float, float, float, float]:
    rows, columns = np.nonzero(patch > 0.15)
    if not len(rows):
        return patch.shape[1] / 2, patch.shape[0] / 2, 4.0, 4.0
    r0, r1, c0, c1 = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    return (c0 + c1) / 2, (r0 + r1) / 2, float(c1 - c0), float(r1 - r0)


@dataclass(slots=True)
class _Canvas:
    """Density per channel (rows, columns, 3) and what lies in it."""

    density: Density
    boxes: list[tuple[float, float, float, float, float]]
    taken: npt.NDArray[np.bool_]
    rng: np.random.Generator
    fuchsin: Density
    blue: Density

    def put(self, patch: Patch, x: int, y: int, colour: Density, most: float = 9.0) -> None:
        """Adds ``patch`` of that colour with its middle at (x, y); ``most`` limits how dense a stain gets there."""
        h, w = patch.shape
        r0, c0 = y - h // 2, x - w // 2
        ra, ca = max(0, r0), max(0, c0)
        rb, cb = min(self.density.shape[0], r0 + h), min(self.density.shape[1], c0 + w)
        if ra >= rb or ca >= cb:
            return
        part = patch[ra - r0 : rb - r0, ca - c0 : cb - c0, None]
        self.density[ra:rb, ca:cb] += part * np.minimum(colour, most)

    def spot(self) -> tuple[int, int]:
        """A random pixel."""
        return int(self.rng.integers(0, self.density.shape[1])), int(self.rng.integers(0, self.density.shape[0]))

    def free(self) -> tuple[int, int]:
        """A random pixel away from bacilli already there."""
        for _ in range(40):
            x, y = self.spot()
            if 8 < x < self.taken.shape[1] - 8 and 8 < y < self.taken.shape[0] - 8 and not self.taken[y, x]:
                self.taken[max(0, y - 45) : y + 45, max(0, x - 45) : x + 45] = True
                return x, y
        return self.spot()

    def object(self, patch: Patch, kind: float, strength: float) -> None:
        """A bacillus, cluster or red thing, with its box a little wider than the stain, as people draw it."""
        x, y = self.free()
        self.put(patch, x, y, self.fuchsin * strength)
        cx, cy, w, h = _mean_box(patch)
        pad = self.rng.uniform(4, 12)
        self.boxes.append((x - patch.shape[1] // 2 + cx, y - patch.shape[0] // 2 + cy, w + pad, h + pad, kind))


def _colours(rng: np.random.Generator) -> tuple[Density, Density, Density]:
    """Light of the empty glass, density of carbol fuchsin, density of the counterstain (methylene blue, or malachite green)."""
    glass = np.clip(rng.uniform(0.55, 0.95) * np.array([1, rng.uniform(0.75, 1.1), rng.uniform(0.6, 1.1)]), 0.2, 0.99)
    fuchsin = np.array([rng.uniform(0.08, 0.4), 1.0, rng.uniform(0.35, 0.8)])
    blue = np.array([1.0, rng.uniform(0.4, 0.7), rng.uniform(0.05, 0.35)])
    if rng.random() < 0.25:
        blue = np.array([1.0, rng.uniform(0.25, 0.45), rng.uniform(0.45, 0.7)])
    return glass.astype(np.float32), fuchsin.astype(np.float32), blue.astype(np.float32)


def _ground(c: _Canvas) -> None:
    """Mucus and a washed-out stain; sometimes grain or bubbles all over."""
    rng, shape = c.rng, c.density.shape[:2]
    tint = c.blue * rng.uniform(0, 1) + c.fuchsin * rng.uniform(0, 0.6)
    waves = 0.6 * smooth(shape, rng.uniform(60, 300), rng) + 0.6 * smooth(shape, rng.uniform(15, 60), rng)
    mucus = np.clip(waves - rng.uniform(0, 1.5), 0, 3) * rng.uniform(0.0, 0.12)
    grain = smooth(shape, rng.uniform(3, 9), rng) * rng.uniform(0, 0.025)
    c.density += mucus[..., None] * tint + grain[..., None] * rng.uniform(0.4, 1.0, 3).astype(np.float32)
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(50, 400))):
            ring = blob(rng, rng.uniform(4, 18), 0.1)
            edge = ring - ndimage.grey_erosion(ring, 3)
            c.put(edge * rng.uniform(0.05, 0.2) - ring * rng.uniform(0, 0.05), *c.spot(), np.ones(3, np.float32))


def _cells(c: _Canvas) -> None:
    """White cells with dark nuclei, squamous cells, faint shadows of cells."""
    rng = c.rng
    for _ in range(rng.poisson(rng.choice([1, 5, 14]))):
        x, y = c.spot()
        for _ in range(int(rng.integers(1, 5))):
            lobe = blob(rng, rng.uniform(12, 34), 0.15)
            texture = 1 + 0.2 * smooth(lobe.shape, 5, rng)
            c.put(lobe * texture, x + int(rng.normal(0, 22)), y + int(rng.normal(0, 22)), c.blue * rng.uniform(0.4, 1.3))
        if rng.random() < 0.4:
            c.put(blob(rng, rng.uniform(40, 70), 0.1), x, y, c.blue * rng.uniform(0.02, 0.12))
    for _ in range(rng.poisson(0.8)):
        body = ndimage.gaussian_filter(blob(rng, rng.uniform(80, 200), 0.35), 2)
        body = body * (1 + 0.25 * smooth(body.shape, 20, rng))
        c.put(body, *c.spot(), (c.fuchsin + c.blue * rng.uniform(0, 1)) * rng.uniform(0.05, 0.35))


def _debris(c: _Canvas) -> None:
    """Blue and grey specks, short blue rods, wisps, dark crystals: none of them acid-fast."""
    rng = c.rng
    for _ in range(rng.poisson(rng.choice([15, 60, 140]))):
        colour = c.blue * rng.uniform(0.1, 0.9) if rng.random() < 0.8 else np.full(3, rng.uniform(0.1, 1.2), np.float32)
        x, y = c.spot()
        for _ in range(int(rng.choice([1, 1, 2, 4]))):
            long = rng.random() < 0.4
            patch = rod(rng, rng.uniform(8, 30), rng.uniform(3, 7)) if long else blob(rng, rng.uniform(1.5, 7), 0.4)
            c.put(patch, x + int(rng.normal(0, 7)), y + int(rng.normal(0, 7)), colour.astype(np.float32))
    for _ in range(rng.poisson(3)):
        haze = ndimage.gaussian_filter(blob(rng, rng.uniform(6, 30), 0.5), rng.uniform(3, 8))
        c.put(haze * (1 + 0.5 * smooth(haze.shape, 6, rng)), *c.spot(), c.blue * rng.uniform(0.1, 0.7))


def _impostors(c: _Canvas) -> None:
    """Red things that are not bacilli: stain precipitate, round grains, smears, large crystals; and very dark dirt."""
    rng = c.rng
    dirt = c.fuchsin * rng.uniform(0.5, 1.4) + c.blue * rng.uniform(0, 0.5)
    for _ in range(rng.poisson(rng.choice([1, 6, 25]))):
        c.put(ndimage.gaussian_filter(blob(rng, rng.uniform(1.5, 5.5), 0.25), 0.8), *c.spot(), dirt * rng.uniform(0.3, 1.0))
    for _ in range(rng.poisson(1.0)):
        crystal = blob(rng, rng.uniform(10, 40), 0.7)
        c.put(crystal, *c.spot(), dirt * rng.uniform(0.8, 2.5) + rng.uniform(0, 1.5))
    for _ in range(rng.poisson(1.0)):
        smear = ndimage.gaussian_filter(rod(rng, rng.uniform(60, 200), rng.uniform(10, 40)), rng.uniform(2, 8))
        c.put(smear, *c.spot(), dirt * rng.uniform(0.1, 0.5))
    for _ in range(rng.poisson(0.5)):
        fibre = rod(rng, rng.uniform(150, 500), rng.uniform(2, 8))
        c.put(fibre, *c.spot(), (dirt if rng.random() < 0.5 else c.blue) * rng.uniform(0.2, 1.2))


def _one(rng: np.random.Generator) -> Patch:
    return rod(rng, float(np.clip(rng.normal(30, 9), 12, 60)), rng.uniform(4.0, 7.5))


def _group(rng: np.random.Generator, count: int) -> Patch:
    side = 90 + 14 * count
    patch = np.zeros((side, side), np.float32)
    for _ in range(count):
        one = _one(rng)
        r, c = (
            int(np.clip(side / 2 - one.shape[0] / 2 + rng.normal(0, 5 + 2.5 * count), 0, side - one.shape[0])) for _ in range(2)
        )
        view = patch[r : r + one.shape[0], c : c + one.shape[1]]
        np.maximum(view, one, out=view)
    return patch


def _bacilli(c: _Canvas, singles: int, clusters: int) -> list[int]:
    rng, counts = c.rng, []
    base = rng.uniform(0.25, 1.3)
    for _ in range(singles):
        c.object(_one(rng), 0, base * rng.uniform(0.6, 1.4))
        counts.append(1)
    for _ in range(clusters):
        n = int(rng.choice([2, 2, 3, 3, 4, 6, 9]))
        c.object(_group(rng, n), 1, base * rng.uniform(0.7, 1.4))
        counts.append(n)
    return counts


@dataclass(frozen=True, slots=True)
class Made:
    """A field of nobody: ``pixels`` uint8 (rows, columns, 3), boxes as of real fields, and how many bacilli each box holds."""

    pixels: npt.NDArray[np.uint8]
    boxes: Boxes
    counts: tuple[int, ...]


def field(seed: int, singles: int | None = None, clusters: int | None = None, width: int = WIDTH, height: int = HEIGHT) -> Made:
    """Field number ``seed``; the numbers of bacilli are drawn when not given. Equal arguments give equal fields."""
    rng = np.random.default_rng(seed)
    glass, fuchsin, blue = _colours(rng)
    c = _Canvas(np.zeros((height, width, 3), np.float32), [], np.zeros((height, width), bool), rng, fuchsin, blue)
    for step in (_ground, _cells, _debris, _impostors):
        step(c)
    density = rng.choice([0, 4, 12, 30], p=[0.3, 0.3, 0.3, 0.1])
    counts = _bacilli(
        c, rng.poisson(density) if singles is None else singles, rng.poisson(density / 5) if clusters is None else clusters
    )
    light = glass * (1 + 0.08 * smooth((height, width), 500, rng))[..., None] * np.exp(-np.maximum(c.density, -0.2))
    sigma = rng.uniform(0.4, 1.3)
    light = ndimage.gaussian_filter(light, (sigma, sigma, 0)) + rng.normal(0, rng.uniform(0.002, 0.015), light.shape)
    pixels = np.clip(np.rint(light * 255), 0, 255).astype(np.uint8)
    return Made(pixels, np.array(c.boxes, np.float32).reshape(-1, 5), tuple(counts))
