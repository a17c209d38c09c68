"""The objects of an analysis as columns of numbers: thousands of cells or bacilli are a few arrays, not thousands of things."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Int = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Masks:
    """The shape of each object: bits of a mask in its own small box of a grid, one after the other in ``bits``.

    ``box`` is int32 (n, 4): first row, first column, rows, columns on the grid. ``cell`` is float64 (n, 4): width and height
    of a cell of the grid in pixels of the image, and the (column, row) of the grid's first corner.
    """

    bits: npt.NDArray[np.uint8]
    start: npt.NDArray[np.int64]
    box: Int
    cell: npt.NDArray[np.float64]

    def mask(self, index: int) -> Mask:
        """bool (rows, columns) of its box; empty for an object without a shape."""
        rows, columns = (int(v) for v in self.box[index, 2:])
        packed = self.bits[self.start[index] : self.start[index + 1]]
        mask: Mask = np.unpackbits(packed, count=rows * columns).astype(bool).reshape(rows, columns)
        return mask


@dataclass(frozen=True, slots=True)
class Objects:
    """n objects. Places are pixels of the image as in domain.results.Outline: (column, row), (0, 0) the first outer corner.

    ``image`` is the position in the list of images, ``kind`` the segment number, ``score`` 0 to 1, ``centre`` (n, 2), ``box``
    (n, 4) of left, top, right, bottom, ``area`` in pixels of the image. ``features`` has the probabilities (n, values) that
    the second network gave under each name; a row of NaN: not looked at. Objects with the same ``track`` are one thing.
    """

    image: Int
    kind: npt.NDArray[np.uint8]
    score: Float
    centre: Float
    box: Float
    area: Float
    track: Int
    masks: Masks
    features: Mapping[str, Float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.image)

    def take(self, index: npt.NDArray[np.generic]) -> "Objects":
        """The objects of an index or a mask, in its order."""
        order = np.flatnonzero(index) if index.dtype == np.bool_ else np.asarray(index, np.intp)
        columns = {name: getattr(self, name)[order] for name in ("image", "kind", "score", "centre", "box", "area", "track")}
        return Objects(**columns, masks=_taken(self.masks, order), features={k: v[order] for k, v in self.features.items()})

    def of_image(self, index: int) -> "Objects":
        """Those of one image, as if it were the first and only one."""
        found = self.take(self.image == index)
        return replace(found, image=np.zeros(len(found), np.int32))


def empty(features: Mapping[str, int] | None = None) -> Objects:
    """No objects; ``features`` gives the number of values of each."""
    return plain(
        image=0,
        kind=np.zeros(0, np.uint8),
        score=np.zeros(0, np.float32),
        box=np.zeros((0, 4), np.float32),
        features={name: np.zeros((0, values), np.float32) for name, values in (features or {}).items()},
    )


def plain(
    image: int,
    kind: npt.NDArray[np.generic],
    score: npt.NDArray[np.generic],
    box: npt.NDArray[np.generic],
    features: Mapping[str, Float] | None = None,
) -> Objects:
    """Objects of one image that are known by their boxes: the area is that of the ellipse in the box."""
    n, edges = len(kind), np.asarray(box, np.float32).reshape(-1, 4)
    size = edges[:, 2:] - edges[:, :2]
    return Objects(
        image=np.full(n, image, np.int32),
        kind=np.asarray(kind, np.uint8),
        score=np.asarray(score, np.float32),
        centre=np.asarray((edges[:, :2] + edges[:, 2:]) / 2, np.float32),
        box=edges,
        area=np.asarray(size.prod(axis=1) * np.pi / 4, np.float32),
        track=np.arange(n, dtype=np.int32),
        masks=no_masks(n),
        features=dict(features or {}),
    )


def no_masks(n: int) -> Masks:
    """Masks of n objects without a shape."""
    start = np.zeros(n + 1, np.int64)
    return Masks(np.zeros(0, np.uint8), start, np.zeros((n, 4), np.int32), np.zeros((n, 4)))


def packed(masks: Sequence[Mask], corners: Sequence[tuple[int, int]], cell: tuple[float, float, float, float]) -> Masks:
    """Masks of one grid, each with the (row, column) of its first cell."""
    bits = [np.packbits(mask) for mask in masks]
    start = np.concatenate([[0], np.cumsum([len(b) for b in bits])]).astype(np.int64)
    box = [(*corner, *mask.shape) for corner, mask in zip(corners, masks, strict=True)]
    return Masks(
        np.concatenate(bits) if bits else np.zeros(0, np.uint8),
        start,
        np.array(box, np.int32).reshape(-1, 4),
        np.tile(np.array(cell, np.float64), (len(masks), 1)),
    )


def joined(parts: Sequence[Objects]) -> Objects:
    """All objects of several tables; tracks are numbered anew so that those of different tables differ."""
    if not parts:
        return empty()
    shift, tracks = 0, []
    for part in parts:
        tracks.append(part.track + shift)
        shift += int(part.track.max()) + 1 if len(part) else 0
    names = parts[0].features
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("image", "kind", "score", "centre", "box", "area")
    }
    return Objects(
        **columns,
        track=np.concatenate(tracks).astype(np.int32),
        masks=_joined([part.masks for part in parts]),
        features={name: np.concatenate([part.features[name] for part in parts]) for name in names},
    )


def _joined(parts: Sequence[Masks]) -> Masks:
    shift, starts = 0, [np.zeros(1, np.int64)]
    for part in parts:
        starts.append(part.start[1:] + shift)
        shift += int(part.start[-1])
    bits = np.concatenate([part.bits for part in parts])
    box, cell = (np.concatenate([getattr(part, name) for part in parts]) for name in ("box", "cell"))
    return Masks(bits, np.concatenate(starts), box, cell)


def _taken(masks: Masks, order: npt.NDArray[np.intp]) -> Masks:
    pieces = [masks.bits[masks.start[i] : masks.start[i + 1]] for i in order] if len(masks.bits) else []
    start = (
        np.concatenate([[0], np.cumsum([len(p) for p in pieces])]).astype(np.int64)
        if pieces
        else np.zeros(len(order) + 1, np.int64)
    )
    return Masks(np.concatenate(pieces) if pieces else np.zeros(0, np.uint8), start, masks.box[order], masks.cell[order])
