"""The boundaries of a mask as closed polygons along the edges of its pixels: exactly what the mask covers, no more, no less."""

import numpy as np
import numpy.typing as npt

Vertex = tuple[int, int]


def loops(mask: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.float64]]:
    """Every boundary of a mask (rows, columns), longest first: float64 (N, 2) of (column, row), the last repeats the first.

    Outer boundaries run clockwise on the screen, those of holes the other way round: the areas add up to that of the mask.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return []
    corner = np.array([columns[0], rows[0]], np.float64)
    follows = _edges(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    found = []
    while follows:
        start, ends = next(iter(follows.items()))
        loop = [start, _take(follows, start, ends)]
        while loop[-1] != start:
            loop.append(_take(follows, loop[-1], follows[loop[-1]]))
        found.append(_corners(loop) + corner)
    return sorted(found, key=len, reverse=True)


def _edges(mask: npt.NDArray[np.bool_]) -> dict[Vertex, list[Vertex]]:
    """From each corner to the next ones, the mask always at the right hand."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    sides = (
        (padded[:-2, 1:-1], (0, 0), (0, 1)),  # above: rightwards along the upper edge
        (padded[1:-1, 2:], (0, 1), (1, 1)),  # right: downwards
        (padded[2:, 1:-1], (1, 1), (1, 0)),  # below: leftwards
        (padded[1:-1, :-2], (1, 0), (0, 0)),  # left: upwards
    )
    follows: dict[Vertex, list[Vertex]] = {}
    for beside, (down_from, right_from), (down_to, right_to) in sides:
        for row, column in np.argwhere(inside & ~beside).tolist():
            follows.setdefault((column + right_from, row + down_from), []).append((column + right_to, row + down_to))
    return follows


def _take(follows: dict[Vertex, list[Vertex]], vertex: Vertex, ends: list[Vertex]) -> Vertex:
    end = ends.pop()
    if not ends:
        del follows[vertex]
    return end


def _corners(loop: list[Vertex]) -> npt.NDArray[np.float64]:
    """Without the points in the middle of straight runs."""
    points = np.array(loop[:-1], np.float64)
    turns = ((points - np.roll(points, 1, axis=0)) != (np.roll(points, -1, axis=0) - points)).any(axis=1)
    kept = points[turns]
    return np.vstack([kept, kept[:1]])
