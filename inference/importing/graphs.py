"""Puts a network into the form the node runs: one input, one named output, normalisation and activations inside the graph."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as op

from domain.errors import PackageError


def one_input(model: Any, words: str) -> Any:
    """The only input of a model; raises PackageError."""
    if len(model.inputs) != 1:
        names = ", ".join(sorted(str(port.get_any_name()) for port in model.inputs if port.get_names())) or "without names"
        raise PackageError(f"{words}: the network has {len(model.inputs)} inputs ({names}); a package has one")
    return model.input(0)


def shaped(model: Any, shape: Sequence[int], words: str) -> None:
    """Gives the only input a fixed shape; raises PackageError."""
    one_input(model, words)
    try:
        model.reshape(list(shape))
    except RuntimeError as error:
        raise PackageError(f"{words}: the network does not take an input of {list(shape)}") from error


def fixed(port: Any) -> list[int] | None:
    """The shape of a port, or None where it is not fixed."""
    partial = port.get_partial_shape()
    return None if partial.is_dynamic else [int(n) for n in port.get_shape()]


def only_output(model: Any, words: str, name: str = "") -> Any:
    """The one output, or the one called ``name``; raises PackageError."""
    if name:
        found = [port for port in model.outputs if name in port.get_names()]
        if not found:
            raise PackageError(f"{words}: the network has no output {name!r}")
        return found[0]
    if len(model.outputs) != 1:
        names = ", ".join(sorted(n for port in model.outputs for n in port.get_names()))
        raise PackageError(f"{words}: the network has {len(model.outputs)} outputs ({names}); say which one with --output")
    return model.output(0)


def scores_of_volume(model: Any, window: Sequence[int], words: str, output: str = "", channels: int = 1) -> tuple[Any, int]:
    """A network of float32 [1, channels, *window] called "image" with one output "scores"; and how many classes it has."""
    shaped(model, [1, channels, *window], words)
    port = only_output(model, words, output)
    shape = fixed(port)
    if shape is None or len(shape) != len(window) + 2 or shape[0] != 1 or shape[2:] != list(window):
        raise PackageError(
            f"{words}: the network answers {shape} for a window of {list(window)}; scores of the same size are needed"
        )
    entry = op.parameter([1, channels, *window], np.float32, name="image")
    _replaced(model, _as_kind(entry, model.input(0)))
    return finished(entry, {"scores": _real(port.get_node().input_value(0))}), shape[1]


def _as_kind(node: Any, port: Any) -> Any:
    kind = port.get_element_type().get_type_name()
    return node if kind == "f32" else op.convert(node, kind)


def _real(value: Any) -> Any:
    return value.get_node() if value.get_element_type().get_type_name() == "f32" else op.convert(value, "f32")


def _replaced(model: Any, node: Any) -> None:
    """What used the old input uses ``node`` from now on."""
    model.get_parameters()[0].output(0).replace(node.output(0))


def finished(entry: Any, outputs: dict[str, Any]) -> Any:
    """A model of one input and named outputs."""
    entry.output(0).get_tensor().set_names({entry.get_friendly_name()})
    results = []
    for name, node in outputs.items():
        alone = op.convert(node, node.get_output_element_type(0).get_type_name())  # a name of its own, whatever used it before
        alone.output(0).get_tensor().set_names({name})
        results.append(op.result(alone))
    return ov.Model(results, [entry], "imported")


class Pictures:
    """Wraps a network of images: uint8 RGB [1, H, W, 3] called "image" comes in, and is made what the network was trained on."""

    def __init__(self, model: Any, words: str, layout: str = "", size: tuple[int, int] = (0, 0)) -> None:
        self.words = words
        shape = [int(d.get_length()) if d.is_static else 0 for d in one_input(model, words).get_partial_shape()]
        if len(shape) != 4:
            raise PackageError(f"{words}: an image network has an input of 4 dimensions, not {len(shape)}")
        self.last = layout.upper().endswith("C") if layout else shape[3] in (1, 3) and shape[1] not in (1, 3)
        rows, columns, self.channels = (shape[1], shape[2], shape[3]) if self.last else (shape[2], shape[3], shape[1])
        self.size = (size[0] or rows, size[1] or columns)
        if not all(self.size) or self.channels not in (1, 3):
            raise PackageError(f"{words}: the network's input is {shape}; [1, 3, H, W] or [1, H, W, 3] is needed (H, W: --size)")
        wanted = [*self.size, self.channels] if self.last else [self.channels, *self.size]
        shaped(model, [1, *wanted], words)
        self.model = model
        self.entry = op.parameter([1, *self.size, 3], np.uint8, name="image")
        self.node = op.convert(self.entry, "f32")
        if self.channels == 1:  # luminance, as images that are gray have it in all three
            self.node = op.reduce_mean(self.node, op.constant(np.array([3], np.int64)), keep_dims=True)

    def reversed(self) -> None:
        """BGR instead of RGB."""
        if self.channels == 3:
            self.node = op.gather(self.node, op.constant(np.array([2, 1, 0], np.int64)), op.constant(np.int64(3)))

    def normalised(self, mean: Sequence[float], scale: Sequence[float]) -> None:
        """(x - mean) / scale, per channel, in the values as they are now."""
        if any(mean):
            self.node = op.subtract(self.node, op.constant(np.array(mean, np.float32).reshape(1, 1, 1, -1)))
        if any(value != 1 for value in scale):
            self.node = op.divide(self.node, op.constant(np.array(scale, np.float32).reshape(1, 1, 1, -1)))

    def stretched(self, least: float, greatest: float) -> None:
        """MONAI's ScaleIntensity: the least and the greatest value of this very image become ``least`` and ``greatest``."""
        axes = op.constant(np.array([1, 2, 3], np.int64))
        low, high = op.reduce_min(self.node, axes, keep_dims=True), op.reduce_max(self.node, axes, keep_dims=True)
        span = op.maximum(op.subtract(high, low), op.constant(np.float32(1e-6)))
        share = op.divide(op.subtract(self.node, low), span)
        self.node = op.add(op.multiply(share, op.constant(np.float32(greatest - least))), op.constant(np.float32(least)))

    def standardised(self, nonzero: bool) -> None:
        """MONAI's NormalizeIntensity, channel-wise: each channel of this very image to mean 0 and deviation 1; zeros stay."""
        axes, one = op.constant(np.array([1, 2], np.int64)), op.constant(np.float32(1))
        there = op.convert(op.not_equal(self.node, op.constant(np.float32(0))), "f32") if nonzero else None
        weight = op.add(op.multiply(self.node, op.constant(np.float32(0))), one) if there is None else there
        count = op.maximum(op.reduce_sum(weight, axes, keep_dims=True), one)
        mean = op.divide(op.reduce_sum(op.multiply(self.node, weight), axes, keep_dims=True), count)
        off = op.subtract(self.node, mean)
        spread = op.sqrt(op.divide(op.reduce_sum(op.multiply(op.multiply(off, off), weight), axes, keep_dims=True), count))
        safe = op.select(op.equal(spread, op.constant(np.float32(0))), one, spread)
        self.node = op.add(op.multiply(op.divide(off, safe), weight), op.multiply(self.node, op.subtract(one, weight)))

    def turned(self) -> None:
        """Rows and columns exchanged: networks whose training images were read column by column."""
        self.node = op.transpose(self.node, op.constant(np.array([0, 2, 1, 3], np.int64)))

    def joined(self, output: str = "") -> Any:
        """The output node of the network, fed with what was made of the image."""
        node = self.node if self.last else op.transpose(self.node, op.constant(np.array([0, 3, 1, 2], np.int64)))
        _replaced(self.model, _as_kind(node, self.model.input(0)))
        return _real(only_output(self.model, self.words, output).get_node().input_value(0))


def is_activated(node: Any) -> bool:
    """Whether a node, or what it only reshapes, is a softmax or sigmoid."""
    while node.get_type_name() in ("Convert", "Reshape", "Squeeze", "Unsqueeze", "Transpose"):
        node = node.input_value(0).get_node()
    return node.get_type_name() in ("Softmax", "Sigmoid", "LogSoftmax")
