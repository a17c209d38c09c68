"""The small test package, made once, and its compiled analyser."""

from pathlib import Path

import pytest

from inference.analyse import Analyser
from inference.package import Package, load
from tests.inference import small_package


@pytest.fixture(scope="session")
def package_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_package.build(tmp_path_factory.mktemp("package") / "test-lungs")


@pytest.fixture(scope="session")
def package(package_folder: Path) -> Package:
    return load(package_folder)


@pytest.fixture(scope="session")
def analyser(package: Package) -> Analyser:
    return Analyser(package)
