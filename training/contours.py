"""A sheet of grey pictures with two contours each, for model cards: what is there in green, what the network answered in red."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

TRUTH, ANSWER = (0, 200, 80), (240, 50, 40)
SIDE, ACROSS = 256, 4
Mask = npt.NDArray[np.bool_]
Case = tuple[npt.NDArray[np.uint8], Mask, Mask]  # grey, truth, answer: (rows, columns) each


def sheet(cases: Sequence[Case], path: Path) -> None:
    """Writes a JPEG of SIDE pixels for each picture, ACROSS in a row; both contours are drawn one pixel wide."""
    rows = -(-len(cases) // ACROSS)
    page = Image.new("RGB", (ACROSS * SIDE, rows * SIDE))
    for number, case in enumerate(cases):
        page.paste(_drawn(*case), (number % ACROSS * SIDE, number // ACROSS * SIDE))
    path.parent.mkdir(parents=True, exist_ok=True)
    page.save(path, quality=85, optimize=True)


def _drawn(grey: npt.NDArray[np.uint8], truth: Mask, answer: Mask) -> Image.Image:
    shown = np.array(Image.fromarray(grey).resize((SIDE, SIDE)).convert("RGB"))
    for mask, colour in ((truth, TRUTH), (answer, ANSWER)):
        larger = np.asarray(Image.fromarray(mask).resize((SIDE, SIDE)), np.bool_)
        shown[larger & ~ndimage.binary_erosion(larger)] = colour
    return Image.fromarray(shown)
