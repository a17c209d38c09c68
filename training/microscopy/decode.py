"""A shipped detector asked directly: from pixels to objects, the way the node does it (peaks, suppression per class)."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from training.microscopy.network import STRIDE
from training.microscopy.score import overlaps

Found = npt.NDArray[np.float32]  # (n, 6): centre x, centre y, width, height, class, score
HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


def compiled(folder: Path, stem: str, precision: str, size: tuple[int, int] | None = None) -> Any:
    """The network of a package folder at a precision, for another input ``size`` when it is given."""
    file = folder / (f"{stem}-int8.xml" if precision == "int8" else f"{stem}.xml")
    core = ov.Core()
    model = core.read_model(file)
    if size:
        model.reshape([1, *size, 3])
    return core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": HINTS[precision]})


def alone(found: Found, iou: float) -> Found:
    """Without those that a better one of their class overlaps by more than ``iou``; best first."""
    found = found[np.argsort(-found[:, 5], kind="stable")]
    both = overlaps(found, found) * (found[:, None, 4] == found[None, :, 4])
    kept: list[int] = []
    for i in range(len(found)):
        if not kept or both[i, kept].max() <= iou:
            kept.append(i)
    return found[kept]


def objects(network: Any, pixels: npt.NDArray[np.uint8], least: float, iou: float = 0.4) -> Found:
    """What the network sees in an image of exactly its size (rows, columns, 3), in pixels of it."""
    answer = network(pixels[None])
    heat, size = np.asarray(answer["centres"][0]), np.asarray(answer["sizes"][0])
    kind, row, column = np.nonzero(heat >= least)
    middle = (np.stack([column, row], 1) + 0.5) * STRIDE
    found = np.concatenate([middle, size[:, row, column].T, kind[:, None], heat[kind, row, column][:, None]], 1)
    return alone(found.astype(np.float32), iou)
