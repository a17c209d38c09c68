"""Crops for the classifier: a cell on the background it may be met on, turned, scaled, and seen by another laboratory."""

import math

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from training.cervical_lbc.cells import Cell
from training.cervical_lbc.where import CROP, MARGIN
from training.microscopy import augment

LONG, CANVAS = 110, 168  # the cell's longer side, and the square it lies in, before the crop is taken


def _small(cell: Cell) -> npt.NDArray[np.uint8]:
    h, w = cell.pixels.shape[:2]
    factor = LONG / max(h, w)
    size = max(8, round(w * factor)), max(8, round(h * factor))
    return np.asarray(
        Image.fromarray(cell.pixels).resize(size, Image.Resampling.BOX if factor < 1 else Image.Resampling.BILINEAR)
    )


def plain(cell: Cell) -> npt.NDArray[np.uint8]:
    """The crop the node would take of a cell picture: uint8 (CROP, CROP, 3), MARGIN around the cell, the bars in their colour."""
    h, w = cell.pixels.shape[:2]
    side = round(max(h, w) * MARGIN)
    square = np.ones((side, side, 3), np.uint8) * np.array(cell.bar, np.uint8)
    r, c = (side - h) // 2, (side - w) // 2
    square[r : r + h, c : c + w] = cell.pixels
    return np.asarray(Image.fromarray(square).resize((CROP, CROP), Image.Resampling.BOX))


class Crops:
    """Draws batches from real and made-up cells; classes are drawn equally often."""

    def __init__(self, real: list[Cell], made: list[Cell], seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._pools = []
        for pool in (real, made):
            self._pools.append([[(_small(c), c) for c in pool if c.kind == k] for k in range(7)])

    def _ground(self, cell: Cell) -> npt.NDArray[np.float32]:
        rng = self._rng
        kind = rng.choice(4, p=[0.4, 0.15, 0.2, 0.25])
        if kind == 3:
            other = self._pools[0][rng.integers(7)]
            part = Image.fromarray(other[rng.integers(len(other))][0]).resize((CANVAS, CANVAS))
            return np.asarray(part, np.float32)
        colour = (cell.bar, (0, 0, 0), tuple(cell.pixels.reshape(-1, 3).max(0)))[kind]
        return np.ones((CANVAS, CANVAS, 3), np.float32) * np.array(colour, np.float32)

    def _one(self, made: bool) -> tuple[Tensor, int]:
        rng, kind = self._rng, int(self._rng.integers(7))
        pool = self._pools[int(made)][kind]
        small, cell = pool[rng.integers(len(pool))]
        canvas = self._ground(cell)
        h, w = small.shape[:2]
        r, c = (CANVAS - h) // 2, (CANVAS - w) // 2
        canvas[r : r + h, c : c + w] = small
        angle = rng.uniform(0, 2 * math.pi) if rng.random() < 0.5 else rng.integers(0, 4) * math.pi / 2
        scale = LONG * MARGIN / CANVAS * math.exp(rng.uniform(-0.28, 0.28))
        stretch, mirror = math.exp(rng.uniform(-0.12, 0.12)), 1 if rng.random() < 0.5 else -1
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        matrix = turn @ np.diag([stretch * mirror, 1 / stretch]) * scale
        theta = torch.from_numpy(np.concatenate([matrix, rng.uniform(-0.07, 0.07, (2, 1))], 1).astype(np.float32))[None]
        grid = functional.affine_grid(theta, [1, 3, CROP, CROP], align_corners=False)
        light = torch.from_numpy(canvas).permute(2, 0, 1)[None] / 255
        return functional.grid_sample(light, grid, mode="bilinear", padding_mode="border", align_corners=False), kind

    def batch(self, size: int, made: float) -> tuple[Tensor, Tensor]:
        """Light (size, 3, CROP, CROP) and classes (size,); ``made`` is the share of made-up cells."""
        pairs = [self._one(bool(self._rng.random() < made)) for _ in range(size)]
        x = torch.cat([p[0] for p in pairs]).clamp(0, 1)
        x = torch.where(torch.rand(size, 1, 1, 1) < 0.35, x, augment.light(x, blur=1.6))  # fine chromatin must be seen too
        return augment.compress(x, self._rng, 0.4), torch.tensor([p[1] for p in pairs])
