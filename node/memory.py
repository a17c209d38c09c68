"""How much memory there is, and how much a process has: Linux tells, elsewhere nothing is limited."""

import os
from pathlib import Path
from typing import Final

SHARE: Final = 0.8  # of the machine for jobs: the receiver, the database and the page cache need the rest
_CGROUP: Final = Path("/sys/fs/cgroup/memory.max")


def room() -> int:
    """Bytes that jobs may have together on this machine, or in this container."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = int(_CGROUP.read_text())
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        limit = whole
    return int(SHARE * min(whole, limit))


def private(pid: int) -> int:
    """Resident bytes that belong to a process alone (mapped files do not count); 0 when that is not known."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0
