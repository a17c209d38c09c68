"""What was seen in all images of a study, ready to be measured: one row per image or frame, one table of objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from domain.results import Field, Labels
from inference.images.calibration import Region, at
from inference.images.quality import Look
from inference.objects import shape
from inference.objects.table import Objects


@dataclass(frozen=True, slots=True)
class Probability:
    """The probability of one segment on a grid over an image: uint8 (rows, columns), 255 is 1; ``cell`` as in objects.Masks."""

    values: npt.NDArray[np.uint8]
    cell: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Seen:
    """One image, frame or slide. ``frame`` counts from 1 in multi-frame objects. ``share``: part of the image (0 to 1) that
    each segment of a label or probability map covers; ``part``: how much of the image was looked at (tissue of a slide).
    ``group`` is the same for the frames of one object. ``scores`` are (values,) of an image, (tiles, values) of a slide."""

    uid: str
    series_uid: str
    frame: int | None
    group: int
    rows: int
    columns: int
    calibrated: tuple[Region, ...]
    look: Look
    scores: Mapping[str, npt.NDArray[np.float32]]
    share: Mapping[int, float]
    scale: float = 1.0  # pixels of the network's input per pixel of the image
    part: float = 1.0
    fields: float = 1.0  # how many fields it counts as: more than one on a slide
    maps: Mapping[int, Probability] = field(default_factory=dict)  # by segment, as long as there is room

    @property
    def mm2(self) -> float | None:
        """Area that was looked at, where the whole image has one calibration."""
        pixel = at(self.calibrated, self.columns / 2, self.rows / 2)
        return None if pixel is None else self.rows * self.columns * pixel[0] * pixel[1] * self.part


@dataclass(frozen=True, slots=True)
class Drawn:
    """Maps of a slide on levels of it, or reduced from one, and a note where there can be none."""

    labels: Labels | None
    fields: tuple[Field, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tally:
    """``things`` has one object for each thing (of a cine: its best sighting), ``objects`` every sighting.

    ``drawn``: the maps of a slide.
    """

    images: tuple[Seen, ...]
    objects: Objects
    things: Objects
    drawn: Drawn | None = None

    def of_image(self, index: int) -> "Tally":
        """The same of one image: every object in it counts."""
        inside = self.objects.of_image(index)
        return Tally((self.images[index],), inside, inside)

    def unit(self, things: Objects, index: int) -> tuple[float, float] | None:
        """Millimetres per pixel (x, y) at an object, or None."""
        x, y = (float(v) for v in things.centre[index])
        return at(self.images[int(things.image[index])].calibrated, x, y)

    def axes(self, things: Objects, index: int) -> tuple[shape.Axes, bool]:
        """Axes of an object, and whether they are in millimetres (else in pixels)."""
        unit = self.unit(things, index)
        return shape.axes(shape.polygon(things, index), unit or (1.0, 1.0)), unit is not None

    def area(self, things: Objects, index: int) -> tuple[float, bool]:
        """Area of an object, and whether it is in square millimetres (else in pixels)."""
        unit = self.unit(things, index)
        return float(things.area[index]) * (unit[0] * unit[1] if unit else 1.0), unit is not None

    def taller(self, things: Objects, index: int) -> bool:
        """Whether an object is higher than wide on the image (towards and away from an ultrasound probe)."""
        unit = self.unit(things, index) or (1.0, 1.0)
        points = shape.polygon(things, index)
        wide, high = np.ptp(points, axis=0) * unit
        return bool(high > wide)

    def without(self, kinds: set[int]) -> "Tally":
        """The same without the objects of some classes."""
        keep = [~np.isin(table.kind, list(kinds)) for table in (self.objects, self.things)]
        return replace(self, objects=self.objects.take(keep[0]), things=self.things.take(keep[1]))
