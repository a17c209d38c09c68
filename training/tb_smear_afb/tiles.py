"""Batches of tiles: cut from real and made-up fields at another scale and turn, real bacilli pasted in, boxes moved along."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from training.microscopy import augment
from training.microscopy.heat import Boxes
from training.tb_smear_afb.fields import SmearField

SIDE = 256
ZOOM = (0.55, 1.75)
Tile = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Cutting:
    """One real object as what it takes from the light: ``density`` (rows, columns, 3), its box size and class."""

    density: Tile
    width: float
    height: float
    kind: float


def cuttings(fields: list[SmearField]) -> list[Cutting]:
    """The real bacilli and clusters that lie free enough to be moved to another place."""
    found = []
    for f in fields:
        for x, y, w, h, kind in f.boxes:
            half = int(max(w, h) / 2 + 6)
            r0, c0 = int(y) - half, int(x) - half
            if kind >= 0 and min(r0, c0) >= 0 and r0 + 2 * half < f.pixels.shape[0] and c0 + 2 * half < f.pixels.shape[1]:
                density = _taken(f.pixels[r0 : r0 + 2 * half, c0 : c0 + 2 * half])
                if density is not None:
                    found.append(Cutting(density, w, h, kind))
    return found


def _taken(part: npt.NDArray[np.uint8]) -> Tile | None:
    """Density of the stain against the rim of the cutting; None when the rim itself is busy."""
    od = -np.log(part.astype(np.float32) / 255 + 0.01)
    rim = np.concatenate([od[:3].reshape(-1, 3), od[-3:].reshape(-1, 3), od[:, :3].reshape(-1, 3), od[:, -3:].reshape(-1, 3)])
    if rim.std(0).max() > 0.12:
        return None
    od -= np.median(rim, 0)
    red = ndimage.gaussian_filter(od[..., 1] - 0.6 * od[..., 0], 1.0)
    mask = np.clip((red - 0.08) / max(0.1, 0.4 * float(red.max())), 0, 1)
    mask = ndimage.gaussian_filter(ndimage.maximum_filter(mask, 5), 1.0)
    return np.asarray(od * mask[..., None], np.float32) if red.max() > 0.15 else None


class Tiles:
    """Draws batches; the same seed gives the same batches."""

    def __init__(self, real: list[SmearField], made: list[SmearField], seed: int) -> None:
        self._real, self._made, self._rng = real, made, np.random.default_rng(seed)
        self._cuttings = cuttings(real)

    def _middle(self, field: SmearField) -> tuple[float, float]:
        rng = self._rng
        h, w = field.pixels.shape[:2]
        if len(field.boxes) and rng.random() < 0.75:
            weights = np.where(field.boxes[:, 4] < 0, 2.0, 1.0)
            x, y = field.boxes[rng.choice(len(weights), p=weights / weights.sum()), :2]
            return float(x + rng.uniform(-90, 90)), float(y + rng.uniform(-90, 90))
        return float(rng.uniform(0, w)), float(rng.uniform(0, h))

    def _cut(self, field: SmearField) -> tuple[Tensor, Boxes]:
        rng = self._rng
        zoom = math.exp(rng.uniform(math.log(ZOOM[0]), math.log(ZOOM[1])))
        angle = rng.integers(0, 4) * math.pi / 2 + rng.normal(0, 0.12)
        mirror = 1.0 if rng.random() < 0.5 else -1.0
        x, y = self._middle(field)
        reach = int(SIDE / zoom * 0.75) + 2
        h, w = field.pixels.shape[:2]
        x, y = (float(np.clip(v, min(reach, n / 2) * 0.6, n - min(reach, n / 2) * 0.6)) for v, n in ((x, w), (y, h)))
        c0, c1, r0, r1 = max(0, int(x) - reach), min(w, int(x) + reach), max(0, int(y) - reach), min(h, int(y) + reach)
        part = torch.from_numpy(np.ascontiguousarray(field.pixels[r0:r1, c0:c1])).permute(2, 0, 1)[None].float() / 255
        cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
        # offsets in the tile (u, v) show the source at (x + mirror * (cos u - sin v), y + sin u + cos v)
        line = torch.arange(SIDE).float() + 0.5 - SIDE / 2
        v, u = torch.meshgrid(line, line, indexing="ij")
        gx = (x - c0 + mirror * (cos * u - sin * v)) / (c1 - c0) * 2 - 1
        gy = (y - r0 + sin * u + cos * v) / (r1 - r0) * 2 - 1
        grid = torch.stack([gx, gy], -1)[None]
        tile = functional.grid_sample(part, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        return tile, self._moved(field.boxes, (x, y), angle, zoom, mirror)

    def _moved(self, boxes: Boxes, middle: tuple[float, float], angle: float, zoom: float, mirror: float) -> Boxes:
        if not len(boxes):
            return boxes
        dx, dy = (boxes[:, 0] - middle[0]) * mirror, boxes[:, 1] - middle[1]
        out = boxes.copy()
        out[:, 0] = (math.cos(angle) * dx + math.sin(angle) * dy) * zoom + SIDE / 2
        out[:, 1] = (-math.sin(angle) * dx + math.cos(angle) * dy) * zoom + SIDE / 2
        quarter = round(angle / (math.pi / 2)) % 2
        out[:, 2:4] = (boxes[:, [3, 2]] if quarter else boxes[:, 2:4]) * zoom
        near = (np.abs(out[:, :2] - SIDE / 2) < SIDE / 2 + 40).all(1)
        return out[near]

    def _paste(self, tile: Tensor, boxes: Boxes) -> Boxes:
        """Puts a few real bacilli on the tile, away from what is there."""
        rng, added = self._rng, []
        for _ in range(int(rng.integers(1, 5))):
            one = self._cuttings[rng.integers(len(self._cuttings))]
            quarter = int(rng.integers(0, 4))
            zoom = math.exp(rng.uniform(-0.5, 0.45))
            density = ndimage.zoom(np.rot90(one.density, quarter), (zoom, zoom, 1), order=1)
            half = density.shape[0] // 2
            if 2 * half >= SIDE - 4:
                continue
            x, y = (int(rng.integers(half, SIDE - half)) for _ in range(2))
            known = np.array([*boxes[:, :2].tolist(), *[a[:2] for a in added]]).reshape(-1, 2)
            if len(known) and (np.abs(known - (x, y)).max(1) < half + 14).any():
                continue
            view = tile[0, :, y - half : y + half, x - half : x + half]
            view *= torch.exp(-torch.from_numpy(density[: 2 * half, : 2 * half] * rng.uniform(0.5, 1.3)).permute(2, 0, 1))
            w, h = (one.height, one.width) if quarter % 2 else (one.width, one.height)
            added.append((x, y, w * zoom, h * zoom, one.kind))
        return np.concatenate([boxes, np.array(added, np.float32).reshape(-1, 5)])

    def batch(self, size: int) -> tuple[Tensor, list[Boxes]]:
        """Light (size, 3, SIDE, SIDE) in 0..1 as another laboratory would see it, and the boxes of each tile."""
        tiles, lists = [], []
        for _ in range(size):
            source = self._real if self._rng.random() < 0.62 else self._made
            tile, boxes = self._cut(source[self._rng.integers(len(source))])
            if self._rng.random() < 0.4:
                boxes = self._paste(tile, boxes)
            tiles.append(tile)
            lists.append(boxes)
        x = augment.light(torch.cat(tiles).clamp(0, 1))
        return augment.compress(x, self._rng), lists
