"""The voxels of one series, one array in the units of its contract, decoded by two threads, in the source's own orientation."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from inference.kept import Kept
from inference.pixels import read_hu, read_values
from inference.series import Stack
from inference.source import Source

N = TypeVar("N", bound=np.generic)
DECODERS = 2
Ready = Callable[[int], None]  # sees to it that a slice is there
_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)


@dataclass(frozen=True, slots=True)
class Volume:
    """``hu`` is (slices, rows, columns), slices from feet to head (as in Stack), rows and columns as in the source images:
    int16 Hounsfield units, or float32 in the units of the contract for other modalities.

    ``spacing`` is mm between slices, rows, columns of the source; ``positions`` are mm along the normal. ``transposed`` and
    ``flips`` (rows, columns; after transposing) bring a slice into the orientation the network sees. ``frames`` as in Labels;
    ``steps`` as in Stack (None: the orientation the network sees). ``origin`` is the centre of the first voxel of the first
    slice in the patient, mm. ``others`` are the other channels of a network that sees several series, each on its own grid.
    """

    hu: npt.NDArray[np.int16] | npt.NDArray[np.float32]
    spacing: tuple[float, float, float]
    positions: tuple[float, ...]
    uids: tuple[str, ...]
    transposed: bool = False
    flips: tuple[bool, bool] = (False, False)
    identities: tuple[str, ...] = ()  # see ``identity``; none: nothing kept is looked for
    frames: tuple[int, ...] = ()
    steps: npt.NDArray[np.float64] | None = None
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    others: tuple["Volume", ...] = ()

    def frame(self, index: int) -> int | None:
        """Frame number of a slice, where the images are multi-frame."""
        return self.frames[index] if self.frames else None

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return self.spacing[0] * self.spacing[1] * self.spacing[2] / 1000

    def seen(self, plane: npt.NDArray[N]) -> npt.NDArray[N]:
        """A view of one slice: rows to the back, columns to the patient's left."""
        return seen(plane, self.transposed, self.flips)

    def unseen(self, plane: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """The way back."""
        turned = plane[:: -1 if self.flips[0] else 1, :: -1 if self.flips[1] else 1]
        return turned.T if self.transposed else turned

    def seen_shape(self) -> tuple[int, int]:
        """Rows and columns of a slice as the network sees it, before resizing."""
        rows, columns = self.hu.shape[1:]
        return (columns, rows) if self.transposed else (rows, columns)


def seen(plane: npt.NDArray[N], transposed: bool, flips: tuple[bool, bool]) -> npt.NDArray[N]:
    """A view of a slice in the orientation the network sees."""
    turned = plane.T if transposed else plane
    return turned[:: -1 if flips[0] else 1, :: -1 if flips[1] else 1]


def read_volume(stack: Stack, kept: Kept | None = None) -> Volume:
    """Decodes a stack (its size was checked before); raises UnsuitableError."""
    volume, ready = opened(stack, kept)
    all_ready(volume, ready)
    return volume


def opened(stack: Stack, kept: Kept | None = None) -> tuple[Volume, Ready]:
    """A volume whose slices are decoded when they are asked for: whoever needs a slice calls the second value with its index.

    That decodes the slice, or does nothing when it is there already, and raises UnsuitableError when it cannot be decoded.
    Threads may ask at the same time, but not for the same slice. Slices that nobody asked for must not be looked at.
    """
    shape = (len(stack.sources), stack.rows, stack.columns)
    hu = np.empty(shape, np.int16) if stack.units == "HU" else np.empty(shape, np.float32)
    uids = tuple(source.uid for source in stack.sources)
    names = tuple(identity(source) for source in stack.sources)
    frames = tuple(source.frame for source in stack.sources) if any(source.frame for source in stack.sources) else ()
    turned = (stack.transposed, stack.flips)
    there = [False] * len(stack.sources)

    def ready(index: int) -> None:
        if not there[index]:
            decode(stack.sources[index], hu[index], kept, stack.units)
            there[index] = True

    return Volume(hu, stack.spacing, stack.positions, uids, *turned, names, frames, stack.steps, stack.origin), ready


def all_ready(volume: Volume, ready: Ready) -> None:
    """Decodes what is not there yet, in several threads; raises UnsuitableError for the first slice that cannot be."""
    with ThreadPoolExecutor(DECODERS, "decoding") as pool:
        work = [pool.submit(ready, index) for index in range(len(volume.hu))]
        try:
            for one in work:
                one.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def identity(source: Source) -> str:
    """All that the pixels of an image depend on; nothing where that is not known."""
    frame = f"#{source.frame}" if source.frame else ""
    return f"{source.digest}/{source.transfer_syntax}{frame}" if source.digest else ""


def decode(source: Source, out: npt.NDArray[Any], kept: Kept | None = None, units: str = "HU") -> None:
    """``read_hu`` or ``read_values``, or what is kept of it."""
    found = kept.find(pixel_key(source, units), out.nbytes) if kept is not None and worth_keeping(source) else None
    if found is not None:
        out[...] = np.frombuffer(found, out.dtype).reshape(out.shape)
    elif units == "HU":
        read_hu(source, out)
    else:
        read_values(source, units, out)


def worth_keeping(source: Source) -> bool:
    """Compressed pixels take much longer to decode than to read; plain ones do not."""
    return bool(source.digest) and source.transfer_syntax not in _PLAIN


def pixel_key(source: Source, units: str = "HU") -> bytes:
    """What the values of an image are kept under."""
    return hashlib.sha256(f"{units.lower()}/{identity(source)}".encode()).digest()
