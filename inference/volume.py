"""The voxels of one series in Hounsfield units, one int16 array, decoded by two threads, in the source's own orientation."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.pixels import read_hu
from inference.series import Stack

DECODERS = 2


@dataclass(frozen=True, slots=True)
class Volume:
    """``hu`` is int16 (slices, rows, columns), slices from feet to head, rows and columns as in the source images.

    ``spacing`` is mm between slices, rows, columns of the source; ``positions`` are mm along the normal. ``transposed`` and
    ``flips`` (rows, columns; after transposing) bring a slice into the orientation the network sees.
    """

    hu: npt.NDArray[np.int16]
    spacing: tuple[float, float, float]
    positions: tuple[float, ...]
    uids: tuple[str, ...]
    transposed: bool = False
    flips: tuple[bool, bool] = (False, False)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return self.spacing[0] * self.spacing[1] * self.spacing[2] / 1000

    def seen(self, plane: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """A view of one slice: rows to the back, columns to the patient's left."""
        turned = plane.T if self.transposed else plane
        return turned[:: -1 if self.flips[0] else 1, :: -1 if self.flips[1] else 1]

    def unseen(self, plane: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """The way back."""
        turned = plane[:: -1 if self.flips[0] else 1, :: -1 if self.flips[1] else 1]
        return turned.T if self.transposed else turned

    def seen_shape(self) -> tuple[int, int]:
        """Rows and columns of a slice as the network sees it, before resizing."""
        rows, columns = self.hu.shape[1:]
        return (columns, rows) if self.transposed else (rows, columns)


def read_volume(stack: Stack) -> Volume:
    """Decodes a stack (its size was checked before); raises UnsuitableError."""
    hu = np.empty((len(stack.sources), stack.rows, stack.columns), np.int16)
    with ThreadPoolExecutor(DECODERS) as pool:
        work = [pool.submit(read_hu, source, hu[i]) for i, source in enumerate(stack.sources)]
        try:
            for done in work:
                done.result()
        finally:
            pool.shutdown(cancel_futures=True)
    uids = tuple(source.uid for source in stack.sources)
    return Volume(hu, stack.spacing, stack.positions, uids, stack.transposed, stack.flips)
