"""From checkpoints to the model package: two OpenVINO networks with half-precision weights, golden cases, checksums."""

from pathlib import Path

import numpy as np
import openvino as ov
import torch
from torch import nn

from inference import golden, package
from training.thyroid_us_nodule import learn, phantom
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


def assemble(outline: Path, features: Path, folder: Path = PACKAGE) -> None:
    """Networks, golden cases and checksums; the texts of the package are written by hand and lie in ``folder`` already."""
    networks(outline, features, folder)
    (folder / "golden").mkdir(exist_ok=True)
    for name, (seeds, mm) in GOLDEN.items():
        pixels = np.stack([phantom.make(seed).pixels for seed in seeds])
        kept = {"images": np.repeat(pixels[..., None], 3, -1)}
        np.savez_compressed(folder / "golden" / f"{name}.npz", **kept, **({"mm_per_pixel": np.array([mm, mm])} if mm else {}))
    (folder / "MODEL_CARD.md").touch()
    golden.record(folder)
    package.seal(folder)
