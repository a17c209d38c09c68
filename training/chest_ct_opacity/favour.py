"""How much should opacity be favoured over healthy lung? ``python -m training.chest_ct_opacity.favour`` prints what each value does.

Only images of the training part are looked at: annotated slices, CT slices with small painted opacities, healthy CT slices and
phantoms. The value chosen is ``network.FAVOUR``.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from training.chest_ct_opacity import pool
from training.chest_ct_opacity.network import LUNG_CLASSES, Network

VALUES = (0.0, 0.4, 0.8, 1.2, 1.6)
LEAST_SHARE = 0.005
KINDS = {
    "annotated": "semiseg-*-1.npz",
    "small": "nysbu-*-small*.npz",
    "healthy": "nysbu-*-0.npz",
    "phantoms": "phantom-10[01]?.npz",
}
Labels = npt.NDArray[np.uint8]


def _slices(pattern: str, every: int) -> Iterator[tuple[npt.NDArray[np.int16], Labels, Labels]]:
    """Three neighbouring slices, lungs and opacity of the middle one."""
    for path in sorted((pool.OUT / "pool").glob(pattern)):
        stack = pool.load(path)
        middles = [1] if len(stack.hu) == 3 else range(1, len(stack.hu) - 1, every)
        for k in middles:
            yield stack.hu[k - 1 : k + 2], stack.lungs[k], stack.opacity[k]


class Tally:
    """Dice of the slices with opacity, slices missed, false opacity in the others; one column for each value."""

    def __init__(self) -> None:
        self.dice: list[list[float]] = []
        self.found: list[list[bool]] = []
        self.false: list[list[float]] = []

    def add(self, logits: npt.NDArray[np.float32], lungs: Labels, opacity: Labels) -> None:
        """One slice; ``logits`` (3, H, W) of the opacity head."""
        known = opacity != pool.IGNORE
        truth = (opacity > 0) & known
        answers = [(logits[1:].max(0) + value > logits[0]) & known for value in VALUES]
        inside = max(1, int(((lungs > 0) & (lungs != pool.IGNORE)).sum()))
        if truth.sum() >= LEAST_SHARE * inside:
            self.dice.append([2 * float((a & truth).sum()) / float(a.sum() + truth.sum()) for a in answers])
            self.found.append([bool((a & truth).any()) for a in answers])
        elif not truth.any() and known.all():
            self.false.append([100 * float(a.sum()) / inside for a in answers])

    def means(self) -> dict[str, list[float]]:
        """Means over slices, in the order of VALUES."""
        parts = {"dice": self.dice, "found": self.found, "false_percent": self.false}
        return {name: [round(float(v), 3) for v in np.mean(rows, 0)] for name, rows in parts.items() if rows}


def table(network: Network, every: int = 4) -> dict[str, dict[str, list[float]]]:
    """What each value does to each kind of training image; every fourth slice of the phantoms."""
    made = {}
    for kind, pattern in KINDS.items():
        tally = Tally()
        for hu, lungs, opacity in _slices(pattern, every):
            with torch.no_grad():
                logits = network(torch.from_numpy(hu[None].astype(np.float32)))[0, LUNG_CLASSES:]
            tally.add(logits.numpy(), lungs, opacity)
        made[kind] = tally.means()
    return made


def main() -> None:
    """Prints the table of a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, nargs="?", default=pool.OUT / "network.pt")
    torch.set_num_threads(1)
    network = Network()
    network.load_state_dict(torch.load(parser.parse_args().checkpoint, weights_only=True)["network"])
    print(json.dumps({"values": VALUES, **table(network.eval())}, indent=1))


if __name__ == "__main__":
    main()
