"""Gathers what the network says about the pieces of one image, and makes objects, label maps and scores of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.images.contract import Network, ObjectRule, Output
from inference.images.fit import Place
from inference.images.network import Answers
from inference.objects import components, suppress
from inference.objects.table import Objects, empty, joined, plain

_SLACK = 0.25  # of the overlap: objects that lie on the border of two cores are seen by both, and one of them goes


@dataclass(frozen=True, slots=True)
class Map:
    """A grid over an image: ``values`` (rows, columns) of segment numbers, or (channels, rows, columns) of probabilities."""

    values: npt.NDArray[np.generic]
    cell: components.Cell


@dataclass(frozen=True, slots=True)
class Found:
    """All that was found in one image. ``scores`` are means over its pieces, by output."""

    objects: Objects
    maps: Mapping[str, Map]
    scores: Mapping[str, npt.NDArray[np.float32]]


class Collector:
    """For one image of (rows, columns) pixels. Add every piece, then ask for ``found``."""

    def __init__(
        self, network: Network, rules: tuple[ObjectRule, ...], image: int, whole: Place, canvas: tuple[int, int]
    ) -> None:
        """``whole`` places the canvas, which is (rows, columns) pixels of the network's input."""
        self._network, self._rules, self._image, self._whole, self._size = network, rules, image, whole, canvas
        self._parts: dict[str, list[Objects]] = {rule.source: [] for rule in rules}
        self._canvases: dict[str, _Canvas] = {}
        self._scores: dict[str, list[npt.NDArray[np.float32]]] = {}

    def add(self, place: Place, answers: Answers) -> None:
        """What the network says about one piece."""
        for output in self._network.outputs:
            answer = answers[output.name]
            if output.kind == "scores":
                self._scores.setdefault(output.name, []).append(np.array(answer, np.float32))  # a copy: it is good for now only
            elif output.kind in ("labels", "probability"):
                self._canvas(output, answer).add(place, self._whole, answer)
        for rule in self._rules:
            if rule.kind in ("centres", "boxes"):
                found = self._points(rule, answers) if rule.kind == "centres" else self._boxes(rule, answers)
                self._parts[rule.source].append(self._owned(found, place))

    def found(self) -> Found:
        """Objects of every rule, each thing once, best first within a rule."""
        maps = {name: canvas.map(self._whole) for name, canvas in self._canvases.items()}
        parts = [self._regions(rule, maps) if rule.source in maps else self._once(rule) for rule in self._rules]
        scores = {name: np.asarray(np.mean(values, axis=0), np.float32) for name, values in self._scores.items()}
        return Found(joined([part for part in parts if len(part)] or [empty()]), maps, scores)

    def _canvas(self, output: Output, answer: npt.NDArray[np.generic]) -> "_Canvas":
        if output.name not in self._canvases:
            per_cell = (self._network.size[0] // answer.shape[-2], self._network.size[1] // answer.shape[-1])
            self._canvases[output.name] = _Canvas(output, self._size, per_cell, self._network.blend)
        return self._canvases[output.name]

    def _points(self, rule: ObjectRule, answers: Answers) -> Objects:
        """Peaks of the heat maps (zero everywhere else), in pixels of the input."""
        output = next(output for output in self._network.outputs if output.name == rule.source)
        heat = answers[output.name]
        wanted = [c for c, number in enumerate(output.classes) if number in rule.classes]
        channel, rows, columns = np.nonzero(heat[wanted] >= max(rule.min_score, 1e-6))
        per_cell = np.array([self._network.size[1] / heat.shape[2], self._network.size[0] / heat.shape[1]])
        centres = (np.stack([columns, rows], axis=1) + 0.5) * per_cell
        half = self._sizes(rule, answers, rows, columns) / 2
        kinds = np.array(output.classes, np.uint8)[wanted][channel]
        return plain(self._image, kinds, heat[wanted][channel, rows, columns], np.hstack([centres - half, centres + half]))

    def _sizes(
        self, rule: ObjectRule, answers: Answers, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.float64]:
        sizes = self._network.output("sizes")
        if sizes is None:
            return np.full((len(rows), 2), rule.side)
        return np.maximum(answers[sizes.name][:, rows, columns].T.astype(np.float64), 1.0)

    def _boxes(self, rule: ObjectRule, answers: Answers) -> Objects:
        """Boxes x0 y0 x1 y1 score class; ``class`` is the position in the classes of the output."""
        output = next(output for output in self._network.outputs if output.name == rule.source)
        table = answers[output.name]
        position = np.rint(table[:, 5]).astype(np.int64)
        sound = (table[:, 2] > table[:, 0]) & (table[:, 3] > table[:, 1]) & (position >= 0) & (position < len(output.classes))
        table, position = table[sound], position[sound]
        kinds = np.array(output.classes, np.uint8)[position]
        good = (table[:, 4] >= rule.min_score) & np.isin(kinds, rule.classes)
        return plain(self._image, kinds[good], np.clip(table[good, 4], 0, 1), table[good, :4])

    def _owned(self, found: Objects, place: Place) -> Objects:
        """Those whose centre lies in the core of the piece, a little slack added, in pixels of the input still."""
        left, top, right, bottom = place.core
        slack = self._network.overlap * _SLACK
        centre, sides = place.to_image(found.centre), (slack / place.scale[0], slack / place.scale[1])
        inside = (
            (centre[:, 0] >= left - sides[0]) & (centre[:, 0] < right + sides[0])
            & (centre[:, 1] >= top - sides[1]) & (centre[:, 1] < bottom + sides[1])
        )  # fmt: skip
        kept = found.take(inside)
        return plain(self._image, kept.kind, kept.score, place.to_image(kept.box))

    def _once(self, rule: ObjectRule) -> Objects:
        found = joined(self._parts[rule.source] or [empty()])
        scale = np.float32(np.mean(self._whole.scale))
        # The same peak seen by two tiles lies at the same place, or one cell beside it.
        near = max(rule.min_distance, 1.0 if rule.kind == "centres" else 0.0) / scale
        found = found.take(suppress.by_distance(found.centre, found.score, found.kind, float(near)))
        if rule.iou < 1:
            found = found.take(suppress.by_overlap(found.box, found.score, found.kind, rule.iou))
        inner = self._whole.core
        centre = found.centre
        inside = (centre[:, 0] >= inner[0]) & (centre[:, 0] < inner[2]) & (centre[:, 1] >= inner[1]) & (centre[:, 1] < inner[3])
        found = found.take(inside)
        area = found.area * scale**2
        return found.take(area >= rule.min_area).take(np.arange(min(rule.most, int((area >= rule.min_area).sum()))))

    def _regions(self, rule: ObjectRule, maps: Mapping[str, Map]) -> Objects:
        found = maps[rule.source]
        unit = found.cell[0] * found.cell[1] * self._whole.scale[0] * self._whole.scale[1]
        if found.values.ndim == 2:
            return components.of_labels(np.asarray(found.values, np.uint8), rule, self._image, found.cell, unit)
        output = next(output for output in self._network.outputs if output.name == rule.source)
        values = np.asarray(found.values, np.float32)
        return components.of_probability(values, output.classes, rule, self._image, found.cell, unit)


class _Canvas:
    """The map of a whole image, put together from pieces: labels by their cores, probabilities by weights."""

    def __init__(self, output: Output, size: tuple[int, int], per_cell: tuple[int, int], blend: str) -> None:
        self._output, self._per_cell, self._blend = output, per_cell, blend
        shape = (-(-size[0] // per_cell[0]), -(-size[1] // per_cell[1]))
        self._labels = np.zeros(shape, np.uint8)
        if output.kind == "probability":
            self._sum = np.zeros((len(output.classes), *shape), np.float32)
            self._weight = np.zeros(shape, np.float32)

    def add(self, place: Place, whole: Place, answer: npt.NDArray[np.generic]) -> None:
        """A piece at its place on the canvas."""
        left, top = (round(place.shift[i] - whole.shift[i]) for i in (0, 1))
        row, column = top // self._per_cell[0], left // self._per_cell[1]
        height = min(answer.shape[-2], self._labels.shape[0] - row)
        width = min(answer.shape[-1], self._labels.shape[1] - column)
        piece = answer[..., :height, :width]
        here = (slice(row, row + height), slice(column, column + width))
        if self._output.kind == "probability":
            weight = _weights(answer.shape[-2], answer.shape[-1], self._blend)[:height, :width]
            self._sum[:, *here] += np.asarray(piece, np.float32) * weight
            self._weight[here] += weight
            return
        table = np.array([0, *self._output.classes, 0], np.uint8)
        values = np.asarray(piece).astype(np.int64)
        numbers = table[np.where((values < 0) | (values >= len(table)), len(table) - 1, values)]
        core = self._own(place, whole, row, column, height, width)
        self._labels[here][core] = numbers[core]

    def _own(self, place: Place, whole: Place, row: int, column: int, height: int, width: int) -> tuple[slice, slice]:
        """The cells of the core, within the piece."""
        edges = [place.core[i] * whole.scale[i % 2] - whole.shift[i % 2] for i in range(4)]
        left, right = (round(edges[i] / self._per_cell[1]) - column for i in (0, 2))
        top, bottom = (round(edges[i] / self._per_cell[0]) - row for i in (1, 3))
        return slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))

    def map(self, whole: Place) -> Map:
        """The map, done."""
        cell = whole.cell((self._per_cell[1], self._per_cell[0]))
        if self._output.kind == "labels":
            return Map(self._labels, cell)
        return Map(self._sum / np.maximum(self._weight, 1e-6), cell)


def _weights(rows: int, columns: int, blend: str) -> npt.NDArray[np.float32]:
    """Constant, or a Gaussian of sigma 1/8 of each side (as MONAI's sliding window), never quite zero."""
    if blend == "constant":
        return np.ones((rows, columns), np.float32)
    sides = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (0.125 * n)) ** 2) for n in (rows, columns)]
    weights = np.outer(*sides).astype(np.float32)
    return np.asarray(np.maximum(weights, weights[weights > 0].min()).clip(1e-3), np.float32)
