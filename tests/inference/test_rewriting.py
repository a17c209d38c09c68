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


def headed(part: str, batch: int = 1) -> Any:
    """Two heads in one tensor (three and four channels), taken apart in one of several ways, and the arg-max of each."""
    image = op.parameter([batch, 7, 6, 5], np.float32, name="image")
    whole = op.multiply(image, op.constant(np.float32(1)))
    one, axis = op.constant(np.array([1])), op.constant(np.array([1]))
    if part == "split":
        halves = op.variadic_split(whole, op.constant(np.int64(-3)), op.constant(np.array([3, 4]))).outputs()
    else:
        ends = (op.constant(np.array([3])), op.constant(np.array([2**62])))
        begins = (op.constant(np.array([0])), op.constant(np.array([-4 if part == "from the end" else 3])))
        halves = [op.slice(whole, begin, end, one, axis).output(0) for begin, end in zip(begins, ends, strict=True)]
    outputs = []
    for number, half in enumerate(halves):
        best = op.topk(half, op.constant(np.int64(1)), 1, "max", "value", index_element_type="i32", stable=True)
        best.output(1).set_names({f"which {number}"})
        outputs.append(op.result(best.output(1)))
    return ov.Model(outputs, [image], "test")


@pytest.mark.parametrize("part", ["split", "slices", "from the end"])
@pytest.mark.parametrize("batch", [1, 2])
def test_heads_in_one_tensor_are_taken_apart_once(part: str, batch: int) -> None:
    network = headed(part, batch)
    values = np.random.default_rng(3).integers(-3, 3, tuple(network.input(0).shape)).astype(np.float32)
    assert rewrite(network) == 2
    assert kinds(network).count("Split") == 1 and not {"TopK", "VariadicSplit", "Slice"} & set(kinds(network))
    found = ov.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([values])
    for number, part_of in enumerate((values[:, :3], values[:, 3:])):
        assert found[f"which {number}"].shape == (batch, 1, 6, 5)
        assert np.array_equal(found[f"which {number}"][:, 0], part_of.argmax(axis=1))


def test_a_slice_of_another_axis_or_every_second_channel_is_not_looked_through() -> None:
    for step, axis, shape in ((2, 1, (1, 4, 6, 5)), (1, 2, (1, 7, 3, 5))):
        image = op.parameter([1, 7, 6, 5], np.float32, name="image")
        part = op.slice(image, *(op.constant(np.array([n])) for n in (0, 7 if axis == 1 else 3, step, axis)))
        best = op.topk(part, op.constant(np.int64(1)), 1, "max", "value", index_element_type="i32", stable=True)
        best.output(1).set_names({"which"})
        network = ov.Model([op.result(best.output(1))], [image], "test")
        values = np.random.default_rng(4).random((1, 7, 6, 5)).astype(np.float32)
        assert rewrite(network) == 1 and "Slice" in kinds(network)
        expected = (values[:, ::2] if axis == 1 else values[:, :, :3]).argmax(axis=1)
        assert expected.shape == (1, *shape[2:]) and np.array_equal(answers(network, values)[:, 0], expected)


@pytest.mark.parametrize(("kind", "axis", "kept", "replaced"), [
    ("u8", 1, True, 1), ("f32", 1, True, 0), ("u8", 2, True, 0), ("u8", 1, False, 0),
])  # fmt: skip
def test_the_brightest_colour_of_a_picture_of_bytes_is_found_by_comparisons(
    kind: str, axis: int, kept: bool, replaced: int
) -> None:
    image = op.parameter([1, 6, 5, 3], np.uint8 if kind == "u8" else np.float32, name="image")
    planes = op.convert(op.transpose(image, op.constant(np.array([0, 3, 1, 2]))), "f32")
    planes = op.divide(planes, op.constant(np.float32(255)))
    brightest = op.reduce_max(planes, op.constant(np.array([axis])), keep_dims=kept)
    scaled = op.multiply(brightest, op.constant(np.float32(2)))
    scaled.output(0).set_names({"which"})
    network = ov.Model([op.result(scaled)], [image], "test")
    values = np.random.default_rng(5).integers(0, 255, (1, 6, 5, 3)).astype(np.uint8 if kind == "u8" else np.float32)
    assert rewrite(network) == replaced and ("ReduceMax" in kinds(network)) is not bool(replaced)
    expected = values.transpose(0, 3, 1, 2).max(axis=axis, keepdims=kept).astype(np.float32) / 255 * 2
    assert np.allclose(answers(network, values), expected, atol=1e-6)
