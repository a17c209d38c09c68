"""The training pool on disk: chunks of phantom pictures with label maps and the features of their nodules."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.thyroid_us_nodule import phantom
from training.thyroid_us_nodule.nodule import Nodule

CHUNK = 250
TRAIN_CHUNKS = 100  # seeds 0 up to CHUNK * TRAIN_CHUNKS are trained on; test seeds begin at TEST_SEED
TEST_SEED, TEST_COUNT = 1_000_000, 200
VALIDATION_SEED, VALIDATION_COUNT = 3_000_000, 300  # what choices are made with: weights, thresholds, precision
CALIBRATION_SEED, CALIBRATION_COUNT = 4_000_000, 200  # what the quantiser looks at
MOST, FEATURES = 3, 9  # nodules in a picture; numbers that describe one


@dataclass(frozen=True, slots=True)
class Chunk:
    """``pixels`` and ``labels`` uint8 (N, 256, 256); ``features`` int8 (N, 3, 9), -1 where there is no nodule."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    features: npt.NDArray[np.int8]


def describe(nodule: Nodule) -> list[int]:
    """Composition, echo, margin, four foci, halo, taller than wide."""
    return [nodule.composition, nodule.echo, nodule.margin, *map(int, nodule.foci), int(nodule.halo), int(nodule.taller)]


def draw(seeds: range) -> Chunk:
    """Phantoms of these numbers."""
    return chunk([phantom.make(seed) for seed in seeds])


def chunk(made: list[phantom.Phantom]) -> Chunk:
    """Phantoms in one piece."""
    features = np.full((len(made), MOST, FEATURES), -1, np.int8)
    for k, one in enumerate(made):
        for n, nodule in enumerate(one.nodules):
            features[k, n] = describe(nodule)
    return Chunk(np.stack([m.pixels for m in made]), np.stack([m.labels for m in made]), features)


def prepare(folder: Path, chunks: int = TRAIN_CHUNKS) -> None:
    """Writes the chunks that are not there yet; a reader never sees half a file."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(chunks):
        path = folder / f"chunk-{k:03d}.npz"
        if not path.exists():
            made = draw(range(CHUNK * k, CHUNK * (k + 1)))
            part = path.with_suffix(".part.npz")
            np.savez(part, pixels=made.pixels, labels=made.labels, features=made.features)
            part.rename(path)


def load(path: Path) -> Chunk:
    """A chunk written by ``prepare``."""
    with np.load(path) as held:
        return Chunk(held["pixels"], held["labels"], held["features"])


def paths(folder: Path) -> Iterator[Path]:
    """The finished chunks."""
    return (p for p in sorted(folder.glob("chunk-*.npz")) if ".part" not in p.name)
