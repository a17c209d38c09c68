"""From a PyTorch module to OpenVINO IR with half-precision weights, and from that to INT8 (NNCF, post-training)."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openvino as ov
import torch

Images = Sequence[npt.NDArray[np.uint8]]
# Arithmetic around the network proper. Rounded to 8 bits the optical density is coarse, and a peak no longer equals its maximum.
EXACT = (
    "Log", "Multiply", "Divide", "Subtract", "ReduceSum", "Clamp", "Greater", "ReduceMax", "MaxPool", "GreaterEqual",
    "Sigmoid", "LogicalAnd", "Convert", "Exp", "Minimum", "Maximum",
)  # fmt: skip


def ir(module: torch.nn.Module, size: tuple[int, int], outputs: Iterable[str], target: Path) -> None:
    """Writes ``target`` and its .bin: input ``image`` uint8 [1, H, W, 3], outputs named in order."""
    example = torch.zeros(1, *size, 3, dtype=torch.uint8)
    with torch.no_grad():
        model = ov.convert_model(module.eval(), example_input=example, input=[("image", [1, *size, 3], np.uint8)])
    for port, name in zip(model.outputs, outputs, strict=True):
        port.get_tensor().set_names({name})
    ov.save_model(model, target, compress_to_fp16=True)


def quantize(source: Path, images: Images, target: Path) -> None:
    """Writes the INT8 form of ``source`` at ``target``, observed on ``images`` (H, W, 3)."""
    import nncf

    model = ov.Core().read_model(source)
    dataset = nncf.Dataset(list(images), lambda image: image[None])
    left_alone = nncf.IgnoredScope(types=list(EXACT), validate=False)
    small = nncf.quantize(model, dataset, preset=nncf.QuantizationPreset.MIXED, subset_size=len(images), ignored_scope=left_alone)
    ov.save_model(small, target, compress_to_fp16=True)
