"""Packages: what loads, and what is refused with which words."""

import copy
import hashlib
import shutil
import zipfile
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from domain.errors import PackageError
from inference import archive, package
from inference.analyse import Analyser
from inference.package import Package, load, seal, understand
from tests.inference import small_package


@pytest.fixture
def folder(package_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(package_folder, tmp_path / "package"))


def refused(path: Path) -> str:
    with pytest.raises(PackageError) as error:
        load(path)
    return str(error.value)


def test_a_sealed_folder_loads_and_its_digest_is_that_of_the_sums(package_folder: Path) -> None:
    loaded = load(package_folder)
    assert loaded.digest == hashlib.sha256((package_folder / "SHA256SUMS").read_bytes()).hexdigest()
    assert (loaded.id, loaded.version, loaded.name) == ("test-lungs", "1.2.3", "Test lungs")
    assert loaded.layer_of == {1: 0, 2: 0, 3: 1, 4: 1}
    assert loaded.segments[2].tracking_id == "test-lungs/ground-glass-opacity/1"
    assert loaded.segments[0].laterality is not None


def test_a_zip_of_the_folder_is_the_same_package(package_folder: Path, tmp_path: Path) -> None:
    inside = shutil.make_archive(str(tmp_path / "inside"), "zip", package_folder)
    around = shutil.make_archive(str(tmp_path / "around"), "zip", package_folder.parent, package_folder.name)
    assert load(Path(inside)).digest == load(Path(around)).digest == load(package_folder).digest


def test_a_changed_file_is_refused(folder: Path) -> None:
    with (folder / "network.bin").open("ab") as stream:
        stream.write(b"\0")
    assert refused(folder) == "network.bin was changed after the package was sealed"


def test_a_missing_file_is_refused(folder: Path) -> None:
    (folder / "MODEL_CARD.md").unlink()
    assert refused(folder) == "MODEL_CARD.md is missing"


def test_an_extra_file_is_refused(folder: Path) -> None:
    (folder / "notes.txt").write_text("x")
    assert refused(folder) == "notes.txt is not listed in SHA256SUMS"


def test_an_unsealed_package_is_refused(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()
    assert "never sealed" in refused(folder)


@pytest.mark.parametrize("name", ["step.py", "weights.pkl", "model.pt", "a b.txt", ".hidden.txt"])
def test_code_pickles_and_odd_names_are_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("x")
    assert name in refused(folder)


def test_a_symbolic_link_is_refused(folder: Path) -> None:
    (folder / "extra.txt").symlink_to("/etc/hostname")
    assert "link" in refused(folder)
    (folder / "extra.txt").unlink()
    (folder.parent / "linked").symlink_to(folder)
    assert "symbolic link" in refused(folder.parent / "linked")


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt"])
def test_a_zip_that_leaves_its_folder_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    path = Path(shutil.make_archive(str(tmp_path / "evil"), "zip", folder))
    with zipfile.ZipFile(path, "a") as members:
        members.writestr(name, "x")
    assert "no way out" in refused(path)


def test_a_link_in_a_zip_is_refused(folder: Path, tmp_path: Path) -> None:
    path = Path(shutil.make_archive(str(tmp_path / "linked"), "zip", folder))
    entry = zipfile.ZipInfo("link.txt")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as members:
        members.writestr(entry, "/etc/hostname")
    assert "link" in refused(path)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("network.bin", bytes(50_000_000))
    assert "far more" in refused(path)


def test_a_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "package.zip").write_bytes(b"PK\x03\x04 no zip")
    assert "not a sound zip" in refused(tmp_path / "package.zip")
    assert "no model package" in refused(tmp_path / "nowhere")


