"""The real Ziehl-Neelsen fields with their boxes, parted by field into those to train on and those held out."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.microscopy.heat import Boxes
from training.tb_smear_afb.where import HEIGHT, WIDTH

HELD_OUT = ("8", "17", "21", "32", "37", "47")  # of each of the colours in the set
KINDS = {"single bacillus": 0, "bacilli cluster": 1, "unclassified red structures": -1, "artifacts": -2}


@dataclass(frozen=True, slots=True)
class SmearField:
    """``pixels`` uint8 (rows, columns, 3); ``boxes`` in its pixels (heat.Boxes)."""

    name: str
    pixels: npt.NDArray[np.uint8]
    boxes: Boxes


def _boxes(folder: Path, name: str, factor: float) -> Boxes:
    rows = []
    with (folder / "boxes.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["image"] == f"{name}.jpg":
                x, y, w, h = (float(row[k]) * factor for k in ("x", "y", "w", "h"))
                rows.append((x + w / 2, y + h / 2, w, h, KINDS[row["label"]]))
    return np.array(rows, np.float32).reshape(-1, 5)


def names(data: Path) -> list[str]:
    """All fields there are, in order of their numbers."""
    return sorted((p.stem for p in (data / "tb" / "znsm_sputum" / "clean_images").glob("*.jpg")), key=int)


def read(data: Path, name: str, width: int = WIDTH, height: int = HEIGHT) -> SmearField:
    """Field ``name`` brought to that size; its boxes with it."""
    folder = data / "tb" / "znsm_sputum"
    with Image.open(folder / "clean_images" / f"{name}.jpg") as image:
        factor = width / image.width
        pixels = np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BOX))
    return SmearField(name, pixels, _boxes(folder, name, factor))


def training(data: Path) -> list[SmearField]:
    """The fields to train on."""
    return [read(data, n) for n in names(data) if n not in HELD_OUT]


def held_out(data: Path) -> list[SmearField]:
    """The fields never trained on."""
    return [read(data, n) for n in names(data) if n in HELD_OUT]
