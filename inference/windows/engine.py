"""Runs a network that slides over a volume: steps before it, windows, and labels back on the source grid."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import openvino as ov

from domain.errors import PackageError, Reason, UnsuitableError
from inference.graph import ports, read_network
from inference.kept import Kept
from inference.package import Package
from inference.running import Compiled, Way
from inference.steps.grid import Grid
from inference.volume import Volume
from inference.windows import placing
from inference.windows.discrete import decided
from inference.windows.field import Field, Values
from inference.windows.onto import fields_of
from inference.windows.plan import Inferer
from inference.windows.sliding import Slab, blended

Place = tuple[int, int, int]


class WindowEngine:
    """The compiled network of a package with an ``[inferer]``."""

    def __init__(self, package: Package, way: Way) -> None:
        windows = package.manifest.windows
        assert windows is not None
        self._package, self._windows = package, windows
        self.precision = way.precision
        roi = [n for axis, n in enumerate(windows.inferer.roi) if axis != windows.inferer.flat]
        core, network = ov.Core(), package.network
        channels = len(package.manifest.channels) or 1
        model = read_network(core, package.weights(way.precision), network.file, network.input, (way.batch, channels, *roi))
        _check_ports(model, package, [way.batch, windows.decision.classes, *roi])
        self.network = Compiled(core, model, network.file, [network.outputs[0].name], way)

    def segment(self, volume: Volume, kept: Kept | None = None) -> Grid:
        """Label layers in the orientation the network sees, on the source grid, before postprocessing of labels."""
        del kept  # windows reach over many slices: nothing of them is kept
        fields, index = fields_of(volume)
        shape, place = fields[0].values.shape, fields[0].place
        for step in self._windows.steps:
            fields = step(fields)
        out = np.zeros((self._package.layers, *shape), np.uint8)
        self._fill(fields, np.linalg.solve(fields[0].place, place), out)
        slices = out.transpose(0, 3, 2, 1)[:, index]
        layers = np.stack([[volume.seen(plane) for plane in layer] for layer in slices])
        across = volume.spacing[1:][::-1] if volume.transposed else volume.spacing[1:]
        return Grid(np.ascontiguousarray(layers, np.uint8), (volume.spacing[0], *across), self._package.layer_of)

    def _fill(self, fields: tuple[Field, ...], to_network: Any, out: Any) -> None:
        inferer, shape = self._windows.inferer, fields[0].values.shape
        if inferer.kind == "SimpleInferer" and shape != inferer.roi:
            words = f"The volume has {shape} voxels for a network of {inferer.roi}."
            raise UnsuitableError(Reason.GEOMETRY, words)
        padded = [_padded(field.values, inferer) for field in fields]
        before = padded[0][1]
        axis, starts, weights = _windows(inferer, padded[0][0].shape)
        predict = partial(self._predict, inferer, [values for values, _ in padded])
        slabs = blended(padded[0][0].shape, placing.in_order(starts, axis), axis, weights, predict)
        flat = [slice(before[a], before[a] + n) for a, n in enumerate(shape) if a != axis]
        inner = (Slab(s.start - before[axis], s.scores[:, :, flat[0], flat[1]]) for s in _from(slabs, before[axis]))
        decided(inner, axis, self._windows.decision, shape, to_network, out)

    def _predict(self, inferer: Inferer, channels: list[Values], starts: Iterable[Place]) -> Iterator[tuple[Place, Values]]:
        """The scores (classes, *window) of each window, one after the other."""
        flat = inferer.flat

        def window(start: Place) -> Values:
            at = tuple(slice(a, a + n) for a, n in zip(start, inferer.roi, strict=True))
            found = [values[at] if flat is None else np.squeeze(values[at], flat) for values in channels]
            return found[0][None] if len(found) == 1 else np.stack(found)

        for start, outputs in self.network.run(starts, window):
            yield start, outputs[0] if flat is None else np.expand_dims(outputs[0], flat + 1)


def _from(slabs: Iterable[Slab], first: int) -> Iterator[Slab]:
    """Slabs without the planes of padding before ``first``."""
    for slab in slabs:
        skip = max(0, first - slab.start)
        if skip < slab.scores.shape[1]:
            yield Slab(slab.start + skip, slab.scores[:, skip:])


def _padded(values: Values, inferer: Inferer) -> tuple[Values, tuple[int, ...]]:
    """At least as large as a window, what is missing put around evenly; and how much of it came before."""
    missing = [max(0, size - n) for size, n in zip(inferer.roi, values.shape, strict=True)]
    before = tuple(n // 2 for n in missing)
    if not any(missing):
        return values, before
    around = [(a, n - a) for a, n in zip(before, missing, strict=True)]
    if inferer.padding == "constant":
        return np.pad(values, around, constant_values=np.float32(inferer.cval)), before
    return np.pad(values, around, mode="edge" if inferer.padding == "replicate" else "reflect"), before


def _windows(inferer: Inferer, shape: tuple[int, ...]) -> tuple[int, list[list[int]], Values]:
    """The axis along which slabs are thinnest, the starts along each axis, and the weights in a window."""
    axis = min(range(3), key=lambda a: (inferer.roi[a] / shape[a], a))
    if inferer.kind == "nnUNetPredictor":
        weights = placing.nnunet_weights(inferer.roi) if inferer.mode == "gaussian" else np.ones(inferer.roi, np.float32)
        return axis, placing.nnunet_starts(shape, inferer.roi, inferer.overlap[0]), weights
    starts = placing.monai_starts(shape, inferer.roi, inferer.overlap)
    return axis, starts, placing.monai_weights(inferer.roi, inferer.mode, inferer.sigma_scale)


def _check_ports(model: Any, package: Package, shape: list[int]) -> None:
    network = package.network
    if len(model.inputs) != 1 or model.input(0).get_element_type().get_type_name() != "f32":
        raise PackageError(f"{network.file} must have one input, float32")
    port = ports(model).get(network.outputs[0].name)
    if port is None:
        raise PackageError(f"{network.file} has no output {network.outputs[0].name!r}")
    partial = port.get_partial_shape()
    found = None if partial.is_dynamic else list(port.get_shape())
    if found != shape or not port.get_element_type().is_real():
        words = f"output {network.outputs[0].name!r} of {network.file} must be scores, float32 {shape}; it is {found}"
        raise PackageError(words)
