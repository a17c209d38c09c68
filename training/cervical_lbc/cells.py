"""The real single cells (Herlev): bars stripped, parted by source picture into those to train on and those held out."""

import csv
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from training.cervical_lbc.where import CLASSES

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Cell:
    """``pixels`` uint8 (rows, columns, 3) of the cell alone, its frame tight around it; ``kind`` indexes CLASSES.

    ``group`` is the picture it was cut from: cells of one group never lie in two parts. ``bar`` is the colour of the bars.
    """

    name: str
    group: str
    kind: int
    pixels: npt.NDArray[np.uint8]
    bar: tuple[int, int, int]

    @property
    def fold(self) -> int:
        """Part 0 to 4 the cell belongs to; a property of its group."""
        return zlib.crc32(self.group.encode()) % FOLDS


def strip(image: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], tuple[int, int, int]]:
    """Without the plain bars that made the picture square; and their colour (black when there are none)."""
    values = image.astype(np.float32)
    plain_rows, plain_columns = values.std(1).max(1) < 3.0, values.std(0).max(1) < 3.0
    rows, columns = np.nonzero(~plain_rows)[0], np.nonzero(~plain_columns)[0]
    if not len(rows) or not len(columns):
        return image, (0, 0, 0)
    part = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    colour = image[0, 0] if plain_rows[0] or plain_columns[0] else np.zeros(3, np.uint8)
    inner = part[1:-1, 1:-1] if min(part.shape[:2]) > 40 else part  # the seam is a mixture
    return np.ascontiguousarray(inner), (int(colour[0]), int(colour[1]), int(colour[2]))


def read(data: Path) -> list[Cell]:
    """All cells, brought to one size first: the publisher's two parts differ in size, which would give labels away."""
    root, found = data / "cervical" / "herlev_917", []
    with (root / "labels.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            with Image.open(root / row["file"]) as image:
                pixels = np.asarray(image.convert("RGB").resize((200, 200), Image.Resampling.BILINEAR))
            part, bar = strip(pixels)
            stem = Path(row["file"]).stem
            found.append(Cell(row["file"], stem.split("-")[0], CLASSES.index(row["class7"]), part, bar))
    return found


def training(cells: list[Cell], fold: int = 0) -> list[Cell]:
    """The cells to train on when ``fold`` is held out."""
    return [c for c in cells if c.fold != fold]


def held_out(cells: list[Cell], fold: int = 0) -> list[Cell]:
    """The cells of ``fold``."""
    return [c for c in cells if c.fold == fold]
