"""A disk that can be made full and empty again: a small tmpfs where we may mount one, else a reserve that is crossed."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HEADROOM = 400_000_000


@dataclass
class Disk:
    """``reserve_gb`` is for [scp]; ``real`` says that writing itself fails when it is full."""

    folder: Path
    reserve_gb: float = 0.0
    real: bool = True

    @property
    def _ballast(self) -> Path:
        return self.folder.parent / f"{self.folder.name}.ballast" if not self.real else self.folder / "ballast"

    def fill(self, leave: int = 0) -> None:
        """Take all space but ``leave`` bytes (or, with a reserve, go below it)."""
        with self._ballast.open("wb") as file:
            while True:  # others take space at the same time
                size = shutil.disk_usage(self.folder).free - leave if self.real else _HEADROOM * 2
                with contextlib.suppress(OSError):
                    os.posix_fallocate(file.fileno(), 0, max(size, 1))
                    return

    def relieve(self) -> None:
        """The space is back."""
        self._ballast.unlink(missing_ok=True)


@contextlib.contextmanager
def disk(folder: Path, size: int) -> Iterator[Disk]:
    """A disk of ``size`` bytes, until the end of the block."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    may = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    found = Disk(folder) if may else Disk(folder, (shutil.disk_usage(folder).free - _HEADROOM) / 1e9, real=False)
    try:
        yield found
    finally:
        found.relieve()
        if may:
            subprocess.run(["umount", "-l", str(folder)], check=True)
