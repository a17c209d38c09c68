"""Runs the network of a package over a volume with OpenVINO: compiled once, see inference/running.py."""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import pydicom

from domain.errors import PackageError
from inference.contract import Network
from inference.graph import ports, read_network
from inference.kept import Kept
from inference.package import Package
from inference.running import Compiled, Outputs, Way, ahead
from inference.steps.grid import Grid
from inference.steps.resize import Image
from inference.volume import Ready, Volume
from inference.windows.onto import others_of

PREPARING = 2  # threads that decode and resize while the network runs
_FORM = "3"  # raised when this folder computes something else from the same images
_LABEL_TYPES = ("u8", "i32", "i64", "i8", "u32", "u64")

Chosen = npt.NDArray[np.intp]
Planes = npt.NDArray[np.uint8]


class Engine:
    """The compiled network of one package, and how slices become its input."""

    def __init__(self, package: Package, way: Way) -> None:
        self._package = package
        self.precision = way.precision
        core = ov.Core()
        self.network = compiled(core, package, way)
        way = self.network.way
        # Kept results are emptied at every start, so this tells apart only what can live at the same time, and a little more.
        about = (core.get_property("CPU", "FULL_DEVICE_NAME"), ov.__version__, np.__version__, pydicom.__version__)
        ways = (self.precision, str(way.threads), str(way.streams), str(way.batch))
        self.fingerprint = hashlib.sha256("\n".join((_FORM, package.digest, *ways, *map(str, about))).encode()).hexdigest()
        rows, columns = self.network.output_shape(0)
        self.grid_size: tuple[int, int] = (rows, columns)
        self._tables = [_values(output.labels) for output in package.network.outputs]

    def segment(self, volume: Volume, kept: Kept | None = None, ready: Ready | None = None) -> Grid:
        """Label layers on the network's output grid, in the orientation the network sees, before postprocessing.

        ``ready`` is called before a slice is looked at, in the threads that prepare it.
        """

        count = len(volume.hu)
        series = (volume.hu, *others_of(volume))

        def seen(index: int) -> npt.NDArray[np.generic]:
            if ready is not None:
                ready(index % count)
            return volume.seen(series[index // count][index % count])

        layers = np.zeros((self._package.layers, volume.hu.shape[0], *self.grid_size), np.uint8)
        chosen = channel_slices(self._package.network, volume.positions)
        missing = range(len(chosen)) if kept is None else self._recall(volume, chosen, kept, layers)
        for index, planes in self.run(chosen, missing, seen):
            layers[:, index] = planes
        rows, columns = volume.seen_shape()
        across = volume.spacing[1:][::-1] if volume.transposed else volume.spacing[1:]
        spacing = (volume.spacing[0], across[0] * rows / self.grid_size[0], across[1] * columns / self.grid_size[1])
        return Grid(layers, spacing, self._package.layer_of)

    def run(self, chosen: Chosen, wanted: Iterable[int], seen: Callable[[int], Any]) -> Iterator[tuple[int, Planes]]:
        """The label planes (layers, rows, columns) of the ``wanted`` slices (rising), one by one as they are done.

        ``chosen`` is what ``channel_slices`` says of all slices; ``seen`` gives one of them in the units of its series, in the
        orientation the network sees.
        """
        order, count = list(wanted), len(chosen)
        slices = dict.fromkeys(int(s) for index in order for s in chosen[index])
        most = self.network.way.streams * self.network.way.batch + len(chosen[0]) if len(chosen) else 1
        with ahead(slices, lambda s: self._prepare(seen(s), s // count), PREPARING, most) as prepared:
            for index, outputs in self.network.feed(_channels(chosen, order, prepared)):
                yield index, self._planes(outputs)

    def key(self, images: Sequence[str], transposed: bool, flips: tuple[bool, bool]) -> bytes:
        """All that the label planes of a slice depend on: its channels' images, how they are turned, what runs where."""
        words = [self.fingerprint, str(transposed), str(flips), *images]
        return hashlib.sha256("\n".join(words).encode()).digest()

    @property
    def plane_shape(self) -> tuple[int, int, int]:
        """Layers, rows and columns of the planes of one slice."""
        return (self._package.layers, *self.grid_size)

    def _recall(self, volume: Volume, chosen: Chosen, kept: Kept, layers: Planes) -> list[int]:
        """Fills in what is kept; the slices that are not."""
        missing = []
        for index, row in enumerate(chosen):
            images = [volume.identities[int(s)] for s in row] if volume.identities else []
            key = self.key(images, volume.transposed, volume.flips)
            found = kept.find(key, math.prod(self.plane_shape)) if images and all(images) else None
            if found is None:
                missing.append(index)
            else:
                layers[:, index] = np.frombuffer(found, np.uint8).reshape(self.plane_shape)
                kept.used += 1
        return missing

    def _planes(self, outputs: Outputs) -> Planes:
        planes = np.zeros(self.plane_shape, np.uint8)
        for output, table, found in zip(self._package.network.outputs, self._tables, outputs, strict=True):
            planes[output.layer] = _numbered(found, table)
        return planes

    def _prepare(self, image: Any, series: int) -> Image:
        for step in self._package.preprocessing[series]:
            image = step(image)
        return np.ascontiguousarray(image, np.float32)


def compiled(core: Any, package: Package, way: Way) -> Compiled:
    """The network of a package, checked against what package.toml says about it; raises PackageError."""
    network = package.network
    shape = (way.batch, network.channels, *network.size)
    model = read_network(core, package.weights(way.precision), network.file, network.input, shape)
    _check_ports(model, network, way.batch)
    return Compiled(core, model, network.file, [output.name for output in network.outputs], way)


def _channels(chosen: Chosen, wanted: list[int], prepared: Iterator[tuple[int, Image]]) -> Iterator[tuple[int, list[Image]]]:
    """The channels of each slice; a prepared slice is kept only as long as a later slice needs it."""
    last_use = {int(s): index for index in wanted for s in chosen[index]}
    ready: dict[int, Image] = {}
    for index in wanted:
        row = [int(s) for s in chosen[index]]
        while not all(s in ready for s in row):
            s, image = next(prepared)
            ready[s] = image
        yield index, [ready[s] for s in row]
        for s in [s for s in ready if last_use[s] <= index]:
            del ready[s]


def channel_slices(network: Network, positions: tuple[float, ...]) -> npt.NDArray[np.intp]:
    """(slices, channels): which slice each channel of each slice is. Equally near ones: the one nearer to the slice itself.

    Slices of the second series count on from those of the first, and so on: all lie on its grid.
    """
    count = len(positions)
    first = np.array(network.series or (0,), np.intp) * count
    if network.channels_slices:
        offsets = np.arange(count)[:, None] + np.array(network.channels_slices)
        return np.asarray(np.clip(offsets, 0, count - 1), np.intp) + first
    places = np.array(positions)
    return np.stack([_nearest_slices(places, offset) for offset in network.channels_mm], axis=1) + first


def _nearest_slices(places: npt.NDArray[np.float64], offset: float) -> npt.NDArray[np.intp]:
    above = np.searchsorted(places, places + offset).clip(0, len(places) - 1)
    below = (above - 1).clip(0)
    # Positions are written with few digits: a difference below a hundredth of a millimetre is none.
    up, down = (np.round(np.abs(places[i] - places - offset), 2) for i in (above, below))
    nearer_below = (down < up) | ((down == up) & (offset > 0))
    nearest: npt.NDArray[np.intp] = np.where(nearer_below, below, above)
    return nearest


def _check_ports(model: Any, network: Network, batch: int) -> None:
    if len(model.inputs) != 1 or model.input(0).get_element_type().get_type_name() != "f32":
        raise PackageError(f"{network.file} must have one input, float32")
    names = ports(model)
    shapes = set()
    for output in network.outputs:
        if output.name not in names:
            raise PackageError(f"{network.file} has no output {output.name!r}")
        port = names[output.name]
        if port.get_element_type().get_type_name() not in _LABEL_TYPES or port.get_partial_shape().is_dynamic:
            raise PackageError(f"output {output.name!r} of {network.file} must be labels (uint8) of a fixed size")
        shapes.add(tuple(port.get_shape()))
    if len(shapes) != 1 or any(len(shape) != 3 or shape[0] != batch for shape in shapes):
        raise PackageError(f"the outputs of {network.file} must all be [N, h, w] of the same size")


def _values(labels: tuple[int, ...]) -> bytes:
    """Value of the tensor to segment number, for bytes.translate; a value that means nothing is nothing."""
    return bytes((0, *labels)).ljust(256, b"\0")


def _numbered(found: npt.NDArray[np.integer], table: bytes) -> Planes:
    """Segment numbers of values; those outside 0..255 mean nothing."""
    small = found if found.dtype == np.uint8 else np.where((found < 0) | (found > 255), 0, found).astype(np.uint8)
    return np.frombuffer(small.tobytes().translate(table), np.uint8).reshape(found.shape)
