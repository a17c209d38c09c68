"""The training pool on disk: stacks of neighbouring slices with lung and opacity labels, phantom and real."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.chest_ct_opacity import lesions, real, scan

OUT = Path(__file__).resolve().parents[1] / "out" / "chest_ct_opacity"
PHANTOM_SEEDS, SEVERE_SEEDS = range(1000, 1036), range(1100, 1104)
IGNORE = 255


@dataclass(frozen=True, slots=True)
class Stack:
    """``hu`` int16, ``lungs`` and ``opacity`` uint8, all (slices, rows, columns); label 255 is not trained on."""

    hu: npt.NDArray[np.int16]
    lungs: npt.NDArray[np.uint8]
    opacity: npt.NDArray[np.uint8]

    def save(self, path: Path) -> None:
        """Writes so that a reader never sees half a file."""
        part = path.with_suffix(".part.npz")
        np.savez(part, hu=self.hu, lungs=self.lungs, opacity=self.opacity)
        part.rename(path)


def load(path: Path) -> Stack:
    """A stack written by ``save``."""
    with np.load(path) as held:
        return Stack(held["hu"], held["lungs"], held["opacity"])


def phantoms(folder: Path) -> None:
    """One file per phantom study, the severe ones full of widespread opacities; those that exist are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in (*PHANTOM_SEEDS, *SEVERE_SEEDS):
        path = folder / f"phantom-{seed}.npz"
        if not path.exists():
            severe = seed in SEVERE_SEEDS
            hu, lungs, opacity, _ = scan.study(seed, lesion_count=14, diffuse=0.4) if severe else scan.study(seed)
            Stack(hu, lungs, opacity).save(path)


def _neighbours(image: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Three slices made from one: the outer two slightly moved, because real neighbours never coincide."""
    stack = [np.roll(image, rng.integers(-1, 2, 2), (0, 1)) if k != 1 else image for k in range(3)]
    return np.stack(stack).astype(np.float32)


def with_lesions(slice_: real.Slice, rng: np.random.Generator, count: int, diffuse: float = 0.25, small: bool = False) -> Stack:
    """A real slice with ``count`` painted opacities added to the ones it has."""
    hu = _neighbours(slice_.hu, rng)
    lungs = np.repeat(slice_.lungs[None], 3, 0)
    healthy = np.where((slice_.opacity == 0) & (slice_.lungs < IGNORE), slice_.lungs, 0)
    spacing = (5.0, slice_.pixel_mm, slice_.pixel_mm)
    painted = lesions.add(hu, np.repeat(healthy[None], 3, 0), spacing, rng, count, diffuse, small)
    opacity = np.where(painted > 0, painted, np.repeat(slice_.opacity[None], 3, 0)).astype(np.uint8)
    return Stack(np.clip(np.rint(hu), -1024, 3071).astype(np.int16), lungs, opacity)


def reals(folder: Path, data: Path, variants: int = 8, severe: int = 2, small: int = 3) -> None:
    """Stacks of three slices from the real training images: plain, with painted opacities, with very many, with small ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, slice_ in real.training(data):
        rng = np.random.default_rng(sum(name.encode()))
        for k in range(variants):
            count = 0 if k < variants // 2 else int(rng.integers(1, 6))
            with_lesions(slice_, rng, count).save(folder / f"{name}-{k}.npz")
        for k in range(severe):
            with_lesions(slice_, rng, int(rng.integers(6, 14)), 0.6).save(folder / f"{name}-severe{k}.npz")
        for k in range(small):
            with_lesions(slice_, rng, int(rng.integers(1, 9)), 0.0, small=True).save(folder / f"{name}-small{k}.npz")
