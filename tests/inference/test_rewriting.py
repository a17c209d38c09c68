"""Arg-max by comparisons gives what TopK gives, and only there where it may."""

from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as op
import pytest

from inference.rewriting import MOST_CHANNELS, rewrite


def model(channels: int, axis: int = 1, mode: str = "max", k: int = 1, with_values: bool = False) -> Any:
    shape = [2, 5, 4]
    shape.insert(axis, channels)
    image = op.parameter(shape, np.float32, name="image")
    best = op.topk(image, op.constant(np.int64(k)), axis, mode, "value", index_element_type="i32", stable=True)
    best.output(1).set_names({"which"})
    outputs = [best.output(1)] + ([best.output(0)] if with_values else [])
    return ov.Model([op.result(output) for output in outputs], [image], "test")


def answers(network: Any, values: Any) -> Any:
    return ov.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([values])["which"]


def kinds(network: Any) -> list[str]:
    return [node.get_type_name() for node in network.get_ops()]


@pytest.mark.parametrize(("channels", "axis"), [(2, 1), (3, 1), (16, 1), (4, 0), (5, 3)])
def test_the_first_of_the_highest_wins(channels: int, axis: int) -> None:
    network = model(channels, axis)
    shape = tuple(network.input(0).shape)
    values = np.random.default_rng(channels).integers(-3, 3, shape).astype(np.float32)  # many are equal
    assert rewrite(network) == 1 and "TopK" not in kinds(network)
    found = answers(network, values)
    assert found.dtype == np.int32
    assert np.array_equal(found, np.argmax(values, axis=axis)[(slice(None),) * axis + (None,)])
    assert np.array_equal(found, answers(model(channels, axis), values))


@pytest.mark.parametrize(
    "kept", [{"mode": "min"}, {"k": 2}, {"with_values": True}, {"channels": MOST_CHANNELS + 1}, {"channels": 1}], ids=str
)
def test_what_asks_for_something_else_is_left_alone(kept: dict[str, Any]) -> None:
    network = model(**{"channels": 3, **kept})
    assert rewrite(network) == 0 and "TopK" in kinds(network)
