"""What a centre-heat detector is taught: bumps at the centres, sizes there, regions that do not count (CenterNet, Zhou 2019)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from training.microscopy.network import STRIDE, UNIT

Boxes = npt.NDArray[np.float32]  # (n, 5): centre x, centre y, width, height, class; class -1 is "do not know", -2 "certainly not"


@dataclass(frozen=True, slots=True)
class Target:
    """Heat (N, C, h, w), weight (N, 1, h, w), log sizes (N, 2, h, w) and where a centre lies (N, 1, h, w)."""

    heat: Tensor
    weight: Tensor
    size: Tensor
    at: Tensor


def _bump(heat: npt.NDArray[np.float32], x: float, y: float, sigma: float) -> None:
    reach = int(3 * sigma) + 1
    r0, r1 = max(0, int(y) - reach), min(heat.shape[0], int(y) + reach + 1)
    c0, c1 = max(0, int(x) - reach), min(heat.shape[1], int(x) + reach + 1)
    if r0 >= r1 or c0 >= c1:
        return
    rows, columns = np.ogrid[r0:r1, c0:c1]
    bump = np.exp(-((rows - int(y)) ** 2 + (columns - int(x)) ** 2) / (2 * sigma**2)).astype(np.float32)
    np.maximum(heat[r0:r1, c0:c1], bump, out=heat[r0:r1, c0:c1])


def _paint(boxes: Boxes, classes: int, side: int) -> tuple[npt.NDArray[np.float32], ...]:
    heat = np.zeros((classes, side, side), np.float32)
    weight = np.ones((1, side, side), np.float32)
    size, at = np.zeros((2, side, side), np.float32), np.zeros((1, side, side), np.float32)
    for x, y, w, h, kind in boxes:
        gx, gy = x / STRIDE, y / STRIDE
        if kind < 0:
            value = 0.0 if kind == -1 else 2.5
            c0, c1 = int(max(0, gx - w / 2 / STRIDE)), int(max(0, gx + w / 2 / STRIDE + 1))
            r0, r1 = int(max(0, gy - h / 2 / STRIDE)), int(max(0, gy + h / 2 / STRIDE + 1))
            weight[0, r0:r1, c0:c1] = value
            continue
        if not (0 <= gx < side and 0 <= gy < side):
            continue
        _bump(heat[int(kind)], gx, gy, float(np.clip(0.11 * np.sqrt(w * h) / STRIDE, 1.0, 3.5)))
        for dy, dx in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)):
            r, c = int(np.clip(gy + dy, 0, side - 1)), int(np.clip(gx + dx, 0, side - 1))
            size[:, r, c], at[0, r, c] = np.log(np.array([w, h]) / UNIT), 1.0
    return heat, weight, size, at


def target(boxes: list[Boxes], classes: int, side: int) -> Target:
    """The lesson for square tiles of ``side`` pixels; boxes in pixels of their tile."""
    parts = [_paint(b, classes, side // STRIDE) for b in boxes]
    return Target(*(torch.from_numpy(np.stack(p)) for p in zip(*parts, strict=True)))


def loss(heat: Tensor, size: Tensor, goal: Target) -> tuple[Tensor, Tensor]:
    """Focal loss with reduced penalty near centres (mean per object), and L1 of the log sizes."""
    p = heat.sigmoid().clamp(1e-4, 1 - 1e-4)
    here = (goal.heat > 0.999).float()
    positive = -((1 - p) ** 2 * p.log() * here * (goal.weight > 0)).sum()
    negative = -((1 - goal.heat) ** 4 * p**2 * (1 - p).log() * (1 - here) * goal.weight).sum()
    extent = functional.l1_loss(size * goal.at, goal.size * goal.at, reduction="sum") / (2 * goal.at.sum() + 1)
    return (positive + negative) / (here.sum() + len(heat) * 0.5), extent
