"""From a checkpoint to the model package: both forms of the network, golden cases of made-up fields, checksums."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from inference import golden, package
from training.microscopy import export
from training.microscopy.network import Detector, Shipped
from training.tb_smear_afb import fields, learn, synthetic
from training.tb_smear_afb.where import CHECKPOINT, HEIGHT, PACKAGE, WIDTH

GOLDEN = {"made-up-positive": (4301, 9, 3), "made-up-negative": (4304, 0, 0)}  # seed, single bacilli, clusters
CALIBRATION_SEEDS = range(2000, 2012)  # made-up fields that are in no other part


def detector(checkpoint: Path = CHECKPOINT) -> Detector:
    """The trained network, ready to answer."""
    made = learn.detector()
    made.load_state_dict(torch.load(checkpoint, weights_only=True)["network"])
    return made.eval()


def observed(data: Path) -> list[npt.NDArray[np.uint8]]:
    """What the quantiser looks at: the fields trained on, and made-up ones."""
    real = [f.pixels for f in fields.training(data)]
    return real + [synthetic.field(seed).pixels for seed in CALIBRATION_SEEDS]


def networks(data: Path, checkpoint: Path = CHECKPOINT, folder: Path = PACKAGE) -> None:
    """Writes network.xml and network-int8.xml."""
    export.ir(Shipped(detector(checkpoint)), (HEIGHT, WIDTH), ("centres", "sizes"), folder / "network.xml")
    export.quantize(folder / "network.xml", observed(data), folder / "network-int8.xml")


def golden_inputs(folder: Path = PACKAGE) -> None:
    """Made-up fields, their grey levels in steps of four so that the files stay small."""
    (folder / "golden").mkdir(parents=True, exist_ok=True)
    for name, (seed, singles, clusters) in GOLDEN.items():
        pixels = synthetic.field(seed, singles, clusters).pixels // 4 * 4
        np.savez_compressed(folder / "golden" / f"{name}.npz", images=pixels[None])


def assemble(data: Path) -> None:
    """Networks, golden cases and checksums; the texts of the package are written by hand and lie in the folder already."""
    networks(data)
    golden_inputs()
    golden.record(PACKAGE)
    package.seal(PACKAGE)
