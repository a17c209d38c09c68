"""Fixtures every folder's tests may use: the real images beside the checkout and a small chest-like CT series."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

REAL_IMAGES = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_images() -> Path:
    """The folder of real images; tests that need it are skipped where it is absent."""
    if not REAL_IMAGES.is_dir():
        pytest.skip(f"the real images are not here ({REAL_IMAGES.name} folder beside the checkout is missing)")
    return REAL_IMAGES


@pytest.fixture(autouse=True)
def few_open_files() -> Iterator[None]:
    """Stores and spools that a test drops lie in cycles until they are collected, and each holds files open meanwhile.

    Stock pynetdicom, which tests run beside us, waits with select(), and that cannot take a descriptor above 1023.
    """
    yield
    if open_files() > 250:
        gc.collect()
        assert open_files() < 700, "files stay open when tests end"


def open_files() -> int:
    """How many descriptors this process holds."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
