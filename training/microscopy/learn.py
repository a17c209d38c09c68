"""The training loop of both detectors: batches made ahead on another thread, a moving average, checkpoints on the way."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from training.microscopy import heat
from training.microscopy.heat import Boxes
from training.microscopy.network import Detector

Batch = tuple[Tensor, list[Boxes]]


def rate(progress: float, top: float = 2e-3) -> float:
    """Learning rate: a short rise, then down as a polynomial."""
    return top * min(1.0, progress / 0.04 + 0.02) * (1 - 0.99 * min(1.0, progress)) ** 0.9


def average(kept: list[Tensor], now: list[Tensor], seen: Tensor) -> None:
    """Moving average of the weights with a decay that rises to 0.995, so that the first ones are soon forgotten."""
    decay = min(0.995, (1 + float(seen)) / (10 + float(seen)))
    for old, new in zip(kept, now, strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - decay)
        else:
            old.copy_(new)


class Learner:
    """A detector, its optimiser and the moving average that is kept. Goes on from ``checkpoint`` when that exists."""

    def __init__(self, detector: Detector, checkpoint: Path) -> None:
        self.steps = 0
        if checkpoint.exists():
            held = torch.load(checkpoint, weights_only=True)
            detector.load_state_dict(held["network"])
            self.steps = int(held["steps"])
        self.network = detector.to(memory_format=torch.channels_last).train()
        self._average = torch.optim.swa_utils.AveragedModel(self.network, multi_avg_fn=average, use_buffers=True)
        self._optimiser = torch.optim.AdamW(self.network.parameters(), lr=1e-3, weight_decay=1e-2)
        self._checkpoint = checkpoint

    def step(self, x: Tensor, boxes: list[Boxes], lr: float) -> tuple[float, float]:
        """One batch; the two losses."""
        for group in self._optimiser.param_groups:
            group["lr"] = lr
        goal = heat.target(boxes, self.network.classes, x.shape[-1])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits, size = self.network(x.contiguous(memory_format=torch.channels_last))
        first, second = heat.loss(logits.float(), size.float(), goal)
        self._optimiser.zero_grad()
        (first + 0.3 * second).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self._optimiser.step()
        self._average.update_parameters(self.network)
        self.steps += 1
        return first.item(), second.item()

    def save(self, seed: int) -> None:
        """Writes the averaged weights."""
        self._checkpoint.parent.mkdir(parents=True, exist_ok=True)
        part = self._checkpoint.with_suffix(".part")
        torch.save({"network": self._average.module.state_dict(), "steps": self.steps, "seed": seed}, part)
        part.replace(self._checkpoint)


def train(learner: Learner, batch: Callable[[], Batch], steps: int, minutes: float, seed: int) -> None:
    """Trains for ``steps`` batches or ``minutes`` of wall time, whichever is over first."""
    started, step, shown, sums = time.monotonic(), 0, 0.0, [8.0, 1.0]
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(batch)
        while (progress := max(step / steps, (time.monotonic() - started) / (60 * minutes))) < 1:
            x, boxes = coming.result()
            coming = ahead.submit(batch)
            losses = learner.step(x, boxes, rate(progress))
            sums = [0.98 * s + 0.02 * v for s, v in zip(sums, losses, strict=True)]
            step += 1
            if progress - shown > 0.02:
                shown = progress
                learner.save(seed)
                print(f"{progress:.0%} step {step} heat {sums[0]:.3f} size {sums[1]:.3f}", flush=True)
    learner.save(seed)
