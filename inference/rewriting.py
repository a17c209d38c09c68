"""Rewrites what OpenVINO runs slowly on CPUs into operations it compiles to fast code; labels stay the same, logarithms to 1e-5.

``TopK`` with k = 1 sorts pixel by pixel. Over few channels the same index follows from comparing one channel
after the other, which was 15 % of the time of the chest CT network (INT8).
"""

from typing import Any, Final

import numpy as np
import openvino.opset13 as op

from inference.logarithm import replace_logarithms

MOST_CHANNELS: Final = 16  # beyond these comparing one by one takes longer than sorting


def rewrite(model: Any) -> int:
    """Everything that this module and ``logarithm`` know how to do; how many operations were replaced."""
    done = _replace_argmax(model) + replace_logarithms(model)
    model.validate_nodes_and_infer_types()
    return done


def _replace_argmax(model: Any) -> int:
    """Each arg-max over at most MOST_CHANNELS. Of equal values the first wins, as in TopK."""
    found = [node for node in model.get_ordered_ops() if node.get_type_name() == "TopK" and _is_argmax(node)]
    for node in found:
        index = _first_highest(node.input_value(0), _axis(node), node.output(1).get_element_type())
        index.add_names(node.output(1).get_names())
        for target in node.output(1).get_target_inputs():
            target.replace_source_output(index)
    return len(found)


def _is_argmax(node: Any) -> bool:
    """Whether only the index of the one highest real number is wanted, and of how many is known and few."""
    count, shape = node.input_value(1).get_node(), node.input_value(0).get_partial_shape()
    if node.get_attributes()["mode"] != "max" or node.output(0).get_target_inputs() or count.get_type_name() != "Constant":
        return False
    if int(np.ravel(count.data)[0]) != 1 or shape.rank.is_dynamic or not node.input_value(0).get_element_type().is_real():
        return False
    length = shape[_axis(node)]
    return not length.is_dynamic and 2 <= length.get_length() <= MOST_CHANNELS


def _axis(node: Any) -> int:
    return int(node.get_attributes()["axis"]) % int(node.input_value(0).get_partial_shape().rank.get_length())


def _first_highest(values: Any, axis: int, kind: Any) -> Any:
    """The index of the highest along ``axis``, kept as an axis of length 1."""
    channels = op.split(values, op.constant(np.int64(axis)), values.get_partial_shape()[axis].get_length()).outputs()
    highest, index = channels[0], op.constant(np.float32(0))
    for number, channel in enumerate(channels[1:], 1):
        index = op.select(op.greater(channel, highest), op.constant(np.float32(number)), index)
        highest = op.maximum(channel, highest)
    return op.convert(index, kind.get_type_name()).output(0)
