"""Golden cases: agreement on this CPU, and what disagreement looks like."""

import json
import shutil
from pathlib import Path

import pytest

from domain.errors import PackageError
from inference import golden
from inference.package import load, seal
from tests.inference import small_package


@pytest.fixture
def folder(package_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(package_folder, tmp_path / "package"))


def test_a_package_agrees_with_what_it_recorded(package_folder: Path) -> None:
    results = golden.check(load(package_folder))
    assert [(r.case, r.agrees, r.words, r.precision) for r in results] == [("case-01", True, "", "fp32")]
    assert golden.main(["check", str(package_folder)]) == 0


def test_another_answer_is_named(folder: Path) -> None:
    path = folder / "golden" / "case-01.json"
    expected = json.loads(path.read_text())
    expected["outcome"] = "negative"
    expected["volumes_ml"]["3"] = 20.0
    expected["quantities"]["affected"] = 5.0
    path.write_text(json.dumps(expected))
    seal(folder)
    (result,) = golden.check(load(folder))
    assert not result.agrees
    assert result.words == "positive instead of negative; segment 3 (ml): 12.00 instead of 20.00; affected: 1.86 instead of 5.00"
    assert golden.main(["check", str(folder)]) == 1


def test_labels_that_moved_are_noticed_by_dice(folder: Path) -> None:
    import numpy as np

    path = folder / "golden" / "case-01.npz"
    with np.load(path) as arrays:
        hu, spacing, labels = arrays["hu"], arrays["spacing"], arrays["labels"]
    np.savez_compressed(path, hu=hu, spacing=spacing, labels=np.roll(labels, 3, axis=3))
    seal(folder)
    assert "segment 3: Dice 0.5" in golden.check(load(folder))[0].words


def test_a_case_that_was_never_recorded_is_refused(tmp_path: Path) -> None:
    path = small_package.write(tmp_path / "p")
    with pytest.raises(PackageError, match="record"):
        seal(path)


def test_recording_twice_changes_nothing(folder: Path) -> None:
    before = load(folder).digest
    golden.record(folder)
    assert json.loads((folder / "golden" / "case-01.json").read_text())["outcome"] == "positive"
    assert seal(folder) == before
