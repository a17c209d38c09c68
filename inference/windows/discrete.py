"""From scores on the network's grid to labels on the source grid, slab by slab: activation, way back, then the decision."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.windows.field import Matrix, Values
from inference.windows.sliding import Slab

Labels = npt.NDArray[np.uint8]
_STRAIGHT = 1e-4
_EDGE = 0.5 + 1e-3  # a voxel reaches half a voxel beyond its centre


@dataclass(frozen=True, slots=True)
class Decision:
    """How scores become labels. ``activation`` is "softmax", "sigmoid" or "" (scores as they are). Without ``threshold`` class k
    is segment ``labels[k - 1]`` where its score is greatest; with it, class k is segment ``labels[k]`` where its score reaches
    it (of segments in one layer the later one wins). ``nearest``: decided on the network's grid, labels brought back."""

    activation: str
    threshold: float | None
    labels: tuple[int, ...]
    nearest: bool
    layer_of: dict[int, int]

    @property
    def classes(self) -> int:
        """Channels the network must answer with."""
        return len(self.labels) + (self.threshold is None)

    def label(self, scores: Values) -> Labels:
        """Label layers (layers, ...) of scores (classes, ...) that are activated."""
        layers = np.zeros((max(self.layer_of.values()) + 1, *scores.shape[1:]), np.uint8)
        if self.threshold is None:
            self._greatest(scores, layers)
            return layers
        for segment, score in zip(self.labels, scores, strict=True):
            layers[self.layer_of[segment]][score >= self.threshold] = segment
        return layers

    def _greatest(self, scores: Values, layers: Labels) -> None:
        table = np.array([0, *self.labels], np.uint8)
        layers[self.layer_of[self.labels[0]]] = table[scores.argmax(axis=0)]

    def activate(self, scores: Values) -> Values:
        """Scores after the activation."""
        if self.activation == "softmax":
            scores = np.exp(scores - scores.max(axis=0))
            scores /= scores.sum(axis=0)
        elif self.activation == "sigmoid":
            scores = np.asarray(1 / (1 + np.exp(-np.clip(scores, -80, 80))), np.float32)
        return scores


def decided(
    slabs: Iterable[Slab], axis: int, decision: Decision, shape: tuple[int, ...], to_network: Matrix, out: Labels
) -> None:
    """Fills ``out``: label layers (layers, columns, rows, slices of the source), zeros before.

    ``shape`` and ``axis`` are of the network's grid; ``to_network`` (4, 4) gives the network's index of an index of ``out``.
    Scores are interpolated linearly, unless ``decision.nearest`` or the grids are slanted to each other: then labels are.
    """
    permutation = _permutation(to_network[:3, :3])
    if permutation is None or decision.nearest:
        _by_labels(slabs, axis, decision, shape, to_network, out)
        return
    lines = [_line(to_network, a, permutation[a], out.shape[1 + permutation[a]], shape[a]) for a in range(3)]
    across = [a for a in range(3) if a != axis]
    # ``out`` as (layers, along the slab axis, the other two in the network's order)
    view = out.transpose(0, 1 + permutation[axis], *(1 + permutation[a] for a in across))
    places, inside = lines[axis]
    work = _Planes(decision, [lines[a] for a in across])
    rising = np.argsort(places, kind="stable")
    waiting = [int(i) for i in rising if inside[i]]
    last: tuple[int, Values] | None = None
    for slab in slabs:
        planes = {slab.start + i: slab.scores[:, i] for i in range(slab.scores.shape[1])}
        planes = {i: decision.activate(plane) for i, plane in planes.items() if i < shape[axis]}
        if last is not None:
            planes[last[0]] = last[1]
        while waiting and int(np.ceil(places[waiting[0]])) in planes:
            i = waiting.pop(0)
            work.put(_between(planes, places[i]), view[:, i])
        if planes:
            newest = max(planes)
            last = (newest, planes[newest].copy())


def _between(planes: dict[int, Values], place: float) -> Values:
    below = int(np.floor(place))
    share = np.float32(place - below)
    if not share:
        return planes[below]
    found: Values = planes[below + 1] * share
    found += planes[below] * (1 - share)
    return found


