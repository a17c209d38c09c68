"""Packages over images say what is wrong with them in one sentence that names the key."""

import json
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import openvino.opset13 as op
import pytest

from domain.errors import PackageError
from inference import golden
from inference.images.analyse import ImageAnalyser
from inference.images.golden import match
from inference.images.manifest import read_manifest
from inference.images.package import ImagePackage
from inference.images.plan import read_plan
from inference.images.quantity import vocabulary
from inference.package import load, seal
from tests.inference import image_package
from tests.inference.image_package import DETECTOR_TOML, SPOTS_REPORT
from tests.inference.images.conftest import loaded


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('kind = "images"', 'kind = "pictures"', "'kind' must be one of"),
        ('kind = "images"', 'kind = "slide"', "um_per_pixel"),
        ('modality = ["GM", "SM", "OT", "XC"]', 'modality = "GM"', "'modality' must be a list"),
        ('way = "tiles"', 'way = "tile"', "did you mean 'tiles'"),
        ("overlap = 16", "overlap = 60", "'overlap' must be a whole number from 0 to 32"),
        ("overlap = 16", "overlaps = 16", "unknown key 'overlaps' (did you mean 'overlap'?)"),
        ('kind = "sizes"', 'kind = "scores"', "'values' is missing"),
        ("classes = [1, 2]", "classes = [1, 3]", "3 is not there"),
        ('from = "centres"', 'from = "center"', "did you mean 'centres'"),
        ("min_score = 0.5", "min_score = 1.5", "'min_score' must be a number from 0 to 1"),
        ('kind = "centres"', 'kind = "boxes"', "'sizes' belong to 'centres'"),
        ('file = "network.xml"', 'file = "../network.xml"', "must be an .xml"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused(old: str, new: str, words: str, tmp_path: Path) -> None:
    folder = image_package.write_spots(tmp_path / "p", DETECTOR_TOML.replace(old, new))
    with pytest.raises(PackageError) as caught:
        seal(folder)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("quantities", "bacilli", "measure"), "Counts", "did you mean 'Count'"),
        (("quantities", "grade", "quantity"), "per_100", "did you mean 'per100'"),
        (("quantities", "grade", "bands", 0, "at_least"), 500, "a list of grades that rise"),
        (("summary", "positive"), "{bacili} found", "did you mean {bacilli}"),
        (("findings", 0, "measurements", 0, "object"), "Scores", "did you mean 'Score'"),
        (("findings", 0, "when"), "negative", "cannot be of a negative study"),
        (("marks", 0, "shape"), "cross", "'shape' must be one of"),
        (("marks", 0, "name"), "grade", "must all be different"),
        (("positive",), [], "at least one condition"),
        (("per_image", 0, "order"), "bacill", "did you mean 'bacilli'"),
        (("statements",), [], "at least one statement"),
    ],
)
def test_a_report_plan_that_is_wrong_is_refused(where: tuple[Any, ...], value: object, words: str, tmp_path: Path) -> None:
    report: Any = deepcopy(SPOTS_REPORT)
    inner = report
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    with pytest.raises(PackageError) as caught:
        seal(image_package.write_spots(tmp_path / "p", report=report))
    assert words.replace("{bacilli}", "'bacilli'") in str(caught.value)


