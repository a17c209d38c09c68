"""Opacities cut out of real slices and put into healthy lung elsewhere, and what looks like opacity and is none."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Image2 = npt.NDArray[np.float32]
Labels2 = npt.NDArray[np.uint8]
IGNORE = 255
SMALLEST, LEAST_RISE, MARGIN = 8, 70.0, 3  # pixels; HU above the lung around it; pixels kept around a piece


@dataclass(frozen=True, slots=True)
class Piece:
    """One opacity: ``rise`` in HU above the healthy lung of its slice, ``label`` 1 ground glass, 2 consolidation, 0 beside it."""

    rise: Image2
    label: Labels2


def _healthy(lungs: Labels2, opacity: Labels2) -> npt.NDArray[np.bool_]:
    return np.asarray((lungs > 0) & (lungs < IGNORE) & (opacity == 0))


def pieces(hu: npt.NDArray[np.int16], lungs: Labels2, opacity: Labels2) -> list[Piece]:
    """The connected opacities of one slice (rows, columns) that stand out from its healthy lung."""
    healthy = _healthy(lungs, opacity)
    if healthy.sum() < 200:
        return []
    base, found = float(np.median(hu[healthy])), []
    marks, count = ndimage.label((opacity > 0) & (opacity < IGNORE))
    wide = tuple(range(1, count + 1))
    for k, place in zip(wide, ndimage.find_objects(marks), strict=True):
        rows, columns = (slice(max(0, s.start - MARGIN), s.stop + MARGIN) for s in place)
        mask = marks[rows, columns] == k
        rise = (hu[rows, columns] - base).astype(np.float32)
        if mask.sum() >= SMALLEST and rise[mask].mean() >= LEAST_RISE:
            found.append(Piece(rise, np.where(mask, opacity[rows, columns], 0).astype(np.uint8)))
    return found


def _turned(piece: Piece, rng: np.random.Generator) -> Piece:
    """Turned by right angles, mirrored and enlarged or made smaller."""
    scale, turns, mirrored = float(np.exp(rng.uniform(np.log(0.55), np.log(1.3)))), int(rng.integers(4)), rng.random() < 0.5
    rise, label = ndimage.zoom(piece.rise, scale, order=1), ndimage.zoom(piece.label, scale, order=0)
    rise, label = np.rot90(rise, turns), np.rot90(label, turns)
    return Piece(rise[:, ::-1], label[:, ::-1]) if mirrored else Piece(rise, label)


def put(hu: npt.NDArray[np.float32], lungs: Labels2, opacity: Labels2, held: Sequence[Piece], rng: np.random.Generator) -> None:
    """Puts one of ``held``, small ones more often, into the healthy lung of ``hu`` (slices, rows, columns), in place."""
    healthy = _healthy(lungs, opacity)
    where = np.argwhere(healthy)
    if len(where) < 200 or not held:
        return
    like = np.array([1 / np.sqrt((p.label > 0).sum()) for p in held])
    piece = _turned(held[int(rng.choice(len(held), p=like / like.sum()))], rng)
    row, column = where[rng.integers(len(where))] - np.array(piece.label.shape) // 2
    top, left = max(0, -row), max(0, -column)
    high, wide = (min(s, n - o) for s, n, o in zip(piece.label.shape, lungs.shape, (row, column), strict=True))
    if high <= top or wide <= left:
        return
    cut = (slice(top, high), slice(left, wide))
    at = (slice(row + top, row + high), slice(column + left, column + wide))
    soft = ndimage.gaussian_filter((piece.label > 0).astype(np.float32), 0.8)[cut] * healthy[at]
    target = float(np.median(hu[:, healthy])) + piece.rise[cut] * rng.uniform(0.75, 1.1)
    hu[(slice(None), *at)] += soft * np.maximum(target - hu[(slice(None), *at)], 0)
    label = piece.label[cut]
    opacity[at] = np.where((soft > 0.5) & (label > 0), label, opacity[at])


def gravity(hu: npt.NDArray[np.float32], lungs: Labels2, rng: np.random.Generator) -> None:
    """Lung that gets denser towards the back, as in every patient who lies and breathes shallowly: no opacity (in place)."""
    inside = ndimage.gaussian_filter(((lungs > 0) & (lungs < IGNORE)).astype(np.float32), 1.0)
    rows = np.nonzero((inside > 0.5).any(1))[0]
    if len(rows) > 20:
        slope = np.clip((np.arange(len(lungs)) - rows[0]) / (rows[-1] - rows[0]), 0, 1) ** rng.uniform(1, 3)
        hu += inside * slope[:, None].astype(np.float32) * np.float32(rng.uniform(20, 130)) * (hu < -500)


def effusion(hu: npt.NDArray[np.float32], lungs: Labels2, opacity: Labels2, rng: np.random.Generator) -> None:
    """Fluid behind one lung: even, of water's density, with a curved edge; neither lung nor opacity (in place)."""
    side = lungs == rng.integers(1, 3)
    rows, columns = np.nonzero(side)
    if len(rows) < 1500:
        return
    depth = rng.uniform(0.08, 0.3) * (rows.max() - rows.min())
    bend = rng.uniform(0, 0.006) * (np.arange(lungs.shape[1]) - columns.mean()) ** 2
    fluid = side & (np.arange(len(lungs))[:, None] > rows.max() - depth - bend[None, :])
    soft = ndimage.gaussian_filter(fluid.astype(np.float32), 0.8)
    hu += soft * (rng.uniform(-5, 30) - hu)
    lungs[fluid] = opacity[fluid] = 0
