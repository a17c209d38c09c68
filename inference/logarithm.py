"""A natural logarithm of operations that OpenVINO compiles for CPUs; its own ``Log`` runs as slow reference code (2026.4).

Stains in light microscopy are seen as optical density, the logarithm of 8-bit light (Beer-Lambert law), so the argument is known
to lie between two bounds. ln(x) = ln(g) + 2^(k+1) artanh((r - 1) / (r + 1)) with r the k-th square root of x / g; the series of
artanh after four terms is off by at most 2^(k+1) z^9 / 9 with z <= 1/4, that is 3e-6 for k = 2.
"""

import math
from typing import Any, Final

import numpy as np
import openvino.opset13 as op

MOST_ROOTS: Final = 4  # more of them would lose digits
_FARTHEST: Final = 0.25  # z, where the series is good
_SAME: Final = frozenset(("Convert", "Transpose", "Reshape", "Squeeze", "Unsqueeze"))
_WITH: Final = {
    "Add": lambda x, c: x + c,
    "Subtract": lambda x, c: x - c,
    "Multiply": lambda x, c: x * c,
    "Divide": lambda x, c: x / c,
}
Bounds = tuple[float, float]


def replace_logarithms(model: Any) -> int:
    """Replaces each ``Log`` of 8-bit values that were shifted and scaled; how many were replaced."""
    done = 0
    for node in [node for node in model.get_ordered_ops() if node.get_type_name() == "Log"]:
        found = bounds(node.input_value(0))
        if found is None or found[0] <= 0 or _roots(found) > MOST_ROOTS:
            continue
        result = _logarithm(node.input_value(0), found)
        result.add_names(node.output(0).get_names())
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(result)
        done += 1
    return done


def bounds(value: Any, deepest: int = 32) -> Bounds | None:
    """Between which two numbers every value lies, where that follows from an input of 8 bits and single constants.

    Not more than ``deepest`` operations are looked through.
    """
    if deepest == 0:
        return None
    node = value.get_node()
    kind = node.get_type_name()
    if kind == "Parameter":
        return (0.0, 255.0) if value.get_element_type().get_type_name() == "u8" else None
    if kind in _SAME:
        return bounds(node.input_value(0), deepest - 1)
    constant = _constant(node.input_value(1)) if kind in _WITH else None
    before = bounds(node.input_value(0), deepest - 1) if constant is not None else None
    if before is None or (kind == "Divide" and constant == 0):
        return None
    low, high = (_WITH[kind](end, constant) for end in before)
    return min(low, high), max(low, high)


def _constant(value: Any) -> float | None:
    """The one number of a constant; networks of half size have it behind a Convert."""
    node = value.get_node()
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return float(np.ravel(node.data)[0]) if node.get_type_name() == "Constant" and node.data.size == 1 else None


def _roots(ends: Bounds) -> int:
    """How many square roots bring the farthest end near enough to 1."""
    farthest = math.log(ends[1] / ends[0]) / 2
    return max(0, math.ceil(math.log2(farthest / (2 * math.atanh(_FARTHEST))))) if farthest > 0 else 0


def _logarithm(value: Any, ends: Bounds) -> Any:
    middle, roots = math.sqrt(ends[0] * ends[1]), _roots(ends)
    root = op.multiply(value, _float(1 / middle))
    for _ in range(roots):
        root = op.sqrt(root)
    near = op.divide(op.subtract(root, _float(1)), op.add(root, _float(1)))
    square = op.multiply(near, near)
    series = _float(1 / 7)
    for term in (1 / 5, 1 / 3, 1.0):
        series = op.add(op.multiply(series, square), _float(term))
    return op.add(op.multiply(op.multiply(series, near), _float(2.0 ** (roots + 1))), _float(math.log(middle))).output(0)


def _float(number: float) -> Any:
    return op.constant(np.float32(number))
