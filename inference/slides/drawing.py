"""What a network says of a slide as maps of it: segments and probabilities, drawn tile by tile as they come.

Memory is bounded, however large the slide: 32 million pixels for segments (a byte each), 8 million for probabilities, on a level
that is small enough or on one that is reduced (inference.slides.raster).
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from domain.results import Code, Field, Labels
from inference.images.collect import Map
from inference.images.contract import Manifest, Output
from inference.images.labels import PROBABILITY
from inference.images.quantity import ONE
from inference.images.tally import Drawn
from inference.objects import shape
from inference.objects.components import Cell
from inference.objects.table import Objects
from inference.slides.pyramid import Slide
from inference.slides.raster import Core, Part, Raster, is_placed, raster_within

MOST_LABELS = 32_000_000
MOST_HEAT = 8_000_000
MOST_FIELDS = 8
_SURE = 0.5
_NOWHERE = "The slide does not say where its pixels lie: there is no segmentation or heat map."
_MEAN_FROM = 2.0  # cells of the network's answer per pixel of the level: their mean counts, not one of them


class Drawing:
    """The maps of one slide. Paint every tile, then ask for ``finished``."""

    def __init__(self, manifest: Manifest, slide: Slide, scale: tuple[float, float]) -> None:
        """``scale``: pixels of the network's input per pixel of the finest level (x, y)."""
        self._manifest, self._slide = manifest, slide
        outputs = [output for output in manifest.network.outputs if output.kind in ("labels", "probability")]
        by_objects = {rule.source for rule in manifest.objects}
        self._direct = [output for output in outputs if output.name not in by_objects]
        self._shapes = any(output.name in by_objects for output in outputs)
        # A map need not be finer than the network's input.
        input_um = float(np.mean([um / s for um, s in zip(slide.base.um, scale, strict=True)]))
        self._asked = bool(outputs) or _has_heat(manifest)
        self._of_labels = self._raster(input_um, MOST_LABELS) if outputs else None
        self._labels = _zeros(self._of_labels) if self._of_labels is not None else None
        self._best = _zeros(self._of_labels) if self._of_labels is not None and self._direct else None
        self._of_heat = self._raster(input_um, MOST_HEAT) if _has_heat(manifest) else None
        self._heat: dict[tuple[str, int], npt.NDArray[np.uint8]] = {}

    def _raster(self, um: float, most: int) -> Raster | None:
        """What maps are drawn on; None on a slide that no object can lie over."""
        found = raster_within(self._slide, um, most, self._slide.level_for(self._manifest.network.um_per_pixel))
        return found if is_placed(found.level) else None

    def paint(self, maps: Mapping[str, Map], scores: Mapping[str, npt.NDArray[np.float32]], core: Core) -> None:
        """What the network says within the core of one tile, in pixels of the finest level."""
        for output in self._manifest.network.outputs:
            if output.kind == "scores" and self._of_heat is not None:
                for channel in _told(output):
                    self._even(output.name, channel, float(scores[output.name][channel]), core)
            elif output.name in maps:
                self._paint(output, maps[output.name], core)

    def _paint(self, output: Output, found: Map, core: Core) -> None:
        if output.kind == "probability" and self._of_heat is not None:
            for channel, values in enumerate(np.asarray(found.values, np.float32)):
                rows, columns, seen = sampled(values, found.cell, self._of_heat.part(core), mean=True)
                canvas = self._canvas(output.name, channel)
                if canvas is not None:
                    canvas[rows, columns] = np.rint(np.clip(seen, 0, 1) * 255)
        if self._of_labels is not None and output in self._direct:
            part = self._of_labels.part(core)
            for channel, number in enumerate(output.classes):
                values = np.asarray(found.values) if output.kind == "labels" else np.asarray(found.values)[channel]
                rows, columns, seen = sampled(values, found.cell, part)
                sure = (seen == number) if output.kind == "labels" else np.where(seen >= _SURE, seen, 0)
                self._keep(number, rows, columns, np.rint(sure * 255).astype(np.uint8))

    def _keep(self, number: int, rows: slice, columns: slice, value: npt.NDArray[np.uint8]) -> None:
        """A segment where it is surer (up to 255) than what is there already; 0 means not at all."""
        assert self._labels is not None
        assert self._best is not None
        better = value > self._best[rows, columns]
        self._labels[rows, columns][better] = number
        self._best[rows, columns][better] = value[better]

    def _even(self, name: str, channel: int, value: float, core: Core) -> None:
        assert self._of_heat is not None
        part, canvas = self._of_heat.part(core), self._canvas(name, channel)
        if canvas is not None:
            canvas[part.rows, part.columns] = round(min(max(value, 0.0), 1.0) * 255)

    def _canvas(self, name: str, channel: int) -> npt.NDArray[np.uint8] | None:
        """The heat map of a channel; None beyond the first ones: there is room for so many."""
        if (name, channel) not in self._heat and len(self._heat) < MOST_FIELDS:
            assert self._of_heat is not None
            self._heat[name, channel] = _zeros(self._of_heat)
        return self._heat.get((name, channel))

    def finished(self, objects: Objects) -> Drawn | None:
        """Everything drawn; ``objects`` are those of the whole slide, whose shapes are segments too. None: nothing was asked."""
        if not self._asked:
            return None
        if self._labels is not None and self._shapes:
            assert self._of_labels is not None
            draw_shapes(objects, self._labels, self._of_labels)
        labels = None
        if self._labels is not None and self._of_labels is not None and self._labels.any():
            raster = self._of_labels
            labels = Labels(self._labels[np.newaxis, np.newaxis], (raster.level.source.uid,), reduced=raster.reduced)
        return Drawn(labels, tuple(self._fields()), () if self._of_labels or self._of_heat else (_NOWHERE,))

    def _fields(self) -> Iterator[Field]:
        outputs = {output.name: output for output in self._manifest.network.outputs}
        for (name, channel), values in self._heat.items():
            if self._of_heat is not None:
                output = outputs[name]
                segment = output.classes[channel] if output.kind == "probability" else 0
                concept = PROBABILITY if segment else _concept(output.values[channel])
                shown = np.asarray(values[np.newaxis] / np.float32(255), np.float32)
                raster = self._of_heat
                yield Field(concept, ONE, shown, (raster.level.source.uid,), segment=segment, reduced=raster.reduced)


