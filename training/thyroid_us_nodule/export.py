"""From checkpoints to the model package: two OpenVINO networks with half-precision weights, golden cases, checksums."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from torch import nn

from inference import golden, package
from training.thyroid_us_nodule import evaluate, learn, phantom, pool
from training.thyroid_us_nodule.crop_network import CropNetwork, Describer
from training.thyroid_us_nodule.network import Network, Outliner
from training.thyroid_us_nodule.tirads import OUTPUTS, SIDE
from training.thyroid_us_nodule.where import PACKAGE

GOLDEN = {
    "one-calibrated": ((2_000_001,), 0.15),
    "one-in-pixels": ((2_000_002,), 0.0),
    "frames": ((2_000_003,) * 3, 0.2),
}  # seeds, mm


def outliner(checkpoint: Path) -> Outliner:
    """The trained outlining network, ready to answer."""
    made = Network()
    made.load_state_dict(torch.load(checkpoint, weights_only=True)["network"])
    return Outliner(made).eval()


def describer(checkpoint: Path) -> Describer:
    """The trained describing network, ready to answer."""
    made = CropNetwork()
    made.load_state_dict(torch.load(checkpoint, weights_only=True)["network"])
    return Describer(made).eval()


def _save(module: nn.Module, shape: tuple[int, ...], names: tuple[str, ...], target: Path) -> None:
    example = torch.zeros(1, *shape[1:], dtype=torch.uint8)
    with torch.no_grad():
        model = ov.convert_model(module, example_input=example, input=[("image", list(shape), np.uint8)])
    for port, name in zip(model.outputs, names, strict=True):
        port.get_tensor().set_names({name})
    ov.save_model(model, target, compress_to_fp16=True)


def networks(outline: Path, features: Path, folder: Path) -> None:
    """Writes network.xml (``image`` to ``probability``) and crops.xml (``image`` with mask to the scores of each feature)."""
    _save(outliner(outline), (-1, learn.SIDE, learn.SIDE, 3), ("probability",), folder / "network.xml")
    _save(describer(features), (-1, SIDE, SIDE, 4), OUTPUTS, folder / "crops.xml")


MOST_DROP = 0.003  # of the mean Dice by INT8, on validation phantoms
VALIDATED = 160  # of the validation phantoms
# Arithmetic around the network proper: the evening out of brightness and contrast, and the way from logits to probabilities.
EXACT = ("Multiply", "Divide", "Subtract", "ReduceMean", "ReduceSum", "Power", "Sqrt", "Clamp", "Greater", "Sigmoid", "Convert")


def quantize(source: Path, target: Path) -> None:
    """Writes the INT8 form of ``source``; layers that cost Dice stay as they are (NNCF, accuracy control)."""
    import nncf

    begin = pool.CALIBRATION_SEED
    looked_at = [evaluate.network_input(phantom.make(begin + k).pixels) for k in range(pool.CALIBRATION_COUNT)]
    judged = [phantom.make(pool.VALIDATION_SEED + k) for k in range(VALIDATED)]

    def dice(compiled: Any, numbers: Iterable[int]) -> tuple[float, list[float]]:
        seen = evaluate.cases(lambda image: [compiled({0: image})[0]], [judged[k] for k in numbers])
        return evaluate.mean_dice(seen), [evaluate.picture_dice(case) for case in seen]

    small = nncf.quantize_with_accuracy_control(
        ov.Core().read_model(source),
        calibration_dataset=nncf.Dataset(looked_at, lambda image: image[None]),
        validation_dataset=nncf.Dataset(list(range(VALIDATED))),
        validation_fn=dice,
        max_drop=MOST_DROP,
        drop_type=nncf.DropType.ABSOLUTE,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(looked_at),
        ignored_scope=nncf.IgnoredScope(types=list(EXACT), validate=False),
    )
    ov.save_model(small, target, compress_to_fp16=True)


def assemble(outline: Path, features: Path, folder: Path = PACKAGE) -> None:
    """Networks, golden cases and checksums; the texts of the package are written by hand and lie in ``folder`` already."""
    networks(outline, features, folder)
    quantize(folder / "network.xml", folder / "network-int8.xml")
    (folder / "golden").mkdir(exist_ok=True)
    for name, (seeds, mm) in GOLDEN.items():
        pixels = np.stack([phantom.make(seed).pixels for seed in seeds])
        kept = {"images": np.repeat(pixels[..., None], 3, -1)}
        np.savez_compressed(folder / "golden" / f"{name}.npz", **kept, **({"mm_per_pixel": np.array([mm, mm])} if mm else {}))
    (folder / "MODEL_CARD.md").touch()
    golden.record(folder)
    package.seal(folder)
