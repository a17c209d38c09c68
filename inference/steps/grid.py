"""The label layers postprocessing works on, in place, and the ways to look at one segment without touching the rest."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, slots=True)
class Grid:
    """``layers`` is uint8 (layers, slices, rows, columns) of segment numbers, ``spacing`` mm between slices, rows, columns."""

    layers: npt.NDArray[np.uint8]
    spacing: tuple[float, float, float]
    layer_of: dict[int, int]

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel."""
        return self.spacing[0] * self.spacing[1] * self.spacing[2] / 1000

    def layer(self, segment: int) -> npt.NDArray[np.uint8]:
        """The layer a segment lies in, a view."""
        view: npt.NDArray[np.uint8] = self.layers[self.layer_of[segment]]
        return view

    def mask(self, segments: tuple[int, ...], box: Box | None = None) -> Mask:
        """Voxels of any of the segments, in the box or everywhere."""
        found: Mask | None = None
        for segment in segments:
            here = (self.layer(segment) if box is None else self.layer(segment)[box]) == segment
            found = here if found is None else found | here
        assert found is not None
        return found

    def box(self, segments: tuple[int, ...], margin: int = 0) -> Box | None:
        """The smallest box around the segments, widened in its plane and along slices; None when there are none."""
        mask = self.mask(segments)
        box = []
        for axis in range(3):
            others = tuple(a for a in range(3) if a != axis)
            where = np.flatnonzero(mask.any(axis=others))
            if where.size == 0:
                return None
            box.append(slice(max(0, int(where[0]) - margin), min(mask.shape[axis], int(where[-1]) + 1 + margin)))
        return (box[0], box[1], box[2])