def sampled(
    values: npt.NDArray[np.generic], cell: Cell, part: Part, mean: bool = False
) -> tuple[slice, slice, npt.NDArray[np.float32]]:
    """``values`` of a grid at the pixels of a part: of the cell under each centre, or the ``mean`` of the cells of a pixel where
    they are many."""
    rows = np.arange(part.rows.start, part.rows.stop)
    columns = np.arange(part.columns.start, part.columns.stop)
    if not len(rows) or not len(columns):
        return part.rows, part.columns, np.zeros((len(rows), len(columns)), np.float32)
    if mean and part.scale[0] / cell[0] >= _MEAN_FROM and part.scale[1] / cell[1] >= _MEAN_FROM:
        found = _means(np.asarray(values, np.float32), (rows * part.scale[1] - cell[3]) / cell[1], part.scale[1] / cell[1], 0)
        return part.rows, part.columns, _means(found, (columns * part.scale[0] - cell[2]) / cell[0], part.scale[0] / cell[0], 1)
    down = np.floor(((rows + 0.5) * part.scale[1] - cell[3]) / cell[1]).astype(np.intp).clip(0, values.shape[0] - 1)
    across = np.floor(((columns + 0.5) * part.scale[0] - cell[2]) / cell[0]).astype(np.intp).clip(0, values.shape[1] - 1)
    return part.rows, part.columns, np.asarray(values[np.ix_(down, across)], np.float32)


def _means(values: npt.NDArray[np.float32], starts: npt.NDArray[np.float64], step: float, axis: int) -> npt.NDArray[np.float32]:
    """Means of the cells from each start to the next one along an axis."""
    length = values.shape[axis]
    edges = np.rint(np.append(starts, starts[-1] + step)).astype(np.intp).clip(0, length)
    sums = np.insert(np.cumsum(values, axis=axis, dtype=np.float64), 0, 0.0, axis=axis)
    low, high = np.minimum(edges[:-1], length - 1), np.maximum(edges[1:], np.minimum(edges[:-1], length - 1) + 1)
    shape = [1, 1]
    shape[axis] = -1
    return np.asarray((sums.take(high, axis) - sums.take(low, axis)) / (high - low).reshape(shape), np.float32)


def draw_shapes(objects: Objects, canvas: npt.NDArray[np.uint8], raster: Raster) -> None:
    """Every object with a mask; the best is drawn last. What is smaller than a pixel of the map is one pixel."""
    x, y = raster.scale
    there = np.flatnonzero(objects.masks.box[:, 2] > 0)
    for i in there[np.argsort(objects.score[there], kind="stable")]:
        rows, columns, mask = shape.drawn(objects, int(i), raster.whole[1], raster.whole[0])
        part = raster.part((columns.start, rows.start, columns.stop, rows.stop))
        down = ((np.arange(part.rows.start, part.rows.stop) + 0.5) * y).astype(np.intp) - rows.start
        across = ((np.arange(part.columns.start, part.columns.stop) + 0.5) * x).astype(np.intp) - columns.start
        seen = mask[np.ix_(down.clip(0, len(mask) - 1), across.clip(0, mask.shape[1] - 1))] if mask.size else mask
        if seen.any():
            canvas[part.rows, part.columns][seen] = objects.kind[i]
        else:
            row, column = int(objects.centre[i, 1] / y), int(objects.centre[i, 0] / x)
            canvas[min(row, raster.rows - 1), min(column, raster.columns - 1)] = objects.kind[i]


def _zeros(raster: Raster) -> npt.NDArray[np.uint8]:
    return np.zeros((raster.rows, raster.columns), np.uint8)


def _has_heat(manifest: Manifest) -> bool:
    return any(output.kind in ("probability", "scores") for output in manifest.network.outputs)


def _told(output: Output) -> Sequence[int]:
    """The scores that get a map: all but the first of several, which says that there is nothing."""
    return range(1 if len(output.values) > 1 else 0, len(output.values))


def _concept(value: str) -> Code:
    short = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")[:14] or "value"
    return Code(f"p-{short}", "99ANCILLA", f"Probability of {value}"[:64])
