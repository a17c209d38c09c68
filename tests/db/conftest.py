"""A store on a real file, and a clock that stands still."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from db.store import Store
from tests.db.nouns import Clock, new_store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    opened = new_store(tmp_path, clock)
    yield opened
    opened.close()
