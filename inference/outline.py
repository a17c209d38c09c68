"""The outline of the largest connected region of a mask, along the edges of its pixels, with few enough points for any viewer."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Points = npt.NDArray[np.float64]
MOST_POINTS = 200


def outline(mask: npt.NDArray[np.bool_], most: int = MOST_POINTS) -> Points:
    """Closed polygon (N, 2) of (column, row), N <= ``most``, the last point repeats the first (PS3.3 C.18.6.1.2).

    The outer corner of the first pixel is (0, 0). The region is the largest one connected over pixel sides; holes in it are
    not drawn. Up to ``most`` points the polygon runs exactly along the pixels, beyond that it is simplified as little as
    needed. The mask must not be empty.
    """
    exact = trace(largest_region(mask))
    points, tolerance = exact, 0.5
    while len(points) > most:
        points, tolerance = simplify(exact, tolerance), tolerance * 1.5
    return points


def largest_region(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The largest region connected over pixel sides (the first of equals), (rows, columns)."""
    numbers, count = ndimage.label(mask)
    if count == 0:
        raise ValueError("an empty mask has no outline")
    sizes = np.bincount(numbers.ravel())
    region: npt.NDArray[np.bool_] = numbers == 1 + int(sizes[1:].argmax())
    return region


def trace(region: npt.NDArray[np.bool_]) -> Points:
    """Outer boundary of a region connected over pixel sides: clockwise on the screen, corners only, closed."""
    filled = np.pad(region, 1)
    row, column = (int(v) for v in np.argwhere(filled)[0])
    start, heading = (column, row), (1, 0)
    point, corners = start, [start]
    while True:
        point = (point[0] + heading[0], point[1] + heading[1])
        turned = _next(filled, point, heading)
        if point == start and turned == (1, 0):
            break
        if turned != heading:
            corners.append(point)
        heading = turned
    # Padding moved everything by one pixel.
    return np.array([*corners, start], np.float64) - 1


def _next(filled: npt.NDArray[np.bool_], point: tuple[int, int], heading: tuple[int, int]) -> tuple[int, int]:
    """Which way on with the region at the right hand; where it touches itself at a corner, turn to the same pixel."""
    right = (-heading[1], heading[0])
    if not _pixel(filled, point, heading, right):
        return right
    left = (-right[0], -right[1])
    return left if _pixel(filled, point, heading, left) else heading


def _pixel(filled: npt.NDArray[np.bool_], point: tuple[int, int], ahead: tuple[int, int], side: tuple[int, int]) -> bool:
    """Whether the pixel ahead of a corner, on one side, belongs to the region."""
    column = point[0] + (ahead[0] + side[0] - 1) // 2
    row = point[1] + (ahead[1] + side[1] - 1) // 2
    return bool(filled[row, column])


def simplify(points: Points, tolerance: float) -> Points:
    """Ramer-Douglas-Peucker on a closed polygon: no dropped point lies farther than ``tolerance`` from what is kept."""
    far = int(((points - points[0]) ** 2).sum(axis=1).argmax())
    keep = np.zeros(len(points), bool)
    keep[[0, far, -1]] = True
    spans = [(0, far), (far, len(points) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        distances = _distances(points[first + 1 : last], points[first], points[last])
        worst = int(distances.argmax())
        if distances[worst] > tolerance:
            middle = first + 1 + worst
            keep[middle] = True
            spans += [(first, middle), (middle, last)]
    return points[keep]


def _distances(points: Points, a: Points, b: Points) -> Points:
    """Distance of points to the segment a-b."""
    way = b - a
    length = float(way @ way)
    along = np.clip((points - a) @ way / length, 0, 1) if length else np.zeros(len(points))
    result: Points = np.linalg.norm(points - (a + along[:, None] * way), axis=1)
    return result


def area(points: Points) -> float:
    """Area of a closed polygon in pixels (shoelace)."""
    x, y = points[:-1].T
    following_x, following_y = points[1:].T
    return float(abs((x * following_y - following_x * y).sum()) / 2)
