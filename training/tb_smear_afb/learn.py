"""Training of the smear detector on real fields, made-up fields and pasted bacilli."""

from pathlib import Path

import numpy as np
import torch

from training.microscopy import learn
from training.microscopy.network import Detector
from training.tb_smear_afb import fields, synthetic, tiles
from training.tb_smear_afb.where import CHECKPOINT, CLASSES, OUT

MADE_SEEDS = range(1, 97)
BATCH, SEED = 12, 1


def prepare() -> None:
    """Paints the made-up fields once."""
    folder = OUT / "pool"
    folder.mkdir(parents=True, exist_ok=True)
    for seed in MADE_SEEDS:
        path = folder / f"made-{seed:03d}.npz"
        if not path.exists():
            made = synthetic.field(seed)
            np.savez(path, pixels=made.pixels, boxes=made.boxes)


def _made() -> list[fields.SmearField]:
    held = []
    for path in sorted((OUT / "pool").glob("made-*.npz")):
        with np.load(path) as file:
            held.append(fields.SmearField(path.stem, file["pixels"], file["boxes"]))
    return held


def detector() -> Detector:
    """The network without weights."""
    return Detector(len(CLASSES))


def train(data: Path, steps: int, minutes: float, checkpoint: Path = CHECKPOINT) -> None:
    """Trains and writes ``checkpoint``; goes on from it when it exists."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # the second core makes the batches
    source = tiles.Tiles(fields.training(data), _made(), SEED)
    learn.train(learn.Learner(detector(), checkpoint), lambda: source.batch(BATCH), steps, minutes, SEED)
