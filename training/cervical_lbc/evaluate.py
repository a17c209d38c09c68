"""Measures the cervical package on cells that the judging network never saw; writes figures.json, which the card is made of."""

import json
from pathlib import Path
from typing import Any

from training.cervical_lbc import cells, fields, nuclei, singles, slides

FIGURES = Path(__file__).parent / "figures.json"


def measure(data: Path) -> dict[str, Any]:
    """All figures of the card."""
    every = cells.read(data)
    parts = {"singles": singles.measure, "lone": fields.measure_lone, "fields": fields.measure, "slides": slides.measure}
    figures: dict[str, Any] = {"nuclei": nuclei.measure(data, every)}
    for name, part in parts.items():
        figures[name] = part(every)
        print(name, flush=True)
    return figures


def write(figures: dict[str, Any]) -> None:
    """Writes figures.json."""
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
