"""Trying a package on this CPU: what is chosen, what is refused, what is remembered."""

from dataclasses import replace
from pathlib import Path

import pytest

from domain.acceptance import Acceptance, Trial
from domain.errors import PackageError
from inference import acceptance, tuning
from inference.acceptance import accept, remember, remembered
from inference.analyse import Analyser
from inference.package import Package, load
from inference.running import Way, native_precisions
from tests.inference import int8_package, small_package

DIGEST = "0" * 64


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """How fast does not matter here."""
    monkeypatch.setattr(tuning, "speed", lambda *_: 10.0)
    monkeypatch.setattr(tuning, "fastest", lambda make, way: (way.settled(), 10.0))


def trials(*about: tuple[str, bool, float]) -> tuple[Trial, ...]:
    return tuple(Trial(precision, agrees, "" if agrees else "Dice 0.5", pace) for precision, agrees, pace in about)


def noted(precision: str = "int8") -> Acceptance:
    tried = trials(("fp32", True, 10.0), ("int8", True, 30.0), ("bf16", False, 20.0))
    return Acceptance("test", DIGEST, acceptance.machine(), 2, precision, tried)


def test_the_fastest_precision_that_agrees_is_chosen(tmp_path: Path) -> None:
    package = load(int8_package.with_int8(tmp_path / "package"))
    found = accept(package, threads=2)
    assert [trial.precision for trial in found.trials] == list(native_precisions())
    assert all(trial.agrees and trial.per_second > 0 for trial in found.trials)
    assert found.precision == found.chosen().precision == "fp32"  # the first of equals
    assert found.digest == package.digest


def test_speed_decides_among_precisions_that_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paces = {"fp32": 10.0, "bf16": 20.0, "int8": 30.0}
    monkeypatch.setattr(tuning, "speed", lambda network, *_: paces[network.way.precision])
    monkeypatch.setattr(tuning, "fastest", lambda make, way: (replace(way, streams=3, batch=2), 33.3))
    found = accept(load(int8_package.with_int8(tmp_path / "package")), threads=2)
    assert found.chosen() == Trial("int8", True, "", 33.3, 3, 2)
    assert found.chosen("fp32").per_second == 10.0


def test_a_precision_that_disagrees_is_never_chosen_and_says_why(tmp_path: Path) -> None:
    package = load(int8_package.with_int8(tmp_path / "package", shift=150))
    found = accept(package, threads=2)
    assert found.precision in ("fp32", "bf16")
    with pytest.raises(PackageError, match=r"not accepted in int8 on this CPU: case-01: .*segment"):
        found.chosen("int8")


def test_a_package_that_fails_in_fp32_is_refused(tmp_path: Path) -> None:
    folder = small_package.write(tmp_path / "package", model=int8_package.graph())
    small_package.golden.record(folder)
    expected = folder / "golden" / "case-01.json"
    expected.write_text(expected.read_text().replace('"positive"', '"negative"'))
    small_package.package.seal(folder)
    found = accept(load(folder), threads=2)
    assert found.precision == ""
    for precision in ("auto", "fp32", "bf16"):
        with pytest.raises(PackageError, match="fails its golden cases on this CPU in FP32 and is refused: case-01: positive"):
            found.chosen(precision)


def test_a_precision_that_is_asked_for_is_tried_beside_fp32_only(package: Package) -> None:
    found = accept(package, "int8", threads=2)
    assert [(trial.precision, trial.agrees) for trial in found.trials] == [("fp32", True), ("int8", False)]
    assert found.precision == "fp32"
    with pytest.raises(PackageError, match="has no INT8 network; `ancilla models quantize` makes one"):
        found.chosen("int8")


def test_what_was_tried_is_remembered_for_this_package_machine_and_number_of_threads(tmp_path: Path) -> None:
    remember(tmp_path, noted())
    assert remembered(tmp_path, DIGEST, 2) == noted()
    assert remembered(tmp_path, DIGEST, 1) is None
    assert remembered(tmp_path, "1" * 64, 2) is None


def test_another_cpu_forgets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(tmp_path, noted())
    monkeypatch.setattr(acceptance, "machine", lambda core=None: "another CPU")
    assert remembered(tmp_path, DIGEST, 2) is None


def test_a_note_that_was_damaged_is_no_note(tmp_path: Path) -> None:
    remember(tmp_path, noted())
    (file,) = (tmp_path / acceptance.FOLDER).iterdir()
    for content in (b"", b"[]", b'{"trials": [{}]}', file.read_bytes()[:-5], b'{"trials": 1}'):
        file.write_bytes(content)
        assert remembered(tmp_path, DIGEST, 2) is None


def test_a_setting_that_was_not_tried_asks_for_another_trial(tmp_path: Path) -> None:
    only = replace(noted("fp32"), trials=trials(("fp32", True, 10.0)))
    remember(tmp_path, only)
    assert remembered(tmp_path, DIGEST, 2, "fp32") == only
    assert remembered(tmp_path, DIGEST, 2, "int8") is None
    assert remembered(tmp_path, DIGEST, 2, "auto") is None


def test_more_streams_are_taken_only_for_a_gain(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    paces = {1: 10.0, 2: 10.4, 4: 30.0}

    def make(way: Way) -> object:
        return Analyser(package, way.precision, 1, None, way.streams).network

    monkeypatch.setattr(tuning, "speed", lambda network, *_: paces[network.way.streams])
    monkeypatch.setattr(tuning, "_streams", lambda _: [1, 2])
    monkeypatch.setattr(tuning, "MOST_BATCH_BYTES", 0)
    assert tuning.fastest(make, Way(threads=1, streams=1))[0].streams == 1  # type: ignore[arg-type]
    monkeypatch.setattr(tuning, "_streams", lambda _: [1, 2, 4])
    assert tuning.fastest(make, Way(threads=1, streams=1))[0].streams == 4  # type: ignore[arg-type]


def test_labels_are_the_same_however_many_go_through_at_once(package: Package) -> None:
    hu = small_package.chest()
    from inference.golden import _volume

    volume, _ = _volume(package, "case-01")
    assert volume.hu.shape == hu.shape
    one = Analyser(package, threads=2, streams=1).read(volume)
    many = Analyser(package, threads=2, streams=2, batch=5).read(volume)
    assert (one.layers == many.layers).all() and one.values == many.values
