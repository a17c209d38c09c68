"""``ancilla serve`` whose SQLite answers "database or disk is full" to every write while the file FULL_WHILE exists.

The fault is SQLite's own: the number of pages is limited to those there are (PRAGMA max_page_count), for whoever may not mount
a small disk, and for the moment when only the database has no space left.
"""

import os
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

_SWITCH = Path(os.environ.get("FULL_WHILE", "/nonexistent"))
_ALL = 1 << 30


def limit(connection: Connection) -> None:
    """Before each transaction: no page more, or as many as it likes."""
    raw: Any = connection.connection.driver_connection
    raw.execute(f"PRAGMA max_page_count = {1 if _SWITCH.exists() else _ALL}").close()


event.listen(Engine, "begin", limit)

if __name__ == "__main__":
    from node.__main__ import main

    sys.exit(main())
