"""The closed list of postprocessing steps: each works on the label layers in place. Names follow MONAI's where it has one."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from domain.errors import PackageError
from inference.keys import Table, known_segments, suggestion
from inference.steps.grid import Grid, Mask

PostStep = Callable[[Grid], None]


def post_step(table: Table, segments: dict[int, int]) -> PostStep:
    """The step a table of ``[[postprocessing]]`` asks for; raises PackageError."""
    name = table.text("step")
    if name not in POSTPROCESSING:
        raise PackageError(f"{table.where}: there is no step {name!r}{suggestion(name, POSTPROCESSING)}")
    step = POSTPROCESSING[name](table, segments)
    table.done()
    return step


def components(mask: Mask, connectivity: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.intp]]:
    """Component number of each voxel (0: none) and the voxels of each component; numbering as scipy.ndimage.label."""
    numbers = np.empty(mask.shape, np.int32)
    ndimage.label(mask, ndimage.generate_binary_structure(3, connectivity), output=numbers)
    return numbers, np.bincount(numbers.ravel())


def keep_largest(grid: Grid, segments: tuple[int, ...], num_components: int = 1, connectivity: int = 1) -> None:
    """Each segment keeps its largest components only; among equals those that come first (lowest slice)."""
    for segment in segments:
        box = grid.box((segment,))
        if box is None:
            continue
        numbers, sizes = components(grid.mask((segment,), box), connectivity)
        sizes[0] = 0
        keep = np.zeros(len(sizes), bool)
        keep[np.argsort(-sizes, kind="stable")[:num_components]] = True
        keep[0] = True
        grid.layer(segment)[box][~keep[numbers]] = 0


def remove_small(
    grid: Grid, segments: tuple[int, ...], min_volume_ml: float, connectivity: int = 1, together: bool = False
) -> None:
    """Components smaller than ``min_volume_ml`` go; ``together``: the segments are one object."""
    for group in (segments,) if together else tuple((segment,) for segment in segments):
        box = grid.box(group)
        if box is None:
            continue
        numbers, sizes = components(grid.mask(group, box), connectivity)
        small = sizes * grid.voxel_ml < min_volume_ml
        small[0] = False
        gone = small[numbers]
        for segment in group:
            view = grid.layer(segment)[box]
            view[gone & (view == segment)] = 0


def fill_holes(grid: Grid, segments: tuple[int, ...], per_slice: bool = True) -> None:
    """Background of the layer that a segment encloses (no way out over faces) becomes that segment."""
    structure = ndimage.generate_binary_structure(3, 1)
    if per_slice:
        structure[0] = structure[2] = False
    for segment in segments:
        box = grid.box((segment,))
        if box is None:
            continue
        view = grid.layer(segment)[box]
        # One voxel of outside all around: what is not connected to it is enclosed.
        outside = np.pad(view != segment, ((0, 0) if per_slice else (1, 1), (1, 1), (1, 1)), constant_values=True)
        numbers = np.empty(outside.shape, np.int32)
        count = ndimage.label(outside, structure, output=numbers)
        enclosed = np.ones(count + 1, bool)
        enclosed[np.unique(numbers[:, 0, 0])] = False
        enclosed[0] = False
        inner = numbers[:, 1:-1, 1:-1] if per_slice else numbers[1:-1, 1:-1, 1:-1]
        view[enclosed[inner] & (view == 0)] = segment


def restrict_to(grid: Grid, segments: tuple[int, ...], to: tuple[int, ...], closing_mm: float = 0, extend: bool = False) -> None:
    """``segments`` stay only inside ``to``, each first closed in its slices by a square of side 2 x ``closing_mm``."""
    allowed = np.zeros(grid.layers.shape[1:], bool)
    radii = (round(closing_mm / grid.spacing[1]), round(closing_mm / grid.spacing[2]))
    for organ in to:
        box = grid.box((organ,))
        if box is None:
            continue
        closed = closing(grid.mask((organ,), box), radii)
        allowed[box] |= closed
        if extend:
            view = grid.layer(organ)[box]
            view[closed & grid.mask(segments, box) & (view == 0)] = organ
    for segment in segments:
        view = grid.layer(segment)
        view[(view == segment) & ~allowed] = 0


def closing(mask: Mask, radii: tuple[int, int]) -> Mask:
    """Closing of every slice by a rectangle of (2 r + 1) pixels a side, as in an image without borders."""
    if radii == (0, 0):
        return mask
    padded = np.pad(mask, ((0, 0), (radii[0],) * 2, (radii[1],) * 2))
    spread = _spread(_spread(padded, 1, radii[0]), 2, radii[1])
    # Erosion is dilation of the background. The border needs no care: whatever reached it lies outside the crop.
    kept = ~_spread(_spread(~spread, 1, radii[0]), 2, radii[1])
    rows, columns = mask.shape[1:]
    result: Mask = kept[:, radii[0] : radii[0] + rows, radii[1] : radii[1] + columns]
    return result


def _spread(mask: Mask, axis: int, radius: int) -> Mask:
    """Dilation along one axis by ``radius`` both ways, by doubling: a few passes over bytes instead of one per pixel."""
    lines = np.moveaxis(mask, axis, 0).copy()
    for step in _doublings(radius):
        lines[step:] |= lines[:-step].copy()
    for step in _doublings(radius):
        lines[:-step] |= lines[step:].copy()
    return np.moveaxis(lines, 0, axis)


def _doublings(radius: int) -> list[int]:
    """Shifts whose sum is ``radius`` and none of which is more than what is covered already, plus one."""
    steps, covered = [], 0
    while covered < radius:
        steps.append(min(covered + 1, radius - covered))
        covered += steps[-1]
    return steps


def _keep_largest(table: Table, known: dict[int, int]) -> PostStep:
    segments = known_segments(table, "segments", known)
    count, connectivity = table.integer("num_components", 1, 100, 1), table.integer("connectivity", 1, 3, 1)
    return lambda grid: keep_largest(grid, segments, count, connectivity)


def _remove_small(table: Table, known: dict[int, int]) -> PostStep:
    segments, least = known_segments(table, "segments", known), table.number("min_volume_ml", 0, 1e5)
    connectivity, together = table.integer("connectivity", 1, 3, 1), table.flag("together", False)
    return lambda grid: remove_small(grid, segments, least, connectivity, together)


def _fill_holes(table: Table, known: dict[int, int]) -> PostStep:
    segments, per_slice = known_segments(table, "segments", known), table.flag("per_slice", True)
    return lambda grid: fill_holes(grid, segments, per_slice)


def _restrict_to(table: Table, known: dict[int, int]) -> PostStep:
    segments, to = known_segments(table, "segments", known), known_segments(table, "to", known)
    closing_mm, extend = table.number("closing_mm", 0, 100, 0), table.flag("extend", False)
    if {known[s] for s in segments} & {known[s] for s in to}:
        raise table.wrong("to", "a list of segments of another layer")
    return lambda grid: restrict_to(grid, segments, to, closing_mm, extend)


POSTPROCESSING: dict[str, Callable[[Table, dict[int, int]], PostStep]] = {
    "KeepLargestConnectedComponent": _keep_largest,
    "RemoveSmallObjects": _remove_small,
    "FillHoles": _fill_holes,
    "RestrictTo": _restrict_to,
}
