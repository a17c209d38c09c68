"""Reads the network of a package, brings it to one size, and refuses weights that are no numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino.opset13 as op

from domain.errors import PackageError

# What moves values or mixes neighbouring ones: an output computed from NaN shows it before these as well as behind.
_MOVING = frozenset(
    ("Slice", "StridedSlice", "Split", "VariadicSplit", "Interpolate", "Squeeze", "Unsqueeze", "Reshape", "Transpose", "Concat")
)
_WEIGHTED = frozenset(("Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul"))
_BETWEEN = frozenset(("Convert", "FakeQuantize", "Multiply", "Subtract", "Reshape", "Transpose"))  # from a constant to its use


def read_network(core: Any, weights: tuple[bytes, bytes], file: str, name: str, shape: Sequence[int]) -> Any:
    """The network in ``weights`` (see ``Package.weights``) with its input ``name`` at ``shape``; raises PackageError."""
    try:
        model = core.read_model(*weights) if weights[1] else core.read_model(weights[0])
        model.reshape({name: list(shape)})
    except (RuntimeError, TypeError, ValueError) as error:
        raise PackageError(f"{file} is no network with an input {name!r} of the size package.toml says") from error
    _check_numbers(model, file)
    return model


def ports(model: Any) -> dict[str, Any]:
    """The outputs by each of their names."""
    return {name: port for port in model.outputs for name in port.get_names()}


def watch(model: Any) -> int:
    """Adds outputs that are NaN when values that the labels and numbers are made of are; how many were added.

    Labels of a network that answers NaN look like "nothing found". Each added output is one number, the sum of a tensor.
    """
    found: dict[tuple[str, int], Any] = {}
    for result in model.outputs:
        for source in _sources(result.get_node().input_value(0)):
            found[(source.get_node().get_friendly_name(), source.get_index())] = source
    sums = []
    for source in found.values():
        axes = np.arange(source.get_partial_shape().rank.get_length(), dtype=np.int64)
        sums.append(op.reduce_sum(source, op.constant(axes), keep_dims=False).output(0))
    model.add_outputs(sums)
    return len(sums)


def _sources(value: Any) -> list[Any]:
    """The nearest tensors of real numbers that a tensor is made of, constants not counted."""
    waiting, found, seen = [value], [], set()
    while waiting:
        one = waiting.pop()
        node = one.get_node()
        mark = (node.get_friendly_name(), one.get_index())
        if mark in seen or node.get_type_name() in ("Constant", "Parameter"):
            continue
        seen.add(mark)
        if one.get_element_type().is_real() and node.get_type_name() not in _MOVING:
            found.append(one)
        elif one.get_element_type().is_real():
            waiting.append(node.input_value(0)) if node.get_type_name() != "Concat" else waiting.extend(node.input_values())
        else:
            waiting.extend(node.input_values())
    return found


def _check_numbers(model: Any, file: str) -> None:
    """Rectifiers turn NaN into 0 on this CPU, so nothing behind them would show it."""
    for node in model.get_ops():
        if node.get_type_name() != "Constant" or not node.get_element_type().is_real():
            continue
        values = node.data
        if values.dtype.kind != "f" or values.size == 0:
            continue
        total = np.add.reduce(values, axis=None, dtype=np.float64)
        if np.isnan(total) or (np.isinf(total) and _is_weight(node)):
            raise PackageError(f"{file} has weights that are no finite numbers")


def _is_weight(node: Any) -> bool:
    """Infinity is a fair mask or bound, but no weight."""
    waiting = [target.get_node() for target in node.output(0).get_target_inputs()]
    while waiting:
        user = waiting.pop()
        if user.get_type_name() in _WEIGHTED:
            return True
        if user.get_type_name() in _BETWEEN:
            waiting += [target.get_node() for target in user.output(0).get_target_inputs()]
    return False
