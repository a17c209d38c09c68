"""How commands speak: tables for people, JSON for programs, both from the same rows."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return str(value) if isinstance(value, Path) else value


def show_json(value: Any) -> None:
    """Print as indented JSON."""
    print(json.dumps(plain(value), indent=2, ensure_ascii=False))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str = "nothing") -> None:
    """Print a table; ``empty`` instead of one without rows."""
    if not rows:
        print(empty)
        return
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    # Into a pipe nothing is cut: programs and grep see whole lines.
    Console(width=None if sys.stdout.isatty() else 1000, highlight=False, markup=False).print(table)


def _text(cell: object) -> str:
    if isinstance(cell, datetime):
        return cell.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return "" if cell is None else str(cell)


def show_pairs(pairs: Mapping[str, object]) -> None:
    """Print names and values, one per line."""
    width = max(map(len, pairs))
    for name, value in pairs.items():
        print(f"{name:<{width}}  {_text(value)}")
