"""The JSON schemas of docs/schema and the reader agree: about every package there is, and about ones damaged in every place."""

import copy
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.errors import PackageError
from inference import archive
from inference.package import understand
from node.config import shipped_packages
from tests.inference import image_package, sequences, small_package
from tests.inference.test_geometry import REPORT, SEGMENTS
from tests.inference.test_shapes import MEASURED
from tests.inference.windows.test_windows import BEHIND, HEAD, INFERER, NETWORK, STEPS

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed (extra 'test')")

FOLDER = Path(__file__).parents[2] / "docs" / "schema"
FILES = ("package.toml", "segments.json", "report.json")
SCHEMAS = {name: json.loads((FOLDER / f"{name.split('.')[0]}.schema.json").read_text()) for name in FILES}
VALIDATORS = {name: jsonschema.Draft202012Validator(schema) for name, schema in SCHEMAS.items()}

Documents = dict[str, Any]


def documents(toml: str, segments: Any, report: Any) -> Documents:
    return {"package.toml": tomllib.loads(toml), "segments.json": segments, "report.json": report}


def of_folder(path: Path) -> Documents:
    return documents(
        (path / "package.toml").read_text(),
        json.loads((path / "segments.json").read_text()),
        json.loads((path / "report.json").read_text()),
    )


PACKAGES: dict[str, Documents] = {
    **{name: of_folder(path) for name, path in shipped_packages().items()},
    "slices": documents(small_package.TOML, small_package.SEGMENTS, small_package.REPORT),
    "windows": documents(HEAD + NETWORK + INFERER + STEPS + BEHIND, SEGMENTS, REPORT),
    "measures": documents(small_package.TOML, small_package.SEGMENTS, MEASURED),
    "channels": documents(sequences.TOML, sequences.SEGMENTS, REPORT),
    "channels of slices": documents(sequences.SLICES_TOML, sequences.SEGMENTS, REPORT),
    "detector": documents(image_package.DETECTOR_TOML, image_package.SPOTS, image_package.SPOTS_REPORT),
    "nodule": documents(image_package.BLOB_TOML, image_package.BLOB, image_package.BLOB_REPORT),
}


def reads(found: Documents) -> bool:
    """Whether the reader takes the three documents (with empty files in place of networks)."""
    from inference.importing.draft import toml

    about = found["package.toml"]
    files: dict[str, bytes] = {"MODEL_CARD.md": b"# x"}
    for table in (about.get("network"), about.get("crops")):
        name = table.get("file") if isinstance(table, dict) else None
        if isinstance(name, str):
            files |= dict.fromkeys((name, name.removesuffix(".xml") + ".bin"), b"")
            if isinstance(precision := about.get("precision"), dict) and precision.get("int8") is True:
                small = archive.int8_file(name)
                files |= dict.fromkeys((small, small.removesuffix(".xml") + ".bin"), b"")
    files["package.toml"] = toml(about).encode()
    files |= {name: json.dumps(found[name]).encode() for name in FILES[1:]}
    try:
        understand(files)
    except PackageError:
        return False
    return True


def fits(found: Documents) -> bool:
    return all(VALIDATORS[name].is_valid(found[name]) for name in FILES)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every table and value below a document, lists by their first two items."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@pytest.mark.parametrize("name", FILES)
def test_the_schemas_are_sound(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize("name", PACKAGES)
def test_every_package_there_is_fits_and_is_read(name: str) -> None:
    for file in FILES:
        VALIDATORS[file].validate(PACKAGES[name][file])
    assert reads(PACKAGES[name])


FREE = {"quantities", "per_area", "points", "values"}  # tables whose keys are names


@pytest.mark.parametrize("name", PACKAGES)
@pytest.mark.parametrize("file", FILES)
def test_an_unknown_key_anywhere_is_refused_by_both(name: str, file: str) -> None:
    for path in [(), *places(PACKAGES[name][file])]:
        if not isinstance(at(PACKAGES[name][file], path), dict) or (path and path[-1] in FREE):
            continue
        mutant = copy.deepcopy(PACKAGES[name])
        at(mutant[file], path)["surprise"] = 1
        assert not fits(mutant) and not reads(mutant), path


@pytest.mark.parametrize("name", PACKAGES)
@pytest.mark.parametrize("file", FILES)
def test_a_value_of_another_type_anywhere_is_refused_by_both(name: str, file: str) -> None:
    for path in places(PACKAGES[name][file]):
        if path[-1] == "SegmentAlgorithmName":
            continue
        mutant = copy.deepcopy(PACKAGES[name])
        value = at(mutant[file], path)
        at(mutant[file], path[:-1])[path[-1]] = [True] if isinstance(value, dict | str | int | float) else "words"
        assert not fits(mutant) and not reads(mutant), path


@pytest.mark.parametrize("name", PACKAGES)
@pytest.mark.parametrize("file", FILES)
def test_what_the_schema_refuses_without_a_key_the_reader_refuses_too_and_back(name: str, file: str) -> None:
    """The reader may refuse more: it also knows what belongs together."""
    refused = 0
    for path in places(PACKAGES[name][file]):
        if isinstance(at(PACKAGES[name][file], path[:-1]), list):
            continue
        mutant = copy.deepcopy(PACKAGES[name])
        del at(mutant[file], path[:-1])[path[-1]]
        if not fits(mutant):
            refused += 1
            assert not reads(mutant), path
    assert refused > 3


@pytest.mark.parametrize("value", [-(10**9), 10**9, 0.5])
@pytest.mark.parametrize("name", PACKAGES)
def test_numbers_beyond_what_the_schema_allows_are_refused_by_the_reader(name: str, value: float) -> None:
    for path in places(PACKAGES[name]["package.toml"]):
        old = at(PACKAGES[name]["package.toml"], path)
        if isinstance(old, bool) or not isinstance(old, int | float):
            continue
        mutant = copy.deepcopy(PACKAGES[name])
        at(mutant["package.toml"], path[:-1])[path[-1]] = value
        if not fits(mutant):
            assert not reads(mutant), (path, value)
