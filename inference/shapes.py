"""Measures of a volume that need the voxels themselves: percentiles, numbers of components, axes and areas in a slice."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from inference import outline
from inference.objects.shape import Axes, axes

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Voxels:
    """Final labels (layers, slices, rows, columns), the values they lie on, and mm between slices, rows, columns."""

    layers: npt.NDArray[np.uint8]
    values: npt.NDArray[np.number]
    spacing: tuple[float, float, float]
    layer_of: dict[int, int]

    def slices(self, segments: Sequence[int]) -> Iterator[tuple[int, Mask]]:
        """The slices that show any of the segments, and where."""
        by_layer: dict[int, list[int]] = {}
        for segment in segments:
            by_layer.setdefault(self.layer_of[segment], []).append(segment)
        for index in range(self.layers.shape[1]):
            masks = [np.isin(self.layers[layer, index], numbers) for layer, numbers in by_layer.items()]
            mask = np.logical_or.reduce(masks)
            if mask.any():
                yield index, mask


def percentile(voxels: Voxels, segments: Sequence[int], percent: float) -> float | None:
    """The value that ``percent`` of the voxels do not exceed, linear between neighbours (NumPy's default)."""
    inside = [voxels.values[index][mask] for index, mask in voxels.slices(segments)]
    return float(np.percentile(np.concatenate(inside), percent)) if inside else None


def components(voxels: Voxels, segments: Sequence[int], min_volume_ml: float, connectivity: int) -> float:
    """How many connected components (in three dimensions) the segments have together, of at least that volume."""
    found = list(voxels.slices(segments))
    if not found:
        return 0.0
    first, last = found[0][0], found[-1][0]
    whole = np.zeros((last - first + 1, *voxels.layers.shape[2:]), bool)
    for index, mask in found:
        whole[index - first] = mask
    numbers, count = ndimage.label(whole, ndimage.generate_binary_structure(3, connectivity))
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
    voxel_ml = voxels.spacing[0] * voxels.spacing[1] * voxels.spacing[2] / 1000
    return float((sizes * voxel_ml >= min_volume_ml - 1e-9).sum())


def longest(voxels: Voxels, segments: Sequence[int]) -> Axes | None:
    """Long and short axis, mm, of the region of one slice that has the longest long axis (as RECIST 1.1 measures in a slice).

    Regions are connected over pixel sides. The long axis is the maximum Feret diameter of its pixels' corners.
    """
    unit = (voxels.spacing[2], voxels.spacing[1])
    waiting = [
        (float(np.hypot(*(np.array(box.shape) * unit[::-1]))), index, number, box)
        for index, mask in voxels.slices(segments)
        for number, box in enumerate(_regions(mask))
    ]
    best: Axes | None = None
    for bound, _, _, region in sorted(waiting, key=lambda one: (-one[0], one[1], one[2])):
        if best is not None and bound <= best.long_length:
            break  # no region left can have a longer one: its box is not
        found = axes(outline.trace(region), unit)
        if best is None or found.long_length > best.long_length:
            best = found
    return best


def _regions(mask: Mask) -> Iterator[Mask]:
    """Each region connected over pixel sides, in its own box."""
    numbers, _ = ndimage.label(mask)
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        yield np.asarray(numbers[box] == number)


def largest_area(voxels: Voxels, segments: Sequence[int]) -> float:
    """The largest area of the segments in one slice, mm2."""
    pixel = voxels.spacing[1] * voxels.spacing[2]
    return max((float(np.count_nonzero(mask)) * pixel for _, mask in voxels.slices(segments)), default=0.0)
