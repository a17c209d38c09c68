"""Runs the network of a package over a volume with OpenVINO: compiled once, several streams, answers independent of timing."""

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from domain.errors import PackageError
from inference.contract import Network
from inference.package import Package
from inference.steps.grid import Grid
from inference.steps.resize import Image
from inference.volume import Volume

PRECISIONS = {"auto": "f32", "fp32": "f32", "bf16": "bf16"}
_LABEL_TYPES = ("u8", "i32", "i64", "i8", "u32", "u64")


class Engine:
    """The compiled network of one package. ``threads`` 0: every core this process may use."""

    def __init__(self, package: Package, precision: str = "auto", threads: int = 0, cache_dir: Path | None = None) -> None:
        if precision not in PRECISIONS:
            raise PackageError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
        self._package = package
        self.precision = "fp32" if precision == "auto" else precision
        threads = threads or len(os.sched_getaffinity(0))
        self.streams = min(threads, max(2, threads // 4))
        core = ov.Core()
        model = _read(core, package)
        try:
            self._compiled = core.compile_model(model, "CPU", _settings(PRECISIONS[precision], threads, self.streams, cache_dir))
        except RuntimeError as error:
            raise PackageError(f"{package.network.file} cannot be compiled for this CPU") from error
        self._outputs = [self._compiled.output(output.name) for output in package.network.outputs]
        self.grid_size: tuple[int, int] = tuple(self._outputs[0].shape[1:])

    def segment(self, volume: Volume) -> Grid:
        """Label layers on the network's output grid, in the orientation the network sees, before postprocessing."""
        layers = np.zeros((self._package.layers, volume.hu.shape[0], *self.grid_size), np.uint8)
        # A ring of requests, each collected before it is used again. AsyncInferQueue would call Python from its own threads,
        # which now and then aborts the process at exit; slices take equal time, so a ring is as fast.
        ring = [self._compiled.create_infer_request() for _ in range(self.streams + 1)]
        running: deque[tuple[Any, int]] = deque()
        for index, channels in enumerate(self._inputs(volume)):
            request = ring[index % len(ring)]
            if len(running) == len(ring):
                self._collect(*running.popleft(), layers)
            data = request.get_input_tensor(0).data
            for c, image in enumerate(channels):
                data[0, c] = image
            request.start_async()
            running.append((request, index))
        for request, index in running:
            self._collect(request, index, layers)
        rows, columns = volume.seen_shape()
        across = volume.spacing[1:][::-1] if volume.transposed else volume.spacing[1:]
        spacing = (volume.spacing[0], across[0] * rows / self.grid_size[0], across[1] * columns / self.grid_size[1])
        return Grid(layers, spacing, self._package.layer_of)

    def _collect(self, request: Any, index: int, layers: npt.NDArray[np.uint8]) -> None:
        request.wait()
        for output, port in zip(self._package.network.outputs, self._outputs, strict=True):
            table = _values(output.labels)
            found = request.get_tensor(port).data[0]
            layers[output.layer, index] = table[_bounded(found, len(table) - 1)]

    def _inputs(self, volume: Volume) -> Iterator[list[Image]]:
        """The channels of each slice; a prepared slice is kept only as long as a later slice needs it."""
        chosen = channel_slices(self._package.network, volume.positions)
        last_use = {int(s): i for i, row in enumerate(chosen) for s in row}
        ready: dict[int, Image] = {}
        for index, row in enumerate(chosen):
            for s in map(int, row):
                if s not in ready:
                    ready[s] = self._prepare(volume, s)
            yield [ready[int(s)] for s in row]
            for s in [s for s in ready if last_use[s] <= index]:
                del ready[s]

    def _prepare(self, volume: Volume, index: int) -> Image:
        image: Any = volume.seen(volume.hu[index])
        for step in self._package.preprocessing:
            image = step(image)
        return np.ascontiguousarray(image, np.float32)


def channel_slices(network: Network, positions: tuple[float, ...]) -> npt.NDArray[np.intp]:
    """(slices, channels): which slice each channel of each slice is. Equally near ones: the one nearer to the slice itself."""
    count = len(positions)
    if network.channels_slices:
        offsets = np.arange(count)[:, None] + np.array(network.channels_slices)
        return np.asarray(np.clip(offsets, 0, count - 1), np.intp)
    places = np.array(positions)
    return np.stack([_nearest_slices(places, offset) for offset in network.channels_mm], axis=1)


def _nearest_slices(places: npt.NDArray[np.float64], offset: float) -> npt.NDArray[np.intp]:
    above = np.searchsorted(places, places + offset).clip(0, len(places) - 1)
    below = (above - 1).clip(0)
    # Positions are written with few digits: a difference below a hundredth of a millimetre is none.
    up, down = (np.round(np.abs(places[i] - places - offset), 2) for i in (above, below))
    nearer_below = (down < up) | ((down == up) & (offset > 0))
    nearest: npt.NDArray[np.intp] = np.where(nearer_below, below, above)
    return nearest


def _settings(precision: str, threads: int, streams: int, cache_dir: Path | None) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": str(streams),
        # Several workers would otherwise be pinned to the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    if cache_dir is not None:
        cache_dir.mkdir(parents=True, exist_ok=True)
        settings["CACHE_DIR"] = str(cache_dir)
    return settings


def _read(core: Any, package: Package) -> Any:
    """The network, brought to batch 1 and checked against what package.toml says about it."""
    network, weights = package.network, package.weights()
    try:
        model = core.read_model(*weights) if weights[1] else core.read_model(weights[0])
        shape = [1, network.channels, *network.size]
        model.reshape({network.input: shape})
    except (RuntimeError, TypeError, ValueError) as error:
        raise PackageError(
            f"{network.file} is no network with an input {network.input!r} of the size package.toml says"
        ) from error
    _check_ports(model, network)
    return model


def _check_ports(model: Any, network: Network) -> None:
    if len(model.inputs) != 1 or model.input(0).get_element_type().get_type_name() != "f32":
        raise PackageError(f"{network.file} must have one input, float32")
    names = {name: port for port in model.outputs for name in port.get_names()}
    shapes = set()
    for output in network.outputs:
        if output.name not in names:
            raise PackageError(f"{network.file} has no output {output.name!r}")
        port = names[output.name]
        if port.get_element_type().get_type_name() not in _LABEL_TYPES or port.get_partial_shape().is_dynamic:
            raise PackageError(f"output {output.name!r} of {network.file} must be labels (uint8) of a fixed size")
        shapes.add(tuple(port.get_shape()))
    if len(shapes) != 1 or any(len(shape) != 3 or shape[0] != 1 for shape in shapes):
        raise PackageError(f"the outputs of {network.file} must all be [N, h, w] of the same size")


def _values(labels: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Value of the tensor to segment number; the last entry takes every value that means nothing."""
    return np.array([0, *labels, 0], np.uint8)


def _bounded(found: npt.NDArray[np.integer], last: int) -> npt.NDArray[np.integer]:
    """Values outside 0..last become ``last``."""
    if found.dtype.kind == "u":
        return np.asarray(np.minimum(found, last))
    return np.asarray(np.where((found < 0) | (found > last), last, found))
