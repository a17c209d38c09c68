"""The card's picture of failures, from the diseased phantoms of evaluate: real slices may not be shown here."""

from pathlib import Path

import numpy as np

from inference.analyse import Analyser
from training import contours
from training.chest_ct_opacity.evaluate import SICK_SEEDS, sensitive, volumes

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "chest-ct-opacity-failures.jpg"
EACH, LEAST = 2, 400  # slices of each phantom, pixels of opacity on them


def draw() -> None:
    """Writes PICTURE: of each phantom the slices with the lowest Dice of both opacities together."""
    analyser, worst = Analyser(sensitive(), "fp32"), []
    for volume, _, opacity in volumes(SICK_SEEDS, 6):
        answer, truth = analyser.read(volume).layers[1] > 0, opacity > 0
        both, total = (truth & answer).sum((1, 2)), truth.sum((1, 2)) + answer.sum((1, 2))
        dice = np.where(truth.sum((1, 2)) >= LEAST, 2 * both / np.maximum(total, 1), np.inf)
        order = [k for k in np.argsort(dice) if np.isfinite(dice[k])]
        apart = [k for n, k in enumerate(order) if all(abs(int(k) - int(other)) > 3 for other in order[:n])]
        for k in apart[:EACH]:
            grey = np.clip((volume.hu[k].astype(float) + 1350) / 1500 * 255, 0, 255).astype(np.uint8)
            worst.append((grey, truth[k], answer[k]))
    contours.sheet(worst, PICTURE)
