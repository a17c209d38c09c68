"""Fixtures every folder's tests may use: the real images beside the checkout and a small chest-like CT series."""

from pathlib import Path

import pytest

REAL_IMAGES = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_images() -> Path:
    """The folder of real images; tests that need it are skipped where it is absent."""
    if not REAL_IMAGES.is_dir():
        pytest.skip(f"the real images are not here ({REAL_IMAGES.name} folder beside the checkout is missing)")
    return REAL_IMAGES
