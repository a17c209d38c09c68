"""The card's picture of failures, from a composed field of made-up cells: real ones may not be shown here."""

from pathlib import Path

import numpy as np

from training.cervical_lbc import compose, fields, synthetic
from training.microscopy.failures import of_field, sheet, spread

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "cervical-lbc-failures.jpg"
NAMES = ("superficial", "intermediate", "columnar", "mild", "moderate", "severe", "in situ")  # as in where.CLASSES
FIRST_SEED, EACH = 9400, 6  # cells painted for nothing else
FIELD, CELLS, SEED, SIDE, SLACK = 3072, 150, 9401, 320, 5.0


def draw() -> None:
    """Writes PICTURE: what was missed, made up or named wrong, of each kind in turn."""
    stamps = [compose.stamp(synthetic.cell(FIRST_SEED + n, kind)) for kind in range(len(NAMES)) for n in range(EACH)]
    rng = np.random.default_rng(SEED)
    light, truth = compose.field(stamps, rng.integers(0, len(NAMES), CELLS).tolist(), FIELD, FIELD, 2.0, rng)
    pixels = np.asarray(light * 255, np.uint8)
    found = fields.read(*fields.networks("int8"), pixels, 1024)
    sheet(spread(list(of_field(pixels, found, truth, SLACK, NAMES))), SIDE, PICTURE)
