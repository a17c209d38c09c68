"""Measures the classical nucleus that the classifier learns from, against the masks published for severe dysplasia."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.cervical_lbc import nucleus
from training.cervical_lbc.cells import Cell


def measure(data: Path, every: Sequence[Cell]) -> dict[str, Any]:
    """Share of the cells with a convincing nucleus; Dice on the masked pictures (many are turned copies; none is taught from)."""
    root, dice = data / "cervical" / "herlev_917" / "severe_dysplastic_seg_512", []
    for path in sorted((root / "images").glob("*.jpg")):
        with Image.open(path) as image, Image.open(root / "masks" / path.name) as mask:
            pixels, truth = (
                np.asarray(image.convert("RGB").resize((200, 200))),
                np.asarray(mask.convert("L").resize((200, 200))) > 127,
            )
        found = nucleus.mask(pixels)
        dice.append(0.0 if found is None else 2 * float((found & truth).sum()) / float(found.sum() + truth.sum()))
    return {
        "found": round(float(np.mean([nucleus.mask(c.pixels) is not None for c in every])), 3),
        "masks": len(dice),
        "dice_median": round(float(np.median(dice)), 3),
        "dice_at_least_80": round(float(np.mean(np.array(dice) >= 0.8)), 3),
    }
