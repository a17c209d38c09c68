"""Composed slides, the index of abnormality they are ranked by, and the limit from which on one is positive."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from training.cervical_lbc import cells, compose, fields, singles
from training.cervical_lbc.cells import Cell
from training.cervical_lbc.singles import auc
from training.cervical_lbc.where import CROP, LEAST_INDEX, NORMAL, OUT, PACKAGE, SURE
from training.microscopy import decode

SIDE, CELLS = 2048, 130  # pixels of 0.25 micrometres; cells of a slide
SETTING, JUDGED = (98, 24), (97, 32)  # seed and number of the slides that set the limit, and of those only judged
Floats = npt.NDArray[np.float64]


def classes(rng: np.random.Generator, abnormal_share: float, count: int) -> list[int]:
    """Classes of the cells of a slide, mostly superficial and intermediate."""
    abnormal = round(abnormal_share * count)
    normal = rng.choice(3, count - abnormal, p=[0.45, 0.45, 0.1]).tolist()
    return [*normal, *rng.choice([3, 4, 5, 6], abnormal, p=[0.4, 0.25, 0.2, 0.15]).tolist()]


def index(abnormal: Floats, sure: float = SURE) -> float:
    """Of a slide or picture: the mean over its cells of what the classifier says of *surely abnormal*; 0 without cells."""
    yes = abnormal * (1 - sure)
    return float((yes / (yes + (1 - abnormal) * sure)).mean()) if len(abnormal) else 0.0


def crops(pool: Sequence[Cell], seed: int, number: int) -> npt.NDArray[np.uint8]:
    """Crops (n, 64, 64, 3) of what the finder sees on slide ``number`` of the cells of ``pool``; every other slide holds 2 to 15
    per cent abnormal cells. They are kept, for making them takes seconds; another finder makes them anew."""
    kept = OUT / f"slide-{zlib.crc32((PACKAGE / 'network-int8.bin').read_bytes()):08x}-{len(pool)}-{seed}-{number:02d}.npz"
    if not kept.exists():
        rng = np.random.default_rng((seed, number))
        kinds = classes(rng, rng.uniform(0.02, 0.15) if number % 2 else 0.0, CELLS)
        light, _ = compose.field([compose.stamp(c) for c in pool], kinds, SIDE, SIDE, 2.0, rng)
        pixels = np.asarray(light * 255, np.uint8)
        boxes = fields.find(decode.compiled(PACKAGE, "network", "int8"), pixels, 1024)
        np.savez(kept, crops=np.array([fields.crop(pixels, b) for b in boxes], np.uint8).reshape(-1, CROP, CROP, 3))
    with np.load(kept) as file:
        return np.asarray(file["crops"])


def read(pool: Sequence[Cell], seed: int, count: int) -> list[tuple[Floats, bool]]:
    """Probabilities of abnormal of the cells found on ``count`` slides; and whether the slide holds abnormal ones."""
    classifier = singles.network("int8")
    tables = [singles.probabilities(classifier, list(crops(pool, seed, n))) for n in range(count)]
    return [(table[:, NORMAL:].sum(1), n % 2 == 1) for n, table in enumerate(tables)]


def limit(indices: Sequence[float], abnormal: Sequence[bool]) -> float:
    """The limit that parts the slides best: the most right on both sides together; the middle of the widest such gap."""
    values, truth = np.array(indices), np.array(abnormal)
    ordered = np.sort(values)
    gaps = np.stack([ordered[:-1], ordered[1:]], 1)
    right = [(values[truth] >= m).mean() + (values[~truth] < m).mean() for m in gaps.mean(1)]
    best = [gap for gap, share in zip(gaps, right, strict=True) if share >= max(right) - 1e-9]
    return float(np.mean(max(best, key=lambda gap: gap[1] - gap[0])))


def called(indices: Sequence[float], truth: Sequence[bool], least: float) -> dict[str, Any]:
    """How well the index parts slides, and what a limit of ``least`` makes of them."""
    positive, abnormal = np.array(indices) >= least, np.array(truth)
    return {
        "slides": len(truth),
        "auc": round(auc(np.array(indices), abnormal), 3),
        "sensitivity": round(float(positive[abnormal].mean()), 3),
        "specificity": round(float((~positive)[~abnormal].mean()), 3),
        "indices": [round(float(v), 4) for v in indices],
        "truth": [bool(v) for v in truth],
    }


def measure(every: Sequence[Cell]) -> dict[str, Any]:
    """Slides of cells taught, which the limit comes from; slides of cells held out, judged by the limit that ships."""
    setting, judged = read(cells.training(list(every)), *SETTING), read(cells.held_out(list(every)), *JUDGED)
    indices, truth = [index(abnormal) for abnormal, _ in setting], [t for _, t in setting]
    return {
        "limit": round(limit(indices, truth), 4),
        "setting": called(indices, truth, LEAST_INDEX),
        "judged": called([index(abnormal) for abnormal, _ in judged], [t for _, t in judged], LEAST_INDEX),
    }
