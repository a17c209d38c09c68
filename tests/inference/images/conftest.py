"""The two small packages over images, made once, with their analysers."""

from pathlib import Path

import pytest

from inference.images.analyse import ImageAnalyser
from inference.images.package import ImagePackage
from inference.package import load
from tests.inference import image_package


def loaded(folder: Path) -> ImagePackage:
    package = load(folder)
    assert isinstance(package, ImagePackage)
    return package


@pytest.fixture(scope="session")
def spots(tmp_path_factory: pytest.TempPathFactory) -> ImageAnalyser:
    folder = image_package.write_spots(tmp_path_factory.mktemp("package") / "spots")
    return ImageAnalyser(loaded(image_package.sealed(folder)), threads=1)


@pytest.fixture(scope="session")
def blob(tmp_path_factory: pytest.TempPathFactory) -> ImageAnalyser:
    folder = image_package.write_blob(tmp_path_factory.mktemp("package") / "blob")
    return ImageAnalyser(loaded(image_package.sealed(folder)), threads=1)
