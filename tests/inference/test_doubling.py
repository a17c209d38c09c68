"""Sums of neighbours give what OpenVINO's bilinear ``Interpolate`` gives, and only where pictures become twice as large."""

from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as op
import pytest

from inference.rewriting import rewrite

SIZES: dict[str, Any] = {"mode": "linear_onnx", "shape_calculation_mode": "sizes", "coordinate_transformation_mode": "half_pixel"}


def enlarged(image: Any, rows: int, columns: int, **how: Any) -> Any:
    size, axes = op.constant(np.array([rows, columns], np.int64)), op.constant(np.array([2, 3], np.int64))
    return op.interpolate(image, size, axes=axes, **{**SIZES, **how})


def logits(channels: int = 3, rows: int = 5, columns: int = 7, batch: int = 1) -> Any:
    return op.parameter([batch, channels, rows, columns], np.float32, name="image")


def run(network: Any, values: Any) -> list[Any]:
    compiled = ov.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [np.array(value) for value in compiled([values]).values()]


def kinds(network: Any) -> list[str]:
    return [node.get_type_name() for node in network.get_ops()]


def noise(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(1, 1, 2, 2), (1, 3, 5, 7), (2, 8, 16, 3), (3, 2, 64, 64)], ids=str)
@pytest.mark.parametrize("how", [{}, {"mode": "linear"}, {"coordinate_transformation_mode": "pytorch_half_pixel"}], ids=str)
def test_few_channels_are_enlarged_to_the_same_values(shape: tuple[int, int, int, int], how: dict[str, str]) -> None:
    def network() -> Any:
        image = op.parameter(shape, np.float32, name="image")
        return ov.Model([enlarged(image, 2 * shape[2], 2 * shape[3], **how)], [image], "test")

    quick, values = network(), noise(*shape)
    assert rewrite(quick) == 1 and "Interpolate" not in kinds(quick)
    assert np.allclose(run(quick, values)[0], run(network(), values)[0], atol=1e-6)


def test_a_batch_of_unknown_size_is_enlarged_too() -> None:
    image = op.parameter(ov.PartialShape([-1, 1, 6, 4]), np.float32, name="image")
    network = ov.Model([enlarged(image, 12, 8)], [image], "test")
    assert rewrite(network) == 1
    found = run(network, noise(3, 1, 6, 4))[0]
    plain = ov.Model([enlarged(image := logits(1, 6, 4, 3), 12, 8)], [image], "test")
    assert found.shape == (3, 1, 12, 8) and np.allclose(found, run(plain, noise(3, 1, 6, 4))[0], atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "columns", "how"),
    [
        (10, 7, {}),
        (15, 21, {}),
        (10, 13, {}),
        (5, 7, {}),
        (10, 14, {"mode": "nearest"}),
        (10, 14, {"mode": "cubic"}),
        (10, 14, {"coordinate_transformation_mode": "align_corners"}),
        (10, 14, {"coordinate_transformation_mode": "asymmetric"}),
        (10, 14, {"mode": "linear", "antialias": True}),
    ],
    ids=str,
)
def test_every_other_enlargement_is_left_alone(rows: int, columns: int, how: dict[str, Any]) -> None:
    image = logits()
    assert rewrite(ov.Model([enlarged(image, rows, columns, **how)], [image], "test")) == 0


def test_padded_pictures_and_many_channels_are_left_alone() -> None:
    many, padded = logits(9), logits()
    assert rewrite(ov.Model([enlarged(many, 10, 14)], [many], "test")) == 0
    wide = enlarged(padded, 12, 16, pads_begin=[0, 0, 1, 1], pads_end=[0, 0, 0, 0])
    assert rewrite(ov.Model([wide], [padded], "test")) == 0


def labelled(as_bytes: bool, also_logits: bool = False) -> Any:
    """Two heads (three and four channels) of one enlarged tensor, and the arg-max of each."""
    image = logits(7, 16, 12)
    whole = enlarged(image, 32, 24)
    outputs = [whole] if also_logits else []
    for head in op.variadic_split(whole, op.constant(np.int64(1)), op.constant(np.array([3, 4]))).outputs():
        best = op.topk(head, op.constant(np.int64(1)), 1, "max", "value", index_element_type="i32", stable=True).output(1)
        outputs.append(op.convert(op.squeeze(best, op.constant(np.int64(1))), "u8") if as_bytes else best)
    return ov.Model(outputs, [image], "test")


@pytest.mark.parametrize("as_bytes", [True, False])
def test_labels_are_found_before_the_picture_is_enlarged(as_bytes: bool) -> None:
    network, values = labelled(as_bytes), noise(1, 7, 16, 12)
    assert rewrite(network) == 2 and not {"Interpolate", "TopK", "VariadicSplit"} & set(kinds(network))
    for quick, plain in zip(run(network, values), run(labelled(as_bytes), values), strict=True):
        assert quick.dtype == plain.dtype == (np.uint8 if as_bytes else np.int32)
        assert quick.shape == plain.shape and len(np.unique(plain)) >= 3 and np.array_equal(quick, plain)


def test_logits_that_somebody_else_sees_are_enlarged_as_well() -> None:
    network, values = labelled(True, also_logits=True), noise(1, 7, 16, 12)
    assert rewrite(network) == 3
    found, expected = run(network, values), run(labelled(True, also_logits=True), values)
    assert np.allclose(found[0], expected[0], atol=1e-6) and np.array_equal(found[1], expected[1])


def test_an_index_somebody_computes_with_keeps_its_type() -> None:
    image = logits()
    best = op.topk(image, op.constant(np.int64(1)), 1, "max", "value", index_element_type="i32", stable=True).output(1)
    network = ov.Model([op.convert(best, "u8"), op.multiply(best, op.constant(np.int32(-300)))], [image], "test")
    assert rewrite(network) == 1
    labels, scaled = run(network, noise(1, 3, 5, 7))
    assert scaled.dtype == np.int32 and np.array_equal(scaled, labels.astype(np.int32) * -300) and scaled.min() == -600


def test_labels_of_part_of_very_many_enlarged_channels_are_found_after_enlarging() -> None:
    def network() -> Any:
        image = logits(17, 6, 4)
        ends = (op.constant(np.array([end])) for end in (0, 3, 1, 1))
        best = op.topk(op.slice(enlarged(image, 12, 8), *ends), op.constant(np.int64(1)), 1, "max", "value", stable=True)
        return ov.Model([best.output(1)], [image], "test")

    quick, values = network(), noise(1, 17, 6, 4)
    assert rewrite(quick) == 1 and "Interpolate" in kinds(quick)
    assert np.array_equal(run(quick, values)[0], run(network(), values)[0])
