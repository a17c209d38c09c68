"""Training of the cell finder (composed fields and lone cells) and of the cell classifier (real and made-up cells)."""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.cervical_lbc import cells, compose, crops, synthetic
from training.cervical_lbc.classifier import Classifier
from training.cervical_lbc.where import CLASSES, CLASSIFIER, DETECTOR, OUT
from training.microscopy import augment, learn
from training.microscopy.heat import Boxes
from training.microscopy.network import Detector

SIDE, BATCH, CROPS, SEED = 256, 12, 48, 1
MADE_PER_CLASS = 90


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
    """Trains the classifier with ``fold`` held out; made-up cells make up less and less of the batches."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    source = crops.Crops(cells.training(cells.read(data), fold), made(), seed)
    network, steps_before = Classifier(), 0
    if checkpoint.exists():
        held = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(held["network"])
        steps_before = int(held["steps"])
    network = network.to(memory_format=torch.channels_last).train()
    average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=learn.average, use_buffers=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
    started, step, shown, mean, progress = time.monotonic(), 0, 0.0, 2.0, 0.0
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(source.batch, CROPS, 0.5)
        while (progress := max(step / steps, (time.monotonic() - started) / (60 * minutes))) < 1:
            x, kinds = coming.result()
            coming = ahead.submit(source.batch, CROPS, max(0.1, 0.5 - 0.6 * progress))
            for group in optimiser.param_groups:
                group["lr"] = learn.rate(progress)
            loss = _loss(network, x, kinds, float(np.random.default_rng(step).beta(0.3, 0.3)) if step % 4 == 0 else 1.0)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            average.update_parameters(network)
            mean, step = 0.98 * mean + 0.02 * loss.item(), step + 1
            if progress - shown > 0.04:
                shown = progress
                _keep(average.module, checkpoint, steps_before + step, seed)
                print(f"{progress:.0%} step {step} loss {mean:.3f}", flush=True)
    _keep(average.module, checkpoint, steps_before + step, seed)


def _loss(network: Classifier, x: Tensor, kinds: Tensor, share: float) -> Tensor:
    """Cross-entropy with soft targets; ``share`` below 1 mixes each crop with another one (mixup, Zhang 2018)."""
    other = torch.randperm(len(x))
    mixed = (x * share + x[other] * (1 - share)).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(mixed)
    goal = _goals(kinds) * share + _goals(kinds[other]) * (1 - share)
    return -(goal * logits.float().log_softmax(1)).sum(1).mean()


def _keep(network: torch.nn.Module, checkpoint: Path, steps: int, seed: int) -> None:
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"network": network.state_dict(), "steps": steps, "seed": seed}, checkpoint)
