"""Packages whose network is wrong in ways that would otherwise look like "nothing found"."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as op
import pytest

from domain.errors import PackageError, PermanentError
from inference import archive, golden
from inference.acceptance import accept
from inference.analyse import Analyser
from inference.package import Package, load, understand
from tests.inference import small_package


def dividing(by: float, size: int = 64, numbers: bool = False) -> ov.Model:
    """(HU + 1000) / ``by``, channel by channel, arg-max of two: air gives 0 / 0 where ``by`` is 0."""
    hu = op.parameter([-1, 3, size, size], np.float32, name="hu")
    hu.output(0).set_names({"hu"})
    share = op.divide(op.add(hu, op.constant(np.float32(1000))), op.constant(np.float32(by)))
    scores = op.slice(op.concat([share, hu], 1), [0], [2], [1], [1])
    best = op.squeeze(op.topk(scores, op.constant(np.int64(1)), 1, "max", "value", index_element_type="i64").output(1), [1])
    results = []
    for name in ("lungs", "opacity"):
        result: Any = op.convert(op.add(best, op.constant(np.int64(0))), "f32" if numbers else "u8")
        result.output(0).set_names({name})
        results.append(result)
    return ov.Model(results, [hu], "test")


def unsealed(folder: Path, model: ov.Model) -> Package:
    package = understand(archive.read_files(small_package.write(folder, model=model)))
    assert isinstance(package, Package)
    return package


def test_a_network_that_answers_nan_is_a_failure_and_not_a_negative_study(tmp_path: Path) -> None:
    package = unsealed(tmp_path / "package", dividing(0.0))
    volume, _ = golden._volume(package, "case-01")
    with pytest.raises(PermanentError, match=r"network\.xml answered with values that are no numbers \(NaN\)"):
        Analyser(package).read(volume)


def test_such_a_package_is_refused_on_this_cpu(tmp_path: Path) -> None:
    folder = small_package.build(tmp_path / "package")
    ov.save_model(dividing(0.0), folder / "network.xml", compress_to_fp16=False)
    small_package.package.seal(folder)
    package = load(folder)
    found = accept(package, "fp32", threads=1)
    assert found.precision == ""
    with pytest.raises(PackageError, match=r"refused: .*no numbers"):
        found.chosen()


def test_a_network_of_another_kind_or_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"must be labels \(uint8\)"):
        Analyser(unsealed(tmp_path / "numbers", dividing(2.0, numbers=True)))
    with pytest.raises(PackageError, match="no network with an input 'hu' of the size"):
        Analyser(unsealed(tmp_path / "small", fixed(32)))


def fixed(size: int) -> ov.Model:
    """A network that cannot be reshaped: it multiplies with a constant of its own size."""
    hu = op.parameter([1, 3, size, size], np.float32, name="hu")
    hu.output(0).set_names({"hu"})
    scaled = op.multiply(hu, op.constant(np.ones((1, 3, size, size), np.float32)))
    results = []
    for name in ("lungs", "opacity"):
        result = op.convert(op.squeeze(op.slice(scaled, [0], [1], [1], [1]), [1]), "u8")
        result.output(0).set_names({name})
        results.append(result)
    return ov.Model(results, [hu], "test")


def test_values_that_no_label_stands_for_are_nothing() -> None:
    """The network says 0 to 2; package.toml knows two labels, so nothing is lost, and 3 to 255 would be background."""
    from inference.engine import _numbered, _values

    table = _values((5, 9))
    for kind in (np.uint8, np.int32, np.int64):
        found = np.array([[0, 1, 2], [3, 200, 255]], kind)
        assert _numbered(found, table).tolist() == [[0, 5, 9], [0, 0, 0]]
    assert _numbered(np.array([[-1, 256, 257]], np.int64), table).tolist() == [[0, 0, 0]]
