"""The pixels that a map of a slide is drawn on: those of a level that is small enough, or larger ones of our own.

A slide without a small level gets a map on the level that the network reads, reduced by a power of two: memory is bounded on
every slide. Pixels of a reduced map begin where the level begins, as those of the levels of a pyramid do
(one origin for all, PS3.3 C.8.12.4).
"""

from dataclasses import dataclass

import numpy as np

from inference.images.calibration import measured
from inference.slides.pyramid import Level, Slide
from inference.source import first, items, numbers, text

_NEARLY = 0.98  # of the wanted size of a pixel
Core = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Raster:
    """``rows`` and ``columns`` of a map of ``level``, each pixel of which covers ``reduced`` x ``reduced`` of its pixels, and
    ``scale`` (x, y) pixels of the finest level, which has ``whole`` (columns, rows)."""

    level: Level
    rows: int
    columns: int
    scale: tuple[float, float]
    whole: tuple[int, int]
    reduced: int = 1

    @classmethod
    def of(cls, level: Level, base: Level, reduced: int = 1) -> "Raster":
        """The raster of a level as it is, or reduced."""
        scale = base.columns / level.columns * reduced, base.rows / level.rows * reduced
        return cls(level, -(-level.rows // reduced), -(-level.columns // reduced), scale, (base.columns, base.rows), reduced)

    def part(self, core: Core) -> "Part":
        """The pixels whose centres lie in a rectangle of the finest level; at its right and lower end to the last pixel, of which
        less than half may lie on the slide."""
        left, right = (self._first(core[i], 0, self.columns) for i in (0, 2))
        top, bottom = (self._first(core[i], 1, self.rows) for i in (1, 3))
        return Part(slice(top, bottom), slice(left, right), self.scale)

    def _first(self, place: float, axis: int, count: int) -> int:
        if place >= self.whole[axis]:
            return count
        return min(max(int(np.ceil(place / self.scale[axis] - 0.5)), 0), count)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows and columns of a raster; ``scale``: pixels of the finest level per pixel of it (x, y)."""

    rows: slice
    columns: slice
    scale: tuple[float, float]


def is_placed(level: Level) -> bool:
    """Whether a level says what every object over it repeats (type 1 there): frame of reference, orientation, origin (PS3.3
    C.8.12.4) and the spacing of its pixels (C.7.6.16.2.1)."""
    header = level.source.header
    origin = items(header, "TotalPixelMatrixOriginSequence", 1)
    told = [first(origin[0], f"{axis}OffsetInSlideCoordinateSystem") for axis in "XY"] if origin else [None]
    return (
        bool(text(header, "FrameOfReferenceUID"))
        and numbers(header, "ImageOrientationSlide", 6) is not None
        and None not in told
        and measured(header) is not None
    )


def raster_within(slide: Slide, um: float, most: int, read: int = 0) -> Raster:
    """On the finest level that is no finer than ``um`` micrometres per pixel and has at most ``most`` pixels; where all small
    ones are finer, on the coarsest. Where no level is so small, on level number ``read``, reduced until both holds.
    """
    small = [level for level in slide.levels if level.rows * level.columns <= most]
    coarse = [level for level in small if min(level.um) >= um * _NEARLY]
    if small:
        return Raster.of(coarse[0] if coarse else small[-1], slide.base)
    level, reduced = slide.levels[read], 2
    while min(level.um) * reduced < um * _NEARLY or -(-level.rows // reduced) * -(-level.columns // reduced) > most:
        reduced *= 2
    return Raster.of(level, slide.base, reduced)
