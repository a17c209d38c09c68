"""Training of the cell finder (composed fields and lone cells) and of the cell classifier (real and made-up cells)."""

import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.cervical_lbc import cells, compose, crops, synthetic
from training.cervical_lbc.classifier import Classifier
from training.cervical_lbc.where import CLASSES, CLASSIFIER, DETECTOR, OUT
from training.microscopy import augment, learn
from training.microscopy.heat import Boxes
from training.microscopy.network import Detector

SIDE, BATCH, CROPS, SEED = 256, 12, 32, 1
MADE_PER_CLASS, MADE = 90, (0.4, 0.08)  # painted; share of them in the first batches of the classifier, and later


def detector() -> Detector:
    """The cell finder without weights: one class, five levels."""
    return Detector(1, (16, 32, 64, 96, 96))


def prepare() -> None:
    """Paints the made-up cells once."""
    OUT.mkdir(parents=True, exist_ok=True)
    for kind in range(len(CLASSES)):
        for seed in range(1, MADE_PER_CLASS + 1):
            path = OUT / f"made-{kind}-{seed:03d}.npz"
            if not path.exists():
                np.savez(path, pixels=synthetic.cell(seed, kind).pixels)


def made() -> list[cells.Cell]:
    """The made-up cells, as ``prepare`` painted them."""
    found = []
    for path in sorted(OUT.glob("made-*.npz")):
        with np.load(path) as file:
            found.append(cells.Cell(path.stem, path.stem, int(path.stem.split("-")[1]), file["pixels"], (0, 0, 0)))
    return found


class _Fields:
    """Batches of small composed fields."""

    def __init__(self, real: list[cells.Cell], painted: list[cells.Cell]) -> None:
        self._real = real
        self._stamps = [compose.stamp(c) for c in real], [compose.stamp(c) for c in painted]
        self._rng = np.random.default_rng(SEED)

    def _one(self) -> tuple[compose.Light, Boxes]:
        rng = self._rng
        if rng.random() < 0.2:
            return compose.alone(self._real[rng.integers(len(self._real))], SIDE, rng)
        zoom = math.exp(rng.uniform(math.log(0.6), math.log(1.8)))
        count = rng.poisson(rng.choice([0.5, 4, 9]) / zoom**1.3)
        kinds = rng.choice(len(CLASSES), count, p=np.array([3, 3, 2, 2, 2, 2, 2]) / 16).tolist()
        return compose.field(self._stamps[int(rng.random() < 0.3)], kinds, SIDE, SIDE, zoom, rng)

    def batch(self) -> tuple[Tensor, list[Boxes]]:
        """BATCH tiles as another laboratory would see them; every cell is of class 0."""
        pairs = [self._one() for _ in range(BATCH)]
        dark = torch.from_numpy(np.stack([p[0].max(2) for p in pairs]) < 0.04)[:, None]
        x = torch.from_numpy(np.stack([p[0] for p in pairs])).permute(0, 3, 1, 2).contiguous()
        x = torch.where(dark, 0.0, augment.light(x))  # black edges stay black
        boxes = [np.concatenate([p[1][:, :4], np.zeros((len(p[1]), 1), np.float32)], 1) for p in pairs]
        return augment.compress(x, self._rng), boxes


def train_detector(data: Path, steps: int, minutes: float) -> None:
    """Trains the cell finder on the cells that are not held out."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    source = _Fields(cells.training(cells.read(data)), made())
    learn.train(learn.Learner(detector(), DETECTOR), source.batch, steps, minutes, SEED)


def _goals(kinds: Tensor) -> Tensor:
    """Soft targets: neighbouring grades of dysplasia, and neighbouring normal squamous cells, are near misses."""
    table = torch.full((7, 7), 0.005) + torch.eye(7) * 0.9
    for a, b in ((0, 1), (3, 4), (4, 5), (5, 6)):
        table[a, b] += 0.04
        table[b, a] += 0.04
    return (table / table.sum(1, keepdim=True))[kinds]


def train_classifier(
    data: Path, steps: int, minutes: float, fold: int = 0, checkpoint: Path = CLASSIFIER, seed: int = SEED
) -> None:
    """Trains the classifier with ``fold`` held out, on from ``checkpoint`` when that exists; each batch is seen turned as well.

    Made-up cells are many in the first third of a training from nothing, and few later.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    source = crops.Crops(cells.training(cells.read(data), fold), made(), seed)
    learner = ClassLearner(checkpoint)
    begun, first = learner.steps, MADE[1] if learner.steps else MADE[0]
    started, shown, mean, progress = time.monotonic(), 0.0, 2.0, 0.0
    while (progress := max((learner.steps - begun) / steps, (time.monotonic() - started) / (60 * minutes))) < 1:
        x, kinds, lesson = source.batch(CROPS, max(MADE[1], first * (1 - 3 * progress)))
        for turns in (0, 1 + learner.steps // 2 % 3):
            loss = learner.step(x.rot90(turns, (2, 3)), kinds, lesson.rot90(turns, (2, 3)), learn.rate(progress))
            mean = 0.98 * mean + 0.02 * loss
        if progress - shown > 0.04:
            shown = progress
            learner.save(seed)
            print(f"{progress:.0%} step {learner.steps} loss {mean:.3f}", flush=True)
    learner.save(seed)


class ClassLearner:
    """The classifier, its optimiser and the moving average that is kept."""

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint, self.steps, network = checkpoint, 0, Classifier()
        if checkpoint.exists():
            held = torch.load(checkpoint, weights_only=True)
            network.load_state_dict(held["network"])
            self.steps = int(held["steps"])
        self._network = network.to(memory_format=torch.channels_last).train()
        self._average = torch.optim.swa_utils.AveragedModel(self._network, multi_avg_fn=learn.average, use_buffers=True)
        self._optimiser = torch.optim.AdamW(self._network.parameters(), lr=1e-3, weight_decay=0.05)

    def step(self, x: Tensor, kinds: Tensor, lesson: Tensor, rate: float) -> float:
        """One batch; the loss."""
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        loss = _loss(self._network, x, kinds, lesson)
        self._optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), 5.0)
        self._optimiser.step()
        self._average.update_parameters(self._network)
        self.steps += 1
        return loss.item()

    def save(self, seed: int) -> None:
        """Writes the averaged weights."""
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        part = self._checkpoint.with_suffix(".part")
        torch.save({"network": self._average.module.state_dict(), "steps": self.steps, "seed": seed}, part)
        part.replace(self._checkpoint)


def _loss(network: Classifier, x: Tensor, kinds: Tensor, lesson: Tensor) -> Tensor:
    """Cross-entropy with soft targets, and how well the nucleus is drawn where it is known."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits, drawn = network(x.contiguous(memory_format=torch.channels_last))
    named = -(_goals(kinds) * logits.float().log_softmax(1)).sum(1).mean()
    apart = functional.binary_cross_entropy_with_logits(drawn.float(), lesson[:, :1], lesson[:, 1:])
    return named + apart
