"""Rewrites what OpenVINO runs slowly on CPUs into operations it compiles to fast code; labels stay the same, logarithms to 1e-5.

``TopK`` with k = 1 sorts pixel by pixel. Over few channels the same index follows from comparing one channel
after the other, which was 15 % of the time of the chest CT network (INT8); taking the channels apart another 19 %, enlarging
them before 20 %, and changing the type of the index to that of labels 2 %.
"""

from typing import Any, Final

import numpy as np
import openvino.opset13 as op

from inference import doubling
from inference.logarithm import bounds, replace_logarithms

_MOST_COLOURS: Final = 4
_MOST_DOUBLED: Final = 8  # channels; beyond these putting the pictures together takes longer than looking values up
_SHAPING: Final = frozenset(("Squeeze", "Unsqueeze", "Reshape"))
MOST_CHANNELS: Final = 16  # beyond these comparing one by one takes longer than sorting


def rewrite(model: Any) -> int:
    """Everything that this module and ``logarithm`` know how to do; how many operations were replaced."""
    done = _replace_argmax(model) + _replace_doubling(model) + _replace_brightest(model) + replace_logarithms(model)
    model.validate_nodes_and_infer_types()
    return done


def _replace_argmax(model: Any) -> int:
    """Each arg-max over at most MOST_CHANNELS. Of equal values the first wins, as in TopK."""
    found = [node for node in model.get_ordered_ops() if node.get_type_name() == "TopK" and _is_argmax(node)]
    planes = _Planes()
    for node in found:
        kind = "u8" if _only_converted(node.output(1)) else node.output(1).get_element_type().get_type_name()
        _take_place(_index(planes, node.input_value(0), _axis(node), kind), node.output(1))
    return len(found)


def _replace_doubling(model: Any) -> int:
    """Each bilinear enlargement to twice the size of few channels."""
    nodes = [node for node in model.get_ordered_ops() if doubling.is_doubling(node)]
    found = [node for node in nodes if node.get_output_partial_shape(0)[1].get_length() <= _MOST_DOUBLED]
    for node in found:
        _take_place(doubling.together(doubling.phases(node.input_value(0))), node.output(0))
    return len(found)


def _take_place(new: Any, old: Any) -> None:
    new.add_names(old.get_names())
    for target in old.get_target_inputs():
        target.replace_source_output(new)


def _replace_brightest(model: Any) -> int:
    """The greatest of the few channels of a picture of bytes, pixel by pixel, by comparisons that join what comes after them."""
    found = [node for node in model.get_ordered_ops() if node.get_type_name() == "ReduceMax" and _is_brightest(node)]
    for node in found:
        length = node.input_value(0).get_partial_shape()[1].get_length()
        channels = op.split(node.input_value(0), op.constant(np.int64(1)), length).outputs()
        highest = channels[0]
        for channel in channels[1:]:
            highest = op.maximum(highest, channel).output(0)
        _take_place(highest, node.output(0))
    return len(found)


def _is_brightest(node: Any) -> bool:
    """Over axis 1 of four, kept, of bytes that were at most scaled: only there channels lie one behind the other already."""
    shape, axes = node.input_value(0).get_partial_shape(), node.input_value(1).get_node()
    if not node.get_attributes()["keep_dims"] or axes.get_type_name() != "Constant" or shape.rank.is_dynamic:
        return False
    if shape.rank.get_length() != 4 or [int(a) % 4 for a in np.ravel(axes.data)] != [1] or shape[1].is_dynamic:
        return False
    return 2 <= shape[1].get_length() <= _MOST_COLOURS and bounds(node.input_value(0)) is not None


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


def _only_converted(value: Any) -> bool:
    """Whether nobody sees a tensor but those who make another type of it, so that its own type does not matter."""
    targets = [(target.get_node(), target.get_index()) for target in value.get_target_inputs()]
    return bool(targets) and all(
        node.get_type_name() == "Convert" or (node.get_type_name() in _SHAPING and at == 0 and _only_converted(node.output(0)))
        for node, at in targets
    )


def _index(planes: "_Planes", values: Any, axis: int, kind: str) -> Any:
    """The index of the highest along ``axis``, kept as an axis of length 1; of enlarged pictures before they are enlarged."""
    whole, first, count = _before_split(values, axis)
    if axis == 1 and doubling.is_doubling(whole.get_node()) and whole.get_partial_shape()[1].get_length() <= MOST_CHANNELS:
        parts = planes.phases(whole)
        return doubling.together([_shaped(planes.of(part, axis)[first : first + count], part, kind) for part in parts])
    return _shaped(planes.of(whole, axis)[first : first + count], values, kind)


