"""Small tools of the phantom: a grid in millimetres, smooth noise, soft shapes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

Map = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Grid:
    """A picture plane: ``x`` (rows, columns) mm sideways and ``y`` mm deep of each sample, both bent a little; ``step`` mm."""

    x: Map
    y: Map
    step: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.x.shape[0], self.x.shape[1]


def noise(shape: tuple[int, int], cells: float, rng: np.random.Generator, stretch: float = 1.0) -> Map:
    """Smooth noise, mean about 0, deviation 1; ``cells`` samples wide, and ``stretch`` times wider than deep."""
    small = (max(2, round(shape[0] / cells) + 1), max(2, round(shape[1] / (cells * stretch)) + 1))
    coarse = rng.standard_normal(small).astype(np.float32)
    full = np.asarray(Image.fromarray(coarse).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))
    return full / max(float(full.std()), 1e-3)


def make_grid(shape: tuple[int, int], step: float, top: float, bend: float, rng: np.random.Generator) -> Grid:
    """A plane that begins ``top`` mm deep, centred sideways; tissue is displaced by up to about ``bend`` mm."""
    rows = (top + step * np.arange(shape[0], dtype=np.float32))[:, None]
    columns = (step * (np.arange(shape[1], dtype=np.float32) - (shape[1] - 1) / 2))[None, :]
    cells = rng.uniform(6, 16) / step
    return Grid(columns + bend * noise(shape, cells, rng), rows + bend * 0.7 * noise(shape, cells * 1.3, rng), step)


def ellipse(grid: Grid, centre: tuple[float, float], half: tuple[float, float], turn: float = 0.0, power: float = 2.0) -> Map:
    """Rough signed distance in mm to an ellipse (``half`` sideways and deep), positive inside."""
    dx, dy = grid.x - centre[0], grid.y - centre[1]
    if turn:
        c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        dx, dy = c * dx + s * dy, c * dy - s * dx
    if power == 2.0:
        r = np.sqrt((dx / half[0]) ** 2 + (dy / half[1]) ** 2)
    else:
        r = (np.abs(dx / half[0]) ** power + np.abs(dy / half[1]) ** power) ** np.float32(1 / power)
    return ((1 - r) * min(half)).astype(np.float32)


def soft(distance: Map, width: float | Map) -> Map:
    """0 outside, 1 inside, a ramp of ``width`` mm between."""
    return np.asarray(np.clip(distance / np.maximum(width, 1e-3) + 0.5, 0, 1), np.float32)


def upright(distance: Map) -> Map:
    """How far an edge faces the probe, 0..1: echoes come from borders across the beam."""
    gy, gx = np.gradient(distance)
    return np.abs(gy) / (np.hypot(gx, gy) + 1e-4)


def line(distance: Map, width: float) -> Map:
    """1 on the edge, falling within ``width`` mm."""
    return np.exp(-((distance / max(width, 1e-3)) ** 2))
