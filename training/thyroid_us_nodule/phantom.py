"""One phantom ultrasound picture of number ``seed``: scene, sound, sector, screen; every nodule in it can be seen."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.thyroid_us_nodule import scene, screen, sound, visible
from training.thyroid_us_nodule.nodule import Nodule

SIZE = 256


@dataclass(frozen=True, slots=True)
class Phantom:
    """``pixels`` and ``labels`` uint8 (SIZE, SIZE); label k belongs to ``nodules[k - 1]``; ``step`` mm, before any frame."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    nodules: tuple[Nodule, ...]
    step: float


def _shape(rng: np.random.Generator) -> tuple[int, int]:
    """Rows and columns of the ultrasound part: filling the picture in one direction, or smaller inside a screen."""
    ratio = float(np.exp(rng.normal(-0.18, 0.22)))  # rows by columns
    largest = SIZE if rng.random() < 0.78 else int(rng.uniform(165, SIZE - 8))
    if ratio < 1:
        return max(96, int(largest * ratio)), largest
    return largest, max(96, int(largest / ratio))


def make(seed: int, unseen: bool = False) -> Phantom:
    """Equal seeds give equal pictures. Pictures with a nodule nobody could see are drawn again, unless ``unseen`` is allowed."""
    made = _draw(np.random.default_rng(seed))
    tries = 0
    while not unseen and not visible.all_seen(made.pixels, made.labels):
        tries += 1
        made = _draw(np.random.default_rng((seed, tries)))
    return made


def _draw(rng: np.random.Generator) -> Phantom:
    drawn = scene.compose(_shape(rng), rng)
    grey, labels = sound.insonify(drawn.tissue, rng), drawn.labels
    if rng.random() < 0.22:
        grey, labels = screen.sector(grey, labels, rng)
    grey, labels, box = screen.frame(grey, labels, SIZE, rng)
    grey = screen.annotate(grey, labels, box, rng)
    if rng.random() < 0.12:
        grey, labels = screen.photograph(grey, labels, rng)
    return Phantom(screen.stored(grey, rng), labels, tuple(drawn.nodules), drawn.tissue.grid.step)
