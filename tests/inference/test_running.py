"""Networks over many items: order, batches, how far ahead, and what happens when numbers are none."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino.opset13 as op
import pytest

from domain.errors import PackageError, PermanentError
from inference import graph, tuning
from inference.running import Compiled, Way, ahead, native_precisions

Image = npt.NDArray[np.float32]
SHAPE = (1, 1, 4, 4)


def labels(value: Any) -> Any:
    """arg-max over the channels, as a network that is shipped has it."""
    best = op.topk(value, op.constant(np.int64(1)), 1, "max", "value", index_element_type="i64")
    return op.convert(op.squeeze(best.output(1), op.constant(np.array([1], np.int64))), "u8")


def network(factor: float = 1.0, batch: int = 1, divisor: float | None = None) -> tuple[Any, Any]:
    """Two outputs: ``twice`` real numbers, ``which`` the channel (x, or 1 - x) that is larger."""
    core = ov.Core()
    image = op.parameter([batch, *SHAPE[1:]], np.float32, name="image")
    scaled = op.multiply(image, op.constant(np.full((1, 1, 4, 4), factor, np.float32)))
    if divisor is not None:
        scaled = op.divide(scaled, op.subtract(image, op.constant(np.float32(divisor))))
    both = op.concat([scaled, op.subtract(op.constant(np.float32(1)), scaled)], 1)
    results = [op.multiply(scaled, op.constant(np.float32(2))), labels(both)]
    for result, name in zip(results, ("twice", "which"), strict=True):
        result.output(0).set_names({name})
    image.output(0).set_names({"image"})
    return core, ov.Model(results, [image], "test")


def compiled(batch: int = 1, streams: int = 2, outputs: tuple[str, ...] = ("twice",), **about: Any) -> Compiled:
    core, model = network(batch=batch, **about)
    return Compiled(core, model, "network.xml", outputs, Way(threads=2, streams=streams, batch=batch))


def image(value: float) -> Image:
    return np.full(SHAPE[1:], value, np.float32)


@pytest.mark.parametrize(("batch", "streams"), [(1, 1), (1, 2), (3, 2)])
def test_answers_come_in_order_whatever_is_run_at_once(batch: int, streams: int) -> None:
    found = [(i, float(out[0].mean())) for i, out in compiled(batch, streams).run(range(20), image)]
    assert found == [(i, 2.0 * i) for i in range(20)]


def one_at_a_time(way: Way) -> Compiled:
    """A network that was exported for one item: it takes more, and answers for one."""
    values = op.parameter([way.batch, 4], np.float32, name="image")
    whole = op.reduce_sum(values, op.constant(np.array([0])), keep_dims=True)
    whole.output(0).set_names({"sum"})
    values.output(0).set_names({"image"})
    return Compiled(ov.Core(), ov.Model([op.result(whole)], [values], "test"), "network.xml", ("sum",), way)


def test_a_network_that_answers_for_one_item_only_is_never_run_over_more(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PackageError, match="not made of 2 answers"):
        one_at_a_time(Way(threads=1, batch=2))
    monkeypatch.setattr(tuning, "speed", lambda network, *_: 10.0 * network.way.batch)
    assert tuning.fastest(one_at_a_time, Way(threads=1))[0].batch == 1


def test_an_input_may_be_given_as_its_channels() -> None:
    (_, outputs), *_ = compiled(outputs=("twice", "which")).feed([("a", [image(0.75)[0]])])
    assert outputs[0].shape == SHAPE[1:] and outputs[1].shape == (4, 4)
    assert outputs[1].max() == 0  # 0.75 is more than 0.25


def test_a_broken_item_fails_where_its_answer_would_be() -> None:
    def prepare(number: int) -> Image:
        if number == 3:
            raise ValueError("three")
        return image(number)

    found: list[int] = []
    with pytest.raises(ValueError, match="three"):
        for number, _ in compiled(streams=1).run(range(9), prepare):
            found.append(number)
    assert found in ([], [0], [0, 1])  # those of requests that were still running are given up


def test_whoever_stops_early_leaves_nothing_running() -> None:
    before = set(threading.enumerate())
    run = compiled().run(range(1000), image)
    assert next(run)[0] == 0
    run.close()
    assert set(threading.enumerate()) <= before


def test_work_is_done_a_bounded_way_ahead_and_given_back_in_order() -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            asked.append(number)
            yield number

    with ahead(items(), lambda n: n * n, threads=3, most=5) as done:
        for number, square in done:
            assert square == number * number
            assert len(asked) <= number + 5
    assert len(asked) == 50


@pytest.mark.parametrize("output", ["twice", "which"])
def test_a_network_that_answers_nan_fails_instead_of_finding_nothing(output: str) -> None:
    run = compiled(outputs=(output,), divisor=7.0).run([1.0], image)
    assert next(run)[0] == 1.0
    broken = compiled(outputs=(output,), divisor=0.0, factor=0.0).run([0.0], image)  # 0 / 0
    with pytest.raises(PermanentError, match="NaN"):
        next(broken)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused_before_a_rectifier_hides_them(wrong: float, tmp_path: Any) -> None:
    values = np.ones((1, 1, 3, 3), np.float32)
    values[0, 0, 1, 1] = wrong
    image = op.parameter(list(SHAPE), np.float32, name="image")
    image.output(0).set_names({"image"})
    out = op.relu(op.convolution(image, op.constant(values), [1, 1], [0, 0], [0, 0], [1, 1]))
    ov.save_model(ov.Model([out], [image], "test"), tmp_path / "network.xml", compress_to_fp16=False)
    files = ((tmp_path / "network.xml").read_bytes(), (tmp_path / "network.bin").read_bytes())
    with pytest.raises(PackageError, match="no finite numbers"):
        graph.read_network(ov.Core(), files, "network.xml", "image", SHAPE)


def test_a_network_of_another_shape_is_refused(tmp_path: Any) -> None:
    core, model = network()
    ov.save_model(model, tmp_path / "network.xml")
    files = ((tmp_path / "network.xml").read_bytes(), (tmp_path / "network.bin").read_bytes())
    with pytest.raises(PackageError, match="no network with an input"):
        graph.read_network(core, files, "network.xml", "image", (1, 3, 5, 4))


def test_every_cpu_computes_fp32_and_int8() -> None:
    assert {"fp32", "int8"} <= set(native_precisions()) <= {"fp32", "bf16", "int8"}