def changed(tmp_path: Path, before: str, after: str) -> str:
    assert before in small_package.TOML
    path = small_package.write(tmp_path / "changed", toml=small_package.TOML.replace(before, after, 1))
    with pytest.raises(PackageError) as error:
        understand(archive.read_files(path))
    return str(error.value)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("min_slices = 4", "min_slice = 4", "'min_slices' is missing"),
        (
            "max_missing_slices = 2",
            "max_mising_slices = 2",
            "'max_mising_slices' (did you mean 'max_missing_slices'?)",
        ),
        ('step = "FillHoles"', 'step = "FillHole"', "there is no step 'FillHole' (did you mean 'FillHoles'?)"),
        ('mode = "area"', 'mode = "aera"', "'mode' must be one of area, bilinear (did you mean 'area'?)"),
        ("format = 1", "format = 2", "'format' must be 1"),
        ('id = "test-lungs"', 'id = "Test Lungs"', "'id' must be letters"),
        ('version = "1.2.3"', 'version = "1.2"', "'version' must be three numbers"),
        ("labels = [3, 4]", "labels = [3]", "exactly one output"),
        ("labels = [1, 2]", "labels = [1, 3]", "segments of one layer"),
        ("segments = [3, 4]", "segments = [3, 9]", "9 is not there"),
        ("size = [64, 64]", "size = [64]", "list of 2 to 2"),
        ("slice_spacing_mm = [0.4, 7.5]", "slice_spacing_mm = [7.5, 0.4]", "in this order"),
        ('scheme = "LN"', "scheme = 5", "'scheme' must be a text"),
        ("dice = 0.98", "dice = nan", "'dice' must be a number"),
        ("channels_mm = [-5.0, 0.0, 5.0]", "", "exactly one of 'channels_mm' and 'channels_slices'"),
        ("extend = true", "extend = 1", "'extend' must be true or false"),
        ('file = "network.xml"', 'file = "other.xml"', "is missing"),
        ("[input]", "[[[input]", "package.toml is not readable"),
    ],
)
def test_what_package_toml_gets_wrong_is_named(tmp_path: Path, before: str, after: str, words: str) -> None:
    assert words in changed(tmp_path, before, after)


def report_error(tmp_path: Path, **changes: object) -> str:
    report = {**copy.deepcopy(small_package.REPORT), **changes}
    with pytest.raises(PackageError) as error:
        understand(archive.read_files(small_package.write(tmp_path / "changed", report=report)))
    return str(error.value)


def test_what_report_json_gets_wrong_is_named(tmp_path: Path) -> None:
    summary = {"positive": "{afected:.1f}", "negative": "no"}
    assert "there is no {afected} (did you mean 'affected'?)" in report_error(tmp_path / "1", summary=summary)
    summary = {"positive": "{affected.__class__}", "negative": "no"}
    assert "braces" in report_error(tmp_path / "2", summary=summary)
    assert "no quantity 'lesions'" in report_error(tmp_path / "3", positive=[{"quantity": "lesions", "at_least": 1}])
    quantities = {"a": {"measure": "Volum", "segments": [1]}}
    assert "did you mean 'Volume'" in report_error(tmp_path / "4", quantities=quantities)
    findings = [f for f in small_package.REPORT["findings"] if not f.get("outline")]
    assert "'outline': true" in report_error(tmp_path / "5", findings=findings)
    assert "said of a negative study" in report_error(tmp_path / "6", statements=small_package.REPORT["statements"][:1])


def test_segment_numbers_must_count_without_gaps(tmp_path: Path) -> None:
    segments = copy.deepcopy(small_package.SEGMENTS)
    segments["segmentAttributes"][1][1]["labelID"] = 7
    with pytest.raises(PackageError, match="without gaps"):
        understand(archive.read_files(small_package.write(tmp_path / "changed", segments=segments)))


def test_sealing_again_follows_a_change(folder: Path) -> None:
    before = load(folder).digest
    (folder / "MODEL_CARD.md").write_text("# Changed\n")
    assert seal(folder) != before
    assert package.main(["check", str(folder)]) == 0
    assert package.main(["check", str(folder / "nowhere")]) == 1
    assert package.main([]) == 2


def test_a_network_that_does_not_fit_package_toml_is_refused(package: Package, tmp_path: Path) -> None:
    def fits_not(model: ov.Model | None, toml: str = small_package.TOML) -> str:
        path = small_package.write(tmp_path / f"p{len(list(tmp_path.iterdir()))}", model=model, toml=toml)
        with pytest.raises(PackageError) as error:
            Analyser(understand(archive.read_files(path)))
        return str(error.value)

    assert "input" in fits_not(None, small_package.TOML.replace('input = "hu"', 'input = "image"'))
    assert "no output 'lung'" in fits_not(None, small_package.TOML.replace('name = "lungs"', 'name = "lung"'))
    with pytest.raises(PackageError, match="precision"):
        Analyser(package, "fp64")


def test_garbage_in_place_of_a_network_is_refused(tmp_path: Path) -> None:
    path = small_package.write(tmp_path / "p")
    (path / "network.xml").write_bytes(b"<net></net>")
    with pytest.raises(PackageError):
        Analyser(understand(archive.read_files(path)))


def test_the_arrays_of_a_golden_case_hold_no_python_objects(folder: Path) -> None:
    from inference import golden

    np.savez(folder / "golden" / "case-01.npz", hu=np.array([{}], dtype=object), spacing=np.ones(3))
    seal(folder)
    with pytest.raises(PackageError, match="arrays of numbers"):
        golden.check(load(folder))
