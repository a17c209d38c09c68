"""Logarithms of 8-bit values are those of NumPy; all others are left to OpenVINO."""

from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as op
import pytest

from inference.rewriting import rewrite

EVERY = np.arange(256, dtype=np.uint8)


def model(scale: float, shift: float, kind: Any = np.uint8, half: bool = False) -> Any:
    image = op.parameter([256], kind, name="image")
    number = op.constant(np.array([scale], np.float16 if half else np.float32))
    scaled = op.multiply(op.convert(image, "f32"), op.convert(number, "f32") if half else number)
    logged = op.log(op.add(scaled, op.constant(np.float32(shift))))
    logged.output(0).set_names({"density"})
    return ov.Model([op.result(logged.output(0))], [image], "test")


def answers(network: Any, values: Any) -> Any:
    return ov.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([values])["density"]


@pytest.mark.parametrize(("scale", "shift"), [(1 / 255, 0.02), (1.0, 1.0), (1.0, 0.5), (-1 / 255, 1.01), (0.0, 3.0), (1e-6, 1.0)])
@pytest.mark.parametrize("half", [False, True])
def test_every_value_of_eight_bits_has_its_logarithm(scale: float, shift: float, half: bool) -> None:
    network = model(scale, shift, half=half)
    assert rewrite(network) == 1
    assert "Log" not in [node.get_type_name() for node in network.get_ops()]
    exact = np.float32(np.float16(scale)) if half else np.float32(scale)
    light = EVERY * np.float64(exact) + np.float64(np.float32(shift))
    allowed = 6e-6 + 2e-7 / light  # the series, and what is lost when the argument itself is added up in FP32
    assert (np.abs(answers(network, EVERY) - np.log(light)) < allowed).all()


@pytest.mark.parametrize(
    "network", [model(1.0, 0.0), model(1.0, -1.0), model(1.0, 1e-9), model(1.0, 1.0, np.float32), model(1.0, 1.0, np.uint16)]
)
def test_where_the_bounds_are_unknown_or_zero_it_is_left_alone(network: Any) -> None:
    assert rewrite(network) == 0


def test_a_long_chain_is_not_followed_for_ever() -> None:
    image = op.parameter([4], np.uint8)
    value = op.convert(image, "f32")
    for _ in range(5000):
        value = op.add(value, op.constant(np.float32(1)))
    assert rewrite(ov.Model([op.log(value)], [image], "test")) == 0
