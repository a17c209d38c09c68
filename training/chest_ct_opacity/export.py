"""From a checkpoint to the model package: OpenVINO IR with half-precision weights, golden cases, checksums."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch

from inference import golden, package, quantizing
from training.chest_ct_opacity import calibrate, favour, pool, resume, scan
from training.chest_ct_opacity.network import Labeller, Network
from training.chest_ct_opacity.real import SIZE
from training.chest_ct_opacity.where import PACKAGE

GOLDEN = {"phantom-positive": (4242, 5), "phantom-negative": (4243, 0)}  # seed, opacities


def network(checkpoint: Path) -> Network:
    """The trained network, ready to answer."""
    made = Network()
    made.load_state_dict(torch.load(checkpoint, weights_only=True)["network"])
    return made.eval()


def ir(source: Path, target: Path) -> None:
    """Writes ``target`` and its .bin: input ``hu`` float32 [N,3,H,W], outputs ``lungs`` and ``opacity`` uint8 [N,H,W].

    ``source`` is a checkpoint, or a network.xml whose weights are kept.
    """
    core = ov.Core()
    core.set_property({"ENABLE_MMAP": False})  # the target may be the source
    model = core.read_model(source) if source.suffix == ".xml" else _converted(source)
    favour.add(model, favour.FAVOUR - favour.of(model))
    ov.save_model(model, target, compress_to_fp16=True)


def _converted(checkpoint: Path) -> Any:
    example = torch.zeros(1, 3, SIZE, SIZE)
    with torch.no_grad():
        model = ov.convert_model(
            Labeller(network(checkpoint)), example_input=example, input=[("hu", [-1, 3, SIZE, SIZE], np.float32)]
        )
    model.set_rt_info(torch.load(checkpoint, weights_only=True)["history"], resume.HISTORY)
    for port, name in zip(model.outputs, ("lungs", "opacity"), strict=True):
        port.get_tensor().set_names({name})
    return model


def _golden_input(folder: Path, name: str, seed: int, count: int) -> None:
    levels = np.arange(-40, 330, 7.0, dtype=np.float32)
    hu, _, _, spacing = scan.study(seed, 128, lesion_count=count, z=levels, fov_mm=380.0, quiet=0.3)
    folder.mkdir(exist_ok=True)
    np.savez_compressed(folder / f"{name}.npz", hu=hu, spacing=np.array(spacing))


def assemble(source: Path, folder: Path = PACKAGE) -> None:
    """Network, golden cases, INT8 network and checksums; the texts of the package are written by hand and lie in ``folder``."""
    quantizing.strip(folder)
    for name, (seed, count) in GOLDEN.items():
        _golden_input(folder / "golden", name, seed, count)
    ir(source, folder / "network.xml")
    golden.record(folder)
    package.seal(folder)
    quantizing.quantize(folder, more=calibrate.inputs(pool.OUT / "pool"), careful=True)
