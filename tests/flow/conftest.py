"""Small material for whole-node tests: tiny real packages and a study of a few images."""

from pathlib import Path

import pytest

from tests.inference import small_package


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three packages: "tiny", "poison" (the same under another id) and "strict" (wants at least 10 slices)."""
    root = tmp_path_factory.mktemp("packages")
    small_package.build(root / "tiny")
    small_package.build(root / "poison", toml=small_package.TOML.replace('"test-lungs"', '"test-poison"'))
    small_package.build(root / "strict", toml=small_package.TOML.replace("min_slices = 4", "min_slices = 10"))
    return root
