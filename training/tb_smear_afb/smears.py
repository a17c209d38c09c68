"""Simulated smears: real fields emptied of their bacilli, real bacilli put back in known numbers, a hundred fields to a smear."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from training.tb_smear_afb import tiles
from training.tb_smear_afb.fields import SmearField

GRADES = ("negative", "scanty", "1+", "2+", "3+")
MOST = 24


def grade(per_100: float) -> int:
    """Position in GRADES of a count per 100 fields (IUATLD/WHO), as report.json has it."""
    return int(per_100 > 0) + int(per_100 >= 9.5) + int(per_100 >= 99.5) + int(per_100 > 1000)


def emptied(field: SmearField) -> npt.NDArray[np.uint8]:
    """The field with every boxed thing covered by a piece of its own surroundings, softly blended."""
    pixels = field.pixels.astype(np.float32)
    h, w = pixels.shape[:2]
    covered = np.zeros((h, w), bool)
    for x, y, bw, bh, _ in field.boxes:
        covered[max(0, int(y - bh / 2) - 6) : int(y + bh / 2) + 6, max(0, int(x - bw / 2) - 6) : int(x + bw / 2) + 6] = True
    for x, y, bw, bh, _ in field.boxes:
        _cover(pixels, covered, int(x), int(y), int(bw / 2) + 8, int(bh / 2) + 8)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _cover(pixels: npt.NDArray[np.float32], covered: npt.NDArray[np.bool_], x: int, y: int, rx: int, ry: int) -> None:
    h, w = covered.shape
    c0, c1, r0, r1 = max(0, x - rx), min(w, x + rx), max(0, y - ry), min(h, y + ry)
    size = (r1 - r0, c1 - c0)
    rim = np.median(pixels[r0:r1, c0:c1].reshape(-1, 3), 0)
    best, least = None, np.inf
    for away in (1.0, 1.5, 2.2, 3.2):
        for turn in np.arange(0, 2 * np.pi, np.pi / 6):
            r, c = r0 + int(np.sin(turn) * away * 2 * ry), c0 + int(np.cos(turn) * away * 2 * rx)
            if r < 0 or c < 0 or r + size[0] > h or c + size[1] > w or covered[r : r + size[0], c : c + size[1]].any():
                continue
            part = pixels[r : r + size[0], c : c + size[1]]
            cost = float(part.std() + np.abs(np.median(part.reshape(-1, 3), 0) - rim).max())
            if cost < least:
                best, least = part.copy(), cost
    if best is None:
        best = np.broadcast_to(rim, (*size, 3))
    mask = np.zeros((size[0] + 16, size[1] + 16), np.float32)  # no soft edge along the borders of the field
    mask[12 if r0 else 0 : -12 if r1 < h else None, 12 if c0 else 0 : -12 if c1 < w else None] = 1
    mask = ndimage.gaussian_filter(mask, 2, mode="nearest")[8:-8, 8:-8, None]
    pixels[r0:r1, c0:c1] = pixels[r0:r1, c0:c1] * (1 - mask) + (best - np.median(best.reshape(-1, 3), 0) + rim) * mask


@dataclass(frozen=True, slots=True)
class Composed:
    """``pixels`` with ``count`` single bacilli on it."""

    pixels: npt.NDArray[np.uint8]
    count: int


def compose(empty: npt.NDArray[np.uint8], cuttings: list[tiles.Cutting], count: int, rng: np.random.Generator) -> Composed:
    """``count`` single bacilli on an empty field, turned by quarters, not on each other."""
    light = empty.astype(np.float32)
    light = light[::-1] if rng.random() < 0.5 else light
    light = np.ascontiguousarray(light[:, ::-1] if rng.random() < 0.5 else light)
    singles = [c for c in cuttings if c.kind == 0]
    taken: list[tuple[int, int]] = []
    while len(taken) < count:
        one = np.rot90(singles[rng.integers(len(singles))].density, int(rng.integers(0, 4)))
        half = one.shape[0] // 2
        x, y = int(rng.integers(half, light.shape[1] - half)), int(rng.integers(half, light.shape[0] - half))
        if all(max(abs(x - a), abs(y - b)) > 45 for a, b in taken):
            light[y - half : y + half, x - half : x + half] *= np.exp(-one[: 2 * half, : 2 * half])
            taken.append((x, y))
    return Composed(np.clip(np.rint(light), 0, 255).astype(np.uint8), count)


def pool(fields: list[SmearField], each: int, seed: int = 0) -> list[Composed]:
    """``each`` composed fields of every count from 0 to MOST (of count 0 four times as many)."""
    rng = np.random.default_rng(seed)
    empty, cuttings = [emptied(f) for f in fields], tiles.cuttings(fields)
    numbers = [0] * 4 * each + [n for n in range(1, MOST + 1) for _ in range(each)]
    return [compose(empty[i % len(empty)], cuttings, n, rng) for i, n in enumerate(numbers)]


def simulate(truth: list[int], found: list[float], smears: int, seed: int = 0) -> dict[str, list[int]]:
    """Smears of 100 fields drawn from the pool: for each true grade, how often each grade was found."""
    rng = np.random.default_rng(seed)
    by_count = {n: [f for t, f in zip(truth, found, strict=True) if t == n] for n in set(truth)}
    table = {name: [0] * len(GRADES) for name in GRADES}
    spans = ((0.0, 0.0), (0.01, 0.09), (0.1, 0.99), (1.0, 9.9), (10.1, 16.0))
    for low, high in spans:
        made = 0
        while made < smears:
            counts = np.minimum(rng.poisson(rng.uniform(low, high), 100), MOST)
            if grade(float(counts.sum())) != spans.index((low, high)):
                continue
            seen = sum(by_count[int(n)][rng.integers(len(by_count[int(n)]))] for n in counts)
            table[GRADES[grade(float(counts.sum()))]][grade(seen)] += 1
            made += 1
    return table
