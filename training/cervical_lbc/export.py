"""From checkpoints to the model package: cell finder in both forms, and classifier."""

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from inference import golden, package
from training.cervical_lbc import cells, compose, learn
from training.cervical_lbc.classifier import Classifier, ShippedClassifier
from training.cervical_lbc.where import CLASSIFIER, CROP, DETECTOR, PACKAGE
from training.microscopy import export
from training.microscopy.network import Shipped

TILE = 1024
GOLDEN = {"made-up-abnormal": (501, [0, 1, 2, 3, 4, 5, 6] * 3), "made-up-normal": (502, [0, 1] * 8)}  # seed, classes of the cells


def detector() -> Shipped:
    """The trained cell finder as it is shipped."""
    made = learn.detector()
    made.load_state_dict(torch.load(DETECTOR, weights_only=True)["network"])
    return Shipped(made.eval())


def classifier(checkpoint: Path = CLASSIFIER) -> ShippedClassifier:
    """The trained classifier as it is shipped."""
    made = Classifier()
    made.load_state_dict(torch.load(checkpoint, weights_only=True)["network"])
    return ShippedClassifier(made.eval())


def observed(data: Path) -> list[npt.NDArray[np.uint8]]:
    """Fields for the quantiser to look at, composed of cells trained on and of made-up ones."""
    rng, found = np.random.default_rng(77), []
    for pool in (cells.training(cells.read(data)), learn.made()):
        stamps = [compose.stamp(c) for c in pool]
        for _ in range(6):
            light, _ = compose.field(stamps, rng.integers(0, 7, 60).tolist(), TILE, TILE, 1.0, rng)
            found.append(np.asarray(light * 255, np.uint8))
    return found


def networks(data: Path, folder: Path = PACKAGE) -> None:
    """Writes network.xml and its INT8 form, and crops.xml, which goes with both."""
    export.ir(detector(), (TILE, TILE), ("centres", "sizes"), folder / "network.xml")
    export.quantize(folder / "network.xml", observed(data), folder / "network-int8.xml")
    export.ir(classifier(), (CROP, CROP), ("cell", "abnormal"), folder / "crops.xml")
    for suffix in (".xml", ".bin"):  # in 8 bits the classifier loses more than it may: it stays as it is
        shutil.copyfile(folder / f"crops{suffix}", folder / f"crops-int8{suffix}")


def golden_inputs(folder: Path = PACKAGE) -> None:
    """Fields of made-up cells alone, their grey levels in steps of four so that the files stay small."""
    (folder / "golden").mkdir(parents=True, exist_ok=True)
    stamps = [compose.stamp(c) for c in learn.made()]
    for name, (seed, kinds) in GOLDEN.items():
        light, _ = compose.field(stamps, kinds, TILE, TILE, 2.0, np.random.default_rng(seed))
        np.savez_compressed(folder / "golden" / f"{name}.npz", images=(np.asarray(light * 255, np.uint8) // 4 * 4)[None])


def assemble(data: Path) -> None:
    """Networks, golden cases and checksums; the texts of the package are written by hand and lie in the folder already."""
    networks(data)
    golden_inputs()
    golden.record(PACKAGE)
    package.seal(PACKAGE)