def _shaped(channels: list[Any], values: Any, kind: str) -> Any:
    """The index of the highest of ``channels`` in pictures of the shape of ``values``."""
    found = op.convert(_first_highest(channels), kind)
    if found.get_output_partial_shape(0).rank != values.get_partial_shape().rank:
        found = op.reshape(found, op.constant(np.array([0, 1, *_sides(values)], np.int64)), special_zero=True)
    return found.output(0)


def _first_highest(channels: list[Any]) -> Any:
    highest, index = channels[0], op.constant(np.float32(0))
    for number, channel in enumerate(channels[1:], 1):
        index = op.select(op.greater(channel, highest), op.constant(np.float32(number)), index)
        highest = op.maximum(channel, highest)
    return index


class _Planes:
    """The channels of tensors as tensors of their own, each made once.

    Pictures are (N, C, H, W), and what comes from convolutions lies in memory channel by channel within a pixel: taking one
    channel out of it costs as much as a convolution. As (N, C, H x W) all channels are put one behind the other first, in one
    fast pass, and taking one is then free.
    """

    def __init__(self) -> None:
        self._split: dict[tuple[str, int, int], list[Any]] = {}
        self._phases: dict[str, list[Any]] = {}

    def of(self, whole: Any, axis: int) -> list[Any]:
        """The channels along ``axis``, which stays as an axis of length 1; H and W may be one axis."""
        key = (whole.get_node().get_friendly_name(), whole.get_index(), axis)
        if key not in self._split:
            flat = axis == 1 and len(_sides(whole)) > 1
            source = (
                op.reshape(whole, op.constant(np.array([0, 0, -1], np.int64)), special_zero=True).output(0) if flat else whole
            )
            length = whole.get_partial_shape()[axis].get_length()
            self._split[key] = op.split(source, op.constant(np.int64(axis)), length).outputs()
        return self._split[key]

    def phases(self, whole: Any) -> list[Any]:
        """See ``doubling``: what the enlarged picture ``whole`` is put together from."""
        node = whole.get_node()
        name = node.get_friendly_name()
        if name not in self._phases:
            self._phases[name] = doubling.phases(node.input_value(0))
        return self._phases[name]


def _before_split(values: Any, axis: int) -> tuple[Any, int, int]:
    """The tensor whose channels these are a part of, the first of them, and how many they are."""
    count, node = values.get_partial_shape()[axis].get_length(), values.get_node()
    whole = node.input_value(0) if node.get_type_name() in ("Split", "VariadicSplit", "Slice") else values
    shape = whole.get_partial_shape()
    if whole is values or shape.rank.is_dynamic or shape[axis].is_dynamic:
        return values, 0, count
    length = shape[axis].get_length()
    first = _sliced_from(node, axis, length) if node.get_type_name() == "Slice" else _split_from(values, axis)
    return (values, 0, count) if first is None else (whole, first, count)


def _sliced_from(node: Any, axis: int, length: int) -> int | None:
    """Where a slice of ``axis`` alone begins; None for any other slice."""
    given = [value.get_node() for value in node.input_values()[1:]]
    if len(given) != 4 or any(one.get_type_name() != "Constant" or one.data.size != 1 for one in given):
        return None
    start, _, step, along = (int(np.ravel(one.data)[0]) for one in given)
    rank = int(node.input_value(0).get_partial_shape().rank.get_length())
    return max(0, start + length if start < 0 else start) if step == 1 and along % rank == axis else None


def _split_from(values: Any, axis: int) -> int | None:
    """Where a part of a split along ``axis`` begins; None where another axis was split, or it is not known."""
    node = values.get_node()
    along, rank = node.input_value(1).get_node(), int(node.input_value(0).get_partial_shape().rank.get_length())
    before = [port.get_partial_shape()[axis] for port in node.outputs()[: values.get_index()]]
    if along.get_type_name() != "Constant" or int(np.ravel(along.data)[0]) % rank != axis or any(n.is_dynamic for n in before):
        return None
    return sum(int(n.get_length()) for n in before)


def _sides(values: Any) -> list[int]:
    """The lengths of the axes after the second one, or nothing where one is not fixed."""
    shape = list(values.get_partial_shape())[2:]
    return [] if any(side.is_dynamic for side in shape) else [int(side.get_length()) for side in shape]
