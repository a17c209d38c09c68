"""Crops for the classifier: a cell on the background it may be met on, turned, scaled, and seen by another laboratory."""

import math

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from training.cervical_lbc import compose, nucleus
from training.cervical_lbc.cells import Cell
from training.cervical_lbc.where import CLASSES, CROP, MARGIN
from training.microscopy import augment

LONG, CANVAS = 110, 168  # the cell's longer side, and the square it lies in, before the crop is taken
FINER = 4  # pixels of the crop to one of the nucleus the classifier draws
Pixels = npt.NDArray[np.uint8]


def _small(cell: Cell) -> Cell:
    h, w = cell.pixels.shape[:2]
    factor = LONG / max(h, w)
    size = max(8, round(w * factor)), max(8, round(h * factor))
    way = Image.Resampling.BOX if factor < 1 else Image.Resampling.BILINEAR
    return Cell(cell.name, cell.group, cell.kind, np.asarray(Image.fromarray(cell.pixels).resize(size, way)), cell.bar)


def plain(cell: Cell) -> Pixels:
    """The crop the node would take of a cell picture: uint8 (CROP, CROP, 3), MARGIN around the cell, the bars in their colour."""
    h, w = cell.pixels.shape[:2]
    side = round(max(h, w) * MARGIN)
    square = np.ones((side, side, 3), np.uint8) * np.array(cell.bar, np.uint8)
    r, c = (side - h) // 2, (side - w) // 2
    square[r : r + h, c : c + w] = cell.pixels
    return np.asarray(Image.fromarray(square).resize((CROP, CROP), Image.Resampling.BOX))


class Crops:
    """Draws batches from real and made-up cells, which are laid on their backgrounds once, before training."""

    def __init__(self, real: list[Cell], made: list[Cell], seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        small = [_small(c) for c in real], [_small(c) for c in made]
        self._all = small[0]
        self._pools = []
        for pool in small:
            kinds = np.array([c.kind for c in pool])
            often = 1 / np.sqrt(np.bincount(kinds, minlength=len(CLASSES)))[kinds]  # rare classes are drawn somewhat more often
            laid = torch.from_numpy(np.stack([self._laid(c) for c in pool]))
            self._pools.append((laid, kinds, often / often.sum()))

    def _laid(self, cell: Cell) -> Pixels:
        """(3 backgrounds, 5, CANVAS, CANVAS): colour; the nucleus (0 or 255); 255 where the nucleus is known."""
        h, w = cell.pixels.shape[:2]
        place = slice((CANVAS - h) // 2, (CANVAS - h) // 2 + h), slice((CANVAS - w) // 2, (CANVAS - w) // 2 + w)
        out = np.zeros((3, 5, CANVAS, CANVAS), np.uint8)
        for canvas, ground in zip(out, (self._bars(cell), self._other(cell), self._glass(cell, place)), strict=True):
            canvas[:3] = ground.transpose(2, 0, 1)
            found = nucleus.mask(cell.pixels)
            if found is not None:
                canvas[3][place], canvas[4] = found * 255, 255
        for canvas in out[:2]:
            canvas[(slice(0, 3), *place)] = cell.pixels.transpose(2, 0, 1)
        return out

    def _bars(self, cell: Cell) -> Pixels:
        return np.full((CANVAS, CANVAS, 3), cell.bar, np.uint8)

    def _other(self, cell: Cell) -> Pixels:
        """Black, the brightest colour of the cell, or another cell."""
        rng, kind = self._rng, self._rng.integers(4)
        if kind >= 2:
            part = self._all[rng.integers(len(self._all))].pixels
            return np.asarray(Image.fromarray(part).resize((CANVAS, CANVAS)))
        return np.full((CANVAS, CANVAS, 3), 0 if kind == 0 else cell.pixels.reshape(-1, 3).max(0), np.uint8)

    def _glass(self, cell: Cell, place: tuple[slice, slice]) -> Pixels:
        """On the glass of a field, the frame of the picture faded out, a neighbour near it or on it."""
        rng = self._rng
        light = np.ones((CANVAS, CANVAS, 3), np.float32) * rng.uniform(0.7, 0.97, 3).astype(np.float32).clip(0.8)
        light[place] *= compose.stamp(cell).through
        if rng.random() < 0.6:
            patch = compose.stamp(self._all[rng.integers(len(self._all))]).through
            angle, away = rng.uniform(0, 2 * math.pi), rng.uniform(75, 110)
            middle = (CANVAS / 2 + away * np.array([math.cos(angle), math.sin(angle)])).astype(int)
            compose.multiply(light, patch, int(middle[0]), int(middle[1]))
        return np.asarray(light.clip(0, 1) * 255, np.uint8)

    def _draw(self, size: int, made: float) -> tuple[Tensor, Tensor]:
        parts, kinds, painted = [], [], int(self._rng.binomial(size, made))
        for (laid, known, often), count in zip(self._pools, (size - painted, painted), strict=True):
            chosen = self._rng.choice(len(known), count, p=often)
            ground = self._rng.choice(3, count, p=[0.5, 0.15, 0.35])
            parts.append(laid[torch.from_numpy(chosen), torch.from_numpy(ground)])
            kinds.append(torch.from_numpy(known[chosen]))
        return torch.cat(parts).float() / 255, torch.cat(kinds)

    def _turns(self, size: int) -> Tensor:
        rng = self._rng
        quarter = rng.integers(0, 4, size) * math.pi / 2
        angle = np.where(rng.random(size) < 0.5, rng.uniform(0, 2 * math.pi, size), quarter)
        scale = LONG * MARGIN / CANVAS * np.exp(rng.uniform(-0.25, 0.25, size))
        stretch, mirror = np.exp(rng.uniform(-0.12, 0.12, size)), rng.choice([-1, 1], size)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
        factors = np.stack([stretch * mirror, 1 / stretch], 1)[:, None] * scale[:, None, None]
        shift = rng.uniform(-0.06, 0.06, (size, 2, 1))
        return torch.from_numpy(np.concatenate([turn * factors, shift], 2).astype(np.float32))

    def batch(self, size: int, made: float) -> tuple[Tensor, Tensor, Tensor]:
        """Light (size, 3, CROP, CROP), classes (size,), and the nucleus with where it is known (size, 2, CROP / 4, CROP / 4).

        ``made`` is the share of made-up cells.
        """
        canvas, kinds = self._draw(size, made)
        grid = functional.affine_grid(self._turns(size), [size, 5, CROP, CROP], align_corners=False)
        seen = functional.grid_sample(canvas, grid, mode="bilinear", padding_mode="border", align_corners=False)
        x, lesson = seen[:, :3].clamp(0, 1), functional.avg_pool2d(seen[:, 3:], FINER)
        changed = torch.rand(size) < 0.5  # the others as they came: fine chromatin must be seen too
        x[changed] = augment.light(x[changed], blur=1.2)
        return augment.compress(x, self._rng, 0.15), kinds, lesson