def test_the_second_network_belongs_to_the_sealed_files(tmp_path: Path) -> None:
    folder = image_package.sealed(image_package.write_blob(tmp_path / "p"))
    assert loaded(folder).networks == ("network.xml", "crops.xml")
    (folder / "crops.bin").write_bytes(b"other weights")
    with pytest.raises(PackageError, match=r"crops.bin was changed"):
        load(folder)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        (DETECTOR_TOML.replace('name = "sizes"', 'name = "size"'), "has no output 'size'"),
        (DETECTOR_TOML.replace("classes = [1, 2]", "classes = [1]", 1), "must have 1 values in its dimension 1"),
        (DETECTOR_TOML.replace('input = "image"', 'input = "images"'), "no network with an input 'images'"),
    ],
)
def test_a_network_that_is_not_what_the_manifest_says_is_refused(toml: str, words: str, tmp_path: Path) -> None:
    folder = image_package.write_spots(tmp_path / "p", toml)
    with pytest.raises(PackageError, match=words):
        golden.record(folder)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    image, values = image_package._input(64, 64)
    moved = op.transpose(values, [0, 3, 1, 2])
    kernel = np.zeros((2, 3, 1, 1), np.float32)
    kernel[0, 0] = np.nan
    heat = op.convolution(moved, op.constant(kernel), [1, 1], [0, 0], [0, 0], [1, 1])
    folder = image_package.write_spots(tmp_path / "p")
    model = image_package._model(image, {"centres": heat, "sizes": op.relu(heat)})
    image_package.ov.save_model(model, folder / "network.xml", compress_to_fp16=False)
    with pytest.raises(PackageError, match="no finite numbers"):
        golden.record(folder)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.zeros((1, 8, 8), np.uint8)}, "must have 'images'"),
        ({"images": np.zeros((1, 8, 8, 3), np.float32)}, "must have 'images'"),
        ({"images": np.zeros((1, 8, 8, 3), np.uint8), "mm_per_pixel": np.array([0.1, 0.0])}, "two numbers above 0"),
        ({"images": np.array([{}], object)}, "arrays of numbers"),
    ],
)
def test_a_golden_case_that_is_no_picture_is_refused(arrays: dict[str, Any], words: str, tmp_path: Path) -> None:
    folder = image_package.write_spots(tmp_path / "p")
    np.savez_compressed(folder / "golden" / "case-01.npz", **arrays)
    with pytest.raises(PackageError, match=words):
        golden.record(folder)


def changed(package: ImagePackage, **changes: object) -> list[str]:
    """What the golden case says when something else is expected."""
    known = json.loads(package.files["golden/case-01.json"])
    known.update(changes)
    files = {**package.files, "golden/case-01.json": json.dumps(known).encode()}
    other = ImagePackage(package.digest, package.manifest, package.segments, package.plan, files)
    return [a.words for a in golden.check(other, threads=1)]


def test_a_golden_case_agrees_with_itself_and_says_what_differs(spots: ImageAnalyser) -> None:
    package = spots.package
    assert changed(package) == [""]
    assert changed(package, outcome="negative") == ["positive instead of negative"]
    assert changed(package, counts={"1": 9, "2": 1}) == ["objects of class 1: 2.000 instead of 9.000"]
    assert "best: 0.9" in changed(package, quantities={"best": 0.5})[0]


def test_objects_belong_together_when_a_centre_lies_in_the_box_of_the_other() -> None:
    theirs = np.array([[0, 1, 0.9, 10, 10, 20, 20], [0, 1, 0.9, 50, 50, 60, 60], [1, 1, 0.9, 10, 10, 20, 20]], np.float32)
    ours = np.array([[0, 1, 0.8, 12, 12, 22, 22], [0, 2, 0.8, 50, 50, 60, 60], [1, 1, 0.8, 40, 40, 50, 50]], np.float32)
    assert match(ours, theirs, slack=2).tolist() == [[0, 0]]


def test_the_worked_example_of_the_documentation_is_a_package() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "model-package-images.md").read_text()
    example = text[text.index("## A detector, from end to end") :]
    toml, report = (example.split(f"```{kind}\n")[1].split("```")[0] for kind in ("toml", "json"))
    head = DETECTOR_TOML[: DETECTOR_TOML.index("[input]")]
    manifest = read_manifest(tomllib.loads(head + toml), (1, 2))
    plan = read_plan(json.loads(report), vocabulary(manifest, (1, 2)))
    assert plan.quantities["grade"].levels[-1].value.meaning == "3+"


def test_every_default_of_the_documentation_is_the_one_in_use() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "model-package-images.md").read_text()
    toml = text.split("```toml\n")[1].split("```")[0]
    written = tomllib.loads(DETECTOR_TOML[: DETECTOR_TOML.index("[input]")] + toml)
    for table in ("quality", "frames", "crops"):
        del written[table]
    bare = deepcopy(written)
    for table, needed in (("input", ("kind", "modality")), ("network", ("file", "input", "size", "way", "scale", "outputs"))):
        bare[table] = {key: bare[table][key] for key in needed}
    bare["objects"] = [{"from": "centres", "min_score": 0.4, "min_distance": 8.0}]
    bare["precision"], bare["tissue"] = {}, {}
    assert read_manifest(bare, (1, 2, 3)) == read_manifest(written, (1, 2, 3))


def test_every_unit_fits_into_a_code(spots: ImageAnalyser) -> None:
    for measured in spots.package.plan.quantities.values():
        assert len(measured.unit.value) <= 16  # SH
    assert spots.package.plan.quantities["per100"].unit.value == "/(100.{field})"
