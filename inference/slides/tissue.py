"""Where there is anything on a slide: colour or darkness at a low level, cheap enough to skip most of the glass."""

import numpy as np
import numpy.typing as npt

from inference.images.contract import Tissue
from inference.slides.pyramid import Slide

MOST_PIXELS = 8_000_000  # of the level that is looked at: all of it is in memory for a moment
_ENOUGH = 400  # pixels of the longer side, below which a level shows too little
_DARKEST = 10  # what is darker is no picture at all


class TissueMap:
    """How much of any part of the slide is tissue, by a table of sums over one low level."""

    def __init__(self, mask: npt.NDArray[np.bool_], factor: tuple[float, float]) -> None:
        """``factor``: pixels of the map per pixel of the finest level (x, y)."""
        self._sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int32)
        np.cumsum(np.cumsum(mask, axis=0, dtype=np.int32), axis=1, out=self._sums[1:, 1:])
        self._factor = factor

    def fraction(self, left: float, top: float, right: float, bottom: float) -> float:
        """Part of a rectangle (pixels of the finest level) that is tissue, 0 to 1."""
        rows, columns = (n - 1 for n in self._sums.shape)
        x0, x1 = (round(min(max(x * self._factor[0], 0), columns)) for x in (left, right))
        y0, y1 = (round(min(max(y * self._factor[1], 0), rows)) for y in (top, bottom))
        x1, y1 = max(x1, min(x0 + 1, columns)), max(y1, min(y0 + 1, rows))
        area = (x1 - x0) * (y1 - y0)
        inside = self._sums[y1, x1] - self._sums[y0, x1] - self._sums[y1, x0] + self._sums[y0, x0]
        return float(inside / area) if area else 0.0


def tissue_map(slide: Slide, rule: Tissue) -> TissueMap | None:
    """Of the coarsest level that shows enough; None when every level is too large to be looked at whole."""
    small = [
        number
        for number, level in enumerate(slide.levels)
        if level.rows * level.columns <= MOST_PIXELS and (max(level.rows, level.columns) >= _ENOUGH or number == 0)
    ]
    if not small:
        return None
    level = slide.levels[small[-1]]
    image = slide.read(small[-1], 0, 0, level.columns, level.rows)
    factor = (level.columns / slide.base.columns, level.rows / slide.base.rows)
    return TissueMap(is_tissue(image, rule), factor)


def is_tissue(image: npt.NDArray[np.uint8], rule: Tissue) -> npt.NDArray[np.bool_]:
    """Pixels with a colour of their own, or darker than the glass, but not black."""
    brightest, darkest = image.max(axis=2), image.min(axis=2)
    coloured = brightest - darkest >= rule.min_saturation
    dark = brightest <= rule.max_brightness
    mask: npt.NDArray[np.bool_] = (coloured | dark) & (brightest > _DARKEST)
    return mask
