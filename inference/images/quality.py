"""Whether an image is worth looking at: focus, contrast and exposure, measured cheaply on a reduced copy."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from inference.images.contract import Quality

_LONGEST = 1024  # pixels of the longer side that is looked at


@dataclass(frozen=True, slots=True)
class Look:
    """``focus``: variance of the Laplacian (Pech-Pacheco et al., ICPR 2000) over the variance of the picture, x 1000, so that
    it does not depend on stain or gain; ``contrast``: standard deviation; ``brightness``: mean; both of gray 0 to 255."""

    focus: float
    contrast: float
    brightness: float


def look(image: npt.NDArray[np.uint8]) -> Look:
    """At an RGB image (rows, columns, 3)."""
    step = max(1, max(image.shape[:2]) // _LONGEST)
    gray = np.asarray(Image.fromarray(np.ascontiguousarray(image[::step, ::step])).convert("L"), np.float32)
    spread = float(gray.var())
    if min(gray.shape) < 3 or spread < 1e-3:
        return Look(0.0, float(np.sqrt(spread)), float(gray.mean()))
    laplacian = 4 * gray[1:-1, 1:-1] - gray[:-2, 1:-1] - gray[2:, 1:-1] - gray[1:-1, :-2] - gray[1:-1, 2:]
    return Look(1000 * float(laplacian.var()) / spread, float(np.sqrt(spread)), float(gray.mean()))


def unfit(found: Look, quality: Quality | None) -> str:
    """Why an image is left out: "blurred", "blank" or "badly exposed"; or nothing."""
    if quality is None:
        return ""
    if found.contrast < quality.min_contrast:
        return "blank"
    if not quality.brightness[0] <= found.brightness <= quality.brightness[1]:
        return "badly exposed"
    return "blurred" if found.focus < quality.min_focus else ""
