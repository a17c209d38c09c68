"""``batch.csv``: one row per study, written as studies end, so that an interrupted call leaves what it knew."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

from node.batch import Row
from node.spreadsheet import harmless

FILE: Final = "batch.csv"
COLUMNS: Final = (
    "study_uid",
    "model",
    "state",
    "outcome",
    "summary",
    "why",
    "measurements",
    "images",
    "seconds",
    "kept",
    "folder",
    "input_digest",
    "package_digest",
)


def written(rows: Iterable[Row], folder: Path, model: str, package_digest: str) -> Iterator[Row]:
    """The same rows; each is in the file before it is handed on."""
    with (folder / FILE).open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS)
        table.writeheader()
        stream.flush()
        for row in rows:
            values = asdict(row) | {"kept": "yes" if row.kept else "", "model": model, "package_digest": package_digest}
            table.writerow({name: harmless(value) for name, value in values.items()})
            stream.flush()
            yield row
