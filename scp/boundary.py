"""The border between network and storage: whatever goes wrong behind it comes back as a value, never as an exception."""

import logging
import traceback
from collections.abc import Callable
from typing import Final

from domain.errors import AncillaError

LOG: Final = logging.getLogger(__name__)


def attempt(step: Callable[[], object]) -> Exception | None:
    """Run ``step``; the exception it ended with, or None.

    The one broad ``except`` of this folder: a fault in storage must become a status for the sender, not a dead thread.
    """
    try:
        step()
    except Exception as error:  # noqa: BLE001 - see above
        if not isinstance(error, AncillaError):
            LOG.error("unexpected %s", describe(error))
        return error
    return None


def describe(error: Exception) -> str:
    """Type and place of an error, without its text: that may quote what a patient is called."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return f"{type(error).__name__} at " + " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))
