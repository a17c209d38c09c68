"""Starts writing file content to the disk without waiting, so that a later sync finds little left to do."""

import ctypes
import os
from collections.abc import Callable
from typing import Any, Final

_WRITE: Final = 2  # SYNC_FILE_RANGE_WRITE of sync_file_range(2): begin, wait for nothing


def _find() -> Callable[[int, int, int, int], Any] | None:
    """The function of the C library; Linux has it, others need not."""
    function = getattr(ctypes.CDLL(None), "sync_file_range", None) if os.name == "posix" else None
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return function


_SYNC_FILE_RANGE: Final = _find()


def write_out(fd: int, offset: int, length: int) -> None:
    """Begin to write out these bytes. It is no promise and never fails: an error of the disk shows in the sync."""
    if _SYNC_FILE_RANGE is not None:
        _SYNC_FILE_RANGE(fd, offset, length, _WRITE)
