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
        slices = np.flatnonzero(mask.reshape(len(mask), -1).any(axis=1))
        if slices.size == 0:
            return None
        # All slices laid over each other: two passes over the volume instead of three.
        plane = np.asarray(mask[slices[0] : slices[-1] + 1].any(axis=0))
        lines = (slices, np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0)))
        ends = [(max(0, int(w[0]) - margin), min(n, int(w[-1]) + 1 + margin)) for w, n in zip(lines, mask.shape, strict=True)]
        return slice(*ends[0]), slice(*ends[1]), slice(*ends[2])