def _permutation(turn: Matrix) -> list[int] | None:
    """For each axis of the network's grid the axis of the source that runs along it; None where one is slanted."""
    main = [int(a) for a in np.abs(turn).argmax(axis=1)]
    rest = turn.copy()
    rest[range(3), main] = 0
    return main if sorted(main) == [0, 1, 2] and np.abs(rest).max() < _STRAIGHT else None


def _line(
    matrix: Matrix, axis: int, source_axis: int, count: int, size: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Network index along ``axis`` of each source index, and whether it is inside; those just outside are at the edge."""
    places = np.round(np.arange(count) * matrix[axis, source_axis] + matrix[axis, 3], 5)
    inside = (places >= -_EDGE) & (places <= size - 1 + _EDGE)
    return np.clip(places, 0, size - 1), inside


class _Planes:
    """Brings planes of scores to the size of the source class by class, keeping only the best score so far."""

    def __init__(self, decision: Decision, lines: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]]) -> None:
        self._decision = decision
        self._taps = [_taps(places) for places, _ in lines]
        self._inside = lines[0][1][:, None] & lines[1][1][None, :]

    def put(self, scores: Values, out: Labels) -> None:
        """Labels (layers, ., .) of one plane of the source from scores (classes, ., .)."""
        if self._decision.threshold is not None:
            self._reaching(scores, self._decision.threshold, out)
        else:
            self._greatest(scores, out)

    def _reaching(self, scores: Values, threshold: float, out: Labels) -> None:
        for segment, score in zip(self._decision.labels, scores, strict=True):
            if score.max() >= threshold:  # a mean is nowhere more than what it is the mean of
                out[self._decision.layer_of[segment]][(self._resampled(score) >= threshold) & self._inside] = segment

    def _greatest(self, scores: Values, out: Labels) -> None:
        best = self._resampled(scores[0])
        found = np.zeros(best.shape, np.uint8)
        # A mean of four neighbours is nowhere below a quarter of the least of their greatest scores (all are above 0).
        least = scores.max(axis=0).min() / 4 if self._decision.activation else -np.inf
        for label, score in zip(self._decision.labels, scores[1:], strict=True):
            if score.max() < least:
                continue
            here = self._resampled(score)
            better = here > best
            found[better] = label
            np.copyto(best, here, where=better)
        found[~self._inside] = 0
        out[self._decision.layer_of[self._decision.labels[0]]] = found

    def _resampled(self, score: Values) -> Values:
        for axis, (below, above, share) in enumerate(self._taps):
            found = score.take(below, axis)
            if share is not None:
                more = score.take(above, axis)
                more -= found
                more *= share[:, None] if axis == 0 else share
                found += more
            score = found
        return score


def _taps(places: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Values | None]:
    below = np.floor(places).astype(np.intp)
    share = (places - below).astype(np.float32)
    above = np.minimum(below + 1, int(np.ceil(places.max())))
    return below, above, share if share.any() else None


def _by_labels(
    slabs: Iterable[Slab], axis: int, decision: Decision, shape: tuple[int, ...], to_network: Matrix, out: Labels
) -> None:
    """Labels on the network's grid, then the nearest of them for every voxel of the source."""
    grid = np.zeros((len(out), *shape), np.uint8)
    planes = np.moveaxis(grid, axis + 1, 1)
    for slab in slabs:
        stop = min(slab.start + slab.scores.shape[1], shape[axis])
        if stop > slab.start:
            planes[:, slab.start : stop] = decision.label(decision.activate(slab.scores[:, : stop - slab.start]))
    columns, rows = np.meshgrid(np.arange(out.shape[1]), np.arange(out.shape[2]), indexing="ij")
    for s in range(out.shape[3]):
        index = np.stack([columns, rows, np.full(columns.shape, s)], axis=-1) @ to_network[:3, :3].T + to_network[:3, 3]
        inside = ((index >= -_EDGE) & (index <= np.array(shape) - 1 + _EDGE)).all(axis=-1)
        a, b, c = np.clip(np.rint(index).astype(np.intp), 0, np.array(shape) - 1).transpose(2, 0, 1)
        out[..., s] = grid[:, a, b, c] * inside
