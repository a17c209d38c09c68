"""Bilinear enlargement to twice the size as sums of neighbours; OpenVINO's own ``Interpolate`` looks four values up for a pixel.

Between pixel centres at half-integers, each pixel of the enlarged picture is 3/4 of the nearest row and 1/4 of the next one, and
the same of columns. So the enlarged picture consists of four pictures of the old size (its even and odd rows, its even and odd
columns), and what is done pixel by pixel can be done to these before they are put together.
"""

from typing import Any, Final

import numpy as np
import openvino.opset13 as op

PHASES: Final = 4  # even and odd rows, and in each of them even and odd columns
_NEAR, _FAR = np.float32(0.75), np.float32(0.25)
_MODES: Final = frozenset(("linear", "linear_onnx"))
_HALVES: Final = frozenset(("half_pixel", "pytorch_half_pixel"))


def is_doubling(node: Any) -> bool:
    """Whether ``node`` enlarges both sides of pictures (N, C, H, W) of known size to twice, bilinear, and nothing else."""
    if node.get_type_name() != "Interpolate":
        return False
    how, before, after = node.get_attributes(), node.get_input_partial_shape(0), node.get_output_partial_shape(0)
    if how["mode"] not in _MODES or how["coordinate_transformation_mode"] not in _HALVES or how["antialias"]:
        return False
    if any(how["pads_begin"]) or any(how["pads_end"]) or not node.get_element_type().is_real() or before.rank.is_dynamic:
        return False
    if before.rank.get_length() != 4 or any(side.is_dynamic for side in [*list(before)[1:], *list(after)[1:]]):
        return False
    channels, rows, columns = (side.get_length() for side in list(before)[1:])
    return min(rows, columns) > 1 and [side.get_length() for side in list(after)[1:]] == [channels, 2 * rows, 2 * columns]


def phases(small: Any) -> list[Any]:
    """The four pictures (N, C, H, W) that ``small``, of the same size, becomes: see PHASES for their order."""
    rows, columns = (int(side.get_length()) for side in list(small.get_partial_shape())[2:])
    edge = op.constant(np.array([0, 0, 1, 1], np.int64))
    wide = op.pad(small, edge, edge, "edge").output(0)
    return [part for half in _halves(wide, 2, rows) for part in _halves(half, 3, columns)]


def together(parts: list[Any]) -> Any:
    """The enlarged picture (N, C, 2H, 2W) of ``phases`` (N, C, H, W)."""
    return op.depth_to_space(op.concat(parts, 1), "blocks_first", 2).output(0)


def _halves(wide: Any, axis: int, length: int) -> list[Any]:
    """What lies before and behind each of ``length`` places along ``axis``; ``wide`` has one more at both ends."""
    before, here, behind = (_part(wide, axis, start, length) for start in range(3))
    near = op.multiply(here, op.constant(_NEAR))
    return [op.add(near, op.multiply(side, op.constant(_FAR))).output(0) for side in (before, behind)]


def _part(values: Any, axis: int, start: int, length: int) -> Any:
    where = (np.array([number], np.int64) for number in (start, start + length, 1, axis))
    return op.slice(values, *(op.constant(number) for number in where)).output(0)
