"""The small test package with a convolution in it, so that there is something to quantise, and with an INT8 file of choice."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as op

from inference import golden, package
from tests.inference import small_package


def graph(shift: float = 0.0) -> ov.Model:
    """Lungs below -500 HU and above -930, ground glass between -720 and -400 HU, all ``shift`` HU higher."""
    hu = op.parameter([-1, 3, 64, 64], np.float32, name="hu")
    hu.get_output_tensor(0).set_names({"hu"})
    scaled = op.divide(op.add(hu, op.constant(np.float32(1024))), op.constant(np.float32(2048)))
    pick = np.zeros((1, 3, 1, 1), np.float32)
    pick[0, 1] = 1
    middle = op.squeeze(op.relu(op.convolution(scaled, op.constant(pick), [1, 1], [0, 0], [0, 0], [1, 1])), [1])

    def between(low: float, high: float) -> Any:
        low, high = ((value + shift + 1024) / 2048 for value in (low, high))
        return op.logical_and(
            op.greater_equal(middle, op.constant(np.float32(low))), op.less(middle, op.constant(np.float32(high)))
        )

    side = op.constant(np.where(np.arange(64) >= 32, 1, 2).astype(np.uint8).reshape(1, 1, 64))
    zero, one = (op.constant(np.uint8(v)) for v in (0, 1))
    results = [op.select(between(-930, -500), side, zero), op.select(between(-720, -500), one, zero)]
    for name, node in zip(("lungs", "opacity"), results, strict=True):
        node.output(0).set_names({name})
    return ov.Model(results, [hu], "test")


def build(folder: Path) -> Path:
    """A sealed package without an INT8 network."""
    return small_package.build(folder, model=graph())


def with_int8(folder: Path, shift: float = 0.0) -> Path:
    """A sealed package whose "INT8" network finds everything ``shift`` HU higher."""
    small_package.write(folder, model=graph())
    golden.record(folder)
    toml = folder / "package.toml"
    toml.write_text(toml.read_text().replace("[precision]\n", "[precision]\nint8 = true\n"))
    ov.save_model(graph(shift), folder / "network-int8.xml", compress_to_fp16=False)
    package.seal(folder)
    return folder
