"""INT8 networks: made by NNCF from golden cases, sealed, refused when tampered with or wrong."""

from pathlib import Path

import numpy as np
import pytest

from domain.errors import PackageError
from domain.jobs import Outcome
from inference import golden, quantizing
from inference.analyse import Analyser
from inference.package import load
from inference.source import Source
from tests.inference import int8_package, sequences


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("nncf", reason="quantisation needs the extra 'train'")
    source = int8_package.build(tmp_path_factory.mktemp("source") / "package")
    out = tmp_path_factory.mktemp("out") / "package"
    made = quantizing.quantize(source, out)
    assert made.digest == load(out).digest != load(source).digest
    assert made.inputs == 12 and made.agreement > 0.95 and all(case.agrees for case in made.cases)
    return out


def test_the_package_has_an_int8_network_that_computes_with_eight_bits(folder: Path) -> None:
    package = load(folder)
    assert package.precisions == ("fp32", "bf16", "int8")
    assert b"FakeQuantize" in package.files["network-int8.xml"] and b"FakeQuantize" not in package.files["network.xml"]
    assert Analyser(package, "int8").algorithm().precision == "int8"
    assert [case.agrees for case in golden.check(package, "int8")] == [True]


def test_a_network_over_windows_of_several_series_has_an_int8_form_too(tmp_path: Path) -> None:
    pytest.importorskip("nncf", reason="quantisation needs the extra 'train'")
    folder = sequences.build(tmp_path / "package", model=sequences.convolved)
    made = quantizing.quantize(folder)
    assert made.agreement > 0.95 and all(case.agrees for case in made.cases)
    package = load(folder)
    assert b"FakeQuantize" in package.files["network-int8.xml"]
    exact, small = (Analyser(package, precision).analyse(sources()) for precision in ("fp32", "int8"))
    assert exact.outcome is small.outcome is Outcome.POSITIVE
    assert exact.labels is not None and small.labels is not None
    for number in (1, 2, 3):
        left, right = exact.labels.layers == number, small.labels.layers == number
        assert 2 * (left & right).sum() > 0.97 * (left.sum() + right.sum()) > 0


def test_a_network_over_slices_of_several_series_has_an_int8_form_too(tmp_path: Path) -> None:
    pytest.importorskip("nncf", reason="quantisation needs the extra 'train'")
    folder = sequences.build_of_slices(tmp_path / "package")
    made = quantizing.quantize(folder, studies=[sources()])
    assert made.agreement > 0.95 and made.inputs == 24 + 48 and all(case.agrees for case in made.cases)
    exact, small = (Analyser(load(folder), precision).analyse(sources()) for precision in ("fp32", "int8"))
    assert exact.labels is not None and small.labels is not None
    assert 2 * ((exact.labels.layers > 0) & (small.labels.layers > 0)).sum() > 0.97 * (
        (exact.labels.layers > 0).sum() + (small.labels.layers > 0).sum()
    )


def sources() -> list[Source]:
    """Three series, each with a sphere of its own."""
    return [source for one in sequences.study().values() for source in one.sources()]


def test_a_stripped_package_is_as_before(tmp_path: Path) -> None:
    folder = int8_package.with_int8(tmp_path / "package")
    quantizing.strip(folder)
    assert quantizing.seal(folder) and load(folder).precisions == ("fp32", "bf16")


def test_it_is_not_quantised_twice(folder: Path) -> None:
    with pytest.raises(PackageError, match="has an INT8 network already"):
        quantizing.quantize(folder)


def test_a_tampered_int8_file_is_refused(folder: Path) -> None:
    for name in ("network-int8.xml", "network-int8.bin"):
        file = folder / name
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(PackageError, match=f"{name} was changed after the package was sealed"):
            load(folder)
        file.unlink()
        with pytest.raises(PackageError, match=f"{name} is missing"):
            load(folder)
        file.write_bytes(whole)
    assert load(folder).tolerances.int8


def test_an_int8_file_that_package_toml_does_not_name_has_no_place(tmp_path: Path) -> None:
    folder = int8_package.with_int8(tmp_path / "package")
    toml = folder / "package.toml"
    toml.write_text(toml.read_text().replace("int8 = true\n", ""))
    with pytest.raises(PackageError, match=r"network-int8\.\w+ has no place in a model package"):
        quantizing.seal(folder)


def test_agreement_is_what_counts_for_each_kind_of_output() -> None:
    labels = [[np.array([[0, 1, 1, 2]], np.uint8)]]
    other = [[np.array([[0, 1, 0, 2]], np.uint8)]]
    assert quantizing.agreement(labels, labels) == 1
    assert quantizing.agreement(labels, other) == pytest.approx((2 / 3 + 1) / 2)
    maps, other_maps = np.zeros((2, 1, 1, 64, 64), np.float32)
    maps[0, 0, :32], other_maps[0, 0, :16] = 0.9, 0.9
    assert quantizing.agreement([[maps]], [[other_maps]]) == pytest.approx(2 / 3)
    points, moved, lost = np.zeros((3, 1, 1, 64, 64), np.float32)
    points[0, 0, 10, 10] = moved[0, 0, 10, 11] = 0.8
    assert quantizing.agreement([[points]], [[moved]]) == pytest.approx(0.8)
    assert quantizing.agreement([[points]], [[lost]]) == 0
    shares, near = np.array([[0.9, 0.1]], np.float32), np.array([[0.8, 0.2]], np.float32)
    assert quantizing.agreement([[shares]], [[near]]) == pytest.approx(0.9)
    numbers, off = [[np.array([[1.0, -1.0]], np.float32)]], [[np.array([[1.0, -0.5]], np.float32)]]
    assert quantizing.agreement(numbers, off) == pytest.approx(0.75)


def test_observed_inputs_are_thinned_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantizing, "FEWEST_INPUTS", 4)
    inputs = quantizing._Inputs(4)
    for number in range(20):
        inputs.hear(np.array([number]))
    assert [int(value[0, 0]) for value in inputs.kept] == [0, 8, 16]
