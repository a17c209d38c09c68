"""What favouring opacity by more or less does, measured on images of the training part; ``favour.FAVOUR`` was chosen from it.

Annotated slices left out of the last training (their grey levels read rightly, too dark and too bright), healthy CT slices with
and without painted opacities, and phantoms never trained on. No image that the figures of the card are measured on.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from training.chest_ct_opacity import favour, pool, real, scan
from training.chest_ct_opacity.where import PACKAGE

VALUES = (0.0, 0.4, 0.8, 1.2, 1.6, 2.0)
PAINTED, PHANTOM_SEEDS = 12, range(9600, 9606)
Labels = npt.NDArray[np.uint8]
Case = tuple[str, npt.NDArray[np.float32], Labels, Labels]


def _annotated(data: Path) -> Iterator[Case]:
    for name, (air, tissue) in real.READINGS.items():
        for _, slice_ in real.semiseg_read(data, real.CHOICE_SLICES, air, tissue):
            yield f"annotated slices, {name}", np.repeat(slice_.hu[None], 3, 0), slice_.lungs, slice_.opacity


def _ct(data: Path) -> Iterator[Case]:
    for name, slice_ in real.nysbu(data):
        if name.startswith(real.HEALTHY):
            yield "healthy CT slices", np.repeat(slice_.hu[None], 3, 0), slice_.lungs, slice_.opacity
            for k in range(PAINTED):
                stack = pool.with_lesions(slice_, np.random.default_rng(70000 + k), 1 + k % 3, 0.0)
                yield "opacities painted into them", stack.hu.astype(np.float32), stack.lungs[1], stack.opacity[1]


def _phantoms() -> Iterator[Case]:
    for seed in PHANTOM_SEEDS:
        hu, lungs, opacity, _ = scan.study(seed, lesion_count=seed % 4, diffuse=0.0)
        for k in range(1, len(hu) - 1, 3):
            if (lungs[k] > 0).sum() > 500:
                kind = "phantom slices with opacities" if opacity[k].any() else "normal phantom slices"
                yield kind, hu[k - 1 : k + 2].astype(np.float32), lungs[k], opacity[k]


def _logits() -> Any:
    model = ov.Core().read_model(PACKAGE / "network.xml")
    favour.add(model, -favour.of(model))
    before = next(node for node in model.get_ordered_ops() if node.get_type_name() == "TopK").input_value(0).get_node()
    logits = ov.Model([before.input_value(0).get_node()], model.get_parameters())
    compiled = ov.Core().compile_model(logits, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda hu: compiled({"hu": hu[None]})[0][0]


def table(data: Path) -> dict[str, dict[str, float]]:
    """For each kind of image and each value: the mean Dice of the slices, or the percent of healthy lung called opacity."""
    run, found = _logits(), dict[str, dict[str, list[float]]]()
    for kind, hu, lungs, opacity in (*_annotated(data), *_ct(data), *_phantoms()):
        logits, known = run(hu)[3:], opacity != pool.IGNORE
        for value in VALUES:
            answer = (logits[1:].max(0) + value > logits[0]) & known
            truth = (opacity > 0) & known
            lung = (lungs > 0) & (lungs != pool.IGNORE)
            score = 2 * (answer & truth).sum() / (answer.sum() + truth.sum()) if truth.any() else 100 * answer[lung].mean()
            found.setdefault(kind, {}).setdefault(f"{value:g}", []).append(float(score))
    return {kind: {value: round(float(np.mean(scores)), 3) for value, scores in row.items()} for kind, row in found.items()}
