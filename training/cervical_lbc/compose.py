"""Fields composed of single cells: each multiplies the light by what it lets through, so that overlaps look right."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from training.cervical_lbc.cells import Cell
from training.cervical_lbc.where import LONG_UM, MICROMETRES
from training.microscopy.heat import Boxes
from training.microscopy.paint import blob, rod, smooth

Light = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stamp:
    """A cell ready to be pasted: what it lets through (rows, columns, 3) on a soft-edged frame."""

    through: Light
    kind: int


def stamp(cell: Cell) -> Stamp:
    """Light divided by the light of its glass, fading to 1 at a rounded frame so that no corner shows."""
    light = cell.pixels.astype(np.float32) / 255 + 0.01
    grey = light.mean(2)
    bright = light[grey >= np.quantile(grey, 0.95)].mean(0)
    h, w = grey.shape
    rows, columns = np.linspace(-1, 1, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)[None]
    away = (np.abs(rows) ** 3.5 + np.abs(columns) ** 3.5) ** np.float32(1 / 3.5)
    soft = np.clip((1.0 - away) / 0.1, 0, 1)[..., None]
    return Stamp(np.asarray(np.clip(light / bright, 0.02, 1.08) ** soft, np.float32), cell.kind)


def multiply(field: Light, patch: Light, x: int, y: int) -> None:
    """Lets the light of ``field`` through ``patch``, its middle at ``x``, ``y``; what lies outside is cut off."""
    h, w = patch.shape[:2]
    r0, c0 = y - h // 2, x - w // 2
    ra, ca, rb, cb = max(0, r0), max(0, c0), min(field.shape[0], r0 + h), min(field.shape[1], c0 + w)
    if ra < rb and ca < cb:
        field[ra:rb, ca:cb] *= patch[ra - r0 : rb - r0, ca - c0 : cb - c0]


def _sized(through: Light, long: float, rng: np.random.Generator) -> Light:
    """The stamp with its longer side ``long`` pixels, turned by quarters and mirrored."""
    factor = long / max(through.shape[:2])
    size = max(4, round(through.shape[1] * factor)), max(4, round(through.shape[0] * factor))
    grey = Image.fromarray(np.clip(through * 235, 0, 255).astype(np.uint8))
    small = np.asarray(grey.resize(size, Image.Resampling.BILINEAR), np.float32) / 235
    small = np.rot90(small, int(rng.integers(0, 4)))
    return small[::-1] if rng.random() < 0.5 else small


def glass(height: int, width: int, zoom: float, rng: np.random.Generator) -> Light:
    """An empty field: uneven light, mucus, leucocytes, bacteria, strands and dirt; nothing in it is an epithelial cell."""
    tint = rng.uniform(0.7, 0.97) * np.array([1, rng.uniform(0.9, 1.02), rng.uniform(0.92, 1.02)])
    field = np.ones((height, width, 3), np.float32) * tint.astype(np.float32)
    stain = rng.uniform(0.2, 0.8, 3).astype(np.float32)
    mucus = np.clip(smooth((height, width), rng.uniform(40, 120), rng) - rng.uniform(-0.3, 1.5), 0, 3) * rng.uniform(0, 0.12)
    grain = smooth((height, width), rng.uniform(3, 8), rng) * rng.uniform(0, 0.02)
    field *= np.exp(-(mucus + grain)[..., None] * stain)
    share = height * width / 256**2 / zoom**2
    blue = np.array([rng.uniform(0.7, 1.0), rng.uniform(0.6, 0.8), rng.uniform(0.2, 0.4)], np.float32)
    for _ in range(rng.poisson(rng.choice([0.3, 2, 8]) * share)):
        _leucocyte(field, zoom, blue * rng.uniform(0.8, 1.6), rng)
    for _ in range(rng.poisson(rng.choice([1, 6, 20]) * share)):
        small = (
            rod(rng, rng.uniform(4, 14) * zoom + 2, 2.0)
            if rng.random() < 0.6
            else blob(rng, rng.uniform(1, 3.5) * zoom + 0.5, 0.3)
        )
        _soak(field, small, blue * rng.uniform(0.2, 1.2), rng)
    for _ in range(rng.poisson(0.35 * share)):
        strand = ndimage.gaussian_filter(rod(rng, rng.uniform(60, 250) * zoom, rng.uniform(2, 14) * zoom), rng.uniform(0.5, 3))
        _soak(field, strand, rng.uniform(0.05, 0.5) * rng.uniform(0.3, 1.0, 3), rng)
    for _ in range(rng.poisson(0.25 * share)):
        _soak(field, ndimage.gaussian_filter(blob(rng, rng.uniform(6, 30) * zoom, 0.5), 1.5), rng.uniform(0.1, 1.5, 3), rng)
    return field


def _soak(field: Light, patch: npt.NDArray[np.float32], colour: npt.NDArray[np.float64], rng: np.random.Generator) -> None:
    x, y = int(rng.integers(0, field.shape[1])), int(rng.integers(0, field.shape[0]))
    multiply(field, np.exp(-patch[..., None] * np.asarray(colour, np.float32)), x, y)


def _leucocyte(field: Light, zoom: float, colour: npt.NDArray[np.float32], rng: np.random.Generator) -> None:
    x, y = int(rng.integers(0, field.shape[1])), int(rng.integers(0, field.shape[0]))
    for _ in range(int(rng.integers(1, 5))):
        lobe = blob(rng, rng.uniform(3.0, 5.5) * zoom, 0.15)
        multiply(field, np.exp(-lobe[..., None] * colour), x + int(rng.normal(0, 4 * zoom)), y + int(rng.normal(0, 4 * zoom)))
    if rng.random() < 0.5:
        multiply(field, np.exp(-blob(rng, 11 * zoom, 0.1)[..., None] * colour * 0.08), x, y)


def _place(
    boxes: list[list[float]], size: tuple[float, float], field: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int] | None:
    """A place for a cell of that size; overlaps stay below about a third of the smaller one, but for one in six."""
    for _ in range(12):
        x, y = rng.uniform(0, field[0]), rng.uniform(0, field[1])
        near = 0.2 if rng.random() < 0.16 else 0.75
        if all(abs(x - b[0]) > near * (size[0] + b[2]) / 2 or abs(y - b[1]) > near * (size[1] + b[3]) / 2 for b in boxes):
            return int(x), int(y)
    return None


def field(
    stamps: list[Stamp], kinds: list[int], width: int, height: int, zoom: float, rng: np.random.Generator
) -> tuple[Light, Boxes]:
    """Light (height, width, 3) in 0..1 with a cell of each of ``kinds``, and their boxes; ``zoom`` 1 is MICROMETRES per pixel."""
    light = glass(height, width, zoom, rng)
    by_kind = {k: [s for s in stamps if s.kind == k] for k in set(kinds)}
    boxes: list[list[float]] = []
    for kind in kinds:
        one = by_kind[kind][rng.integers(len(by_kind[kind]))]
        long = LONG_UM[kind] / MICROMETRES * zoom * math.exp(rng.normal(0, 0.18))
        patch = _sized(one.through, long, rng) ** np.float32(rng.uniform(0.85, 1.15))
        h, w = patch.shape[:2]
        spot = _place(boxes, (w, h), (width, height), rng)
        if spot is None:
            continue
        multiply(light, patch, *spot)
        boxes.append([spot[0], spot[1], w * 0.97, h * 0.97, float(kind)])
    return np.clip(light, 0, 1), np.array(boxes, np.float32).reshape(-1, 5)


def alone(cell: Cell, side: int, rng: np.random.Generator) -> tuple[Light, Boxes]:
    """One cell picture as people send it: with its bars, somewhere on an otherwise black tile."""
    long = rng.uniform(0.3, 0.9) * side
    h, w = cell.pixels.shape[:2]
    factor = long / max(h, w)
    size = max(8, round(w * factor)), max(8, round(h * factor))
    part = np.asarray(Image.fromarray(cell.pixels).resize(size, Image.Resampling.BILINEAR), np.float32) / 255
    whole = int(max(size) * rng.uniform(1.0, 1.3))
    colour = np.array(cell.bar) / 255 if rng.random() < 0.7 else rng.uniform(0.2, 1, 3)
    frame = np.ones((whole, whole, 3), np.float32) * colour.astype(np.float32)
    r, c = (whole - size[1]) // 2, (whole - size[0]) // 2
    frame[r : r + size[1], c : c + size[0]] = part
    frame = frame[:side, :side]
    tile = np.zeros((side, side, 3), np.float32)
    top, left = (int(rng.integers(0, side - s + 1)) if rng.random() < 0.5 else 0 for s in frame.shape[:2])
    tile[top : top + frame.shape[0], left : left + frame.shape[1]] = frame
    return tile, np.array([[left + c + size[0] / 2, top + r + size[1] / 2, *size, cell.kind]], np.float32)
