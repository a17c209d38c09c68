"""Trains the outlining network: augmented phantoms, cross-entropy and Dice at two resolutions, moving average of the weights."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from training.thyroid_us_nodule import augment, pool
from training.thyroid_us_nodule.network import Network
from training.thyroid_us_nodule.tirads import SIZE

Place = tuple[str, int]  # chunk and number of a picture
BATCH = 16
SIDE, EARLY_SIDE = SIZE, 192  # the network is shipped at SIDE; the first part of the training sees EARLY_SIDE, which is faster

EMPTY_MORE = 0.12  # of the pictures are chosen among those without a nodule, besides those that chance brings
HARD = 0.5  # of the others are chosen by how badly they went the last time (Loshchilov 2015, arXiv:1511.06343)


class Source:
    """Pictures of the chunks found so far; new chunks are picked up, so training may begin while phantoms are still drawn."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._rng = folder, np.random.default_rng(seed)
        self._held: dict[str, pool.Chunk] = {}
        self._worth: dict[str, npt.NDArray[np.float64]] = {}

    def look(self) -> int:
        """Loads what is new; returns the number of pictures."""
        for path in pool.paths(self._folder):
            if path.name not in self._held:
                self._held[path.name] = held = pool.load(path)
                self._worth[path.name] = np.ones(len(held.pixels))
        return sum(len(c.pixels) for c in self._held.values())

    def _place(self) -> Place:
        name = sorted(self._held)[self._rng.integers(len(self._held))]
        if self._rng.random() < EMPTY_MORE:
            return name, int(self._rng.choice(np.flatnonzero(~self._held[name].labels.any((1, 2)))))
        worth = self._worth[name] if self._rng.random() < HARD else np.ones(len(self._worth[name]))
        return name, int(self._rng.choice(len(worth), p=worth / worth.sum()))

    def learnt(self, places: list[Place], losses: list[float]) -> None:
        """What went badly is shown again sooner."""
        for (name, k), value in zip(places, losses, strict=True):
            self._worth[name][k] = 0.5 * self._worth[name][k] + 0.5 * (0.02 + value)

    def batch(self, side: int) -> tuple[Tensor, Tensor, list[Place]]:
        """``grey`` (N, 1, side, side) 0..1 and ``truth`` alike, 0 or 1, augmented; and which pictures they are."""
        places = [self._place() for _ in range(BATCH)]
        grey = [self._held[name].pixels[k] for name, k in places]
        labels = [self._held[name].labels[k] for name, k in places]
        x = torch.from_numpy(np.stack(grey)).float().unsqueeze(1) / 255
        x, y = augment.move(x, torch.from_numpy(np.stack(labels)).float().unsqueeze(1), side)
        augment.beside(x, y)
        return augment.expose(x), (y > 0).float(), places


def loss(logits: Tensor, truth: Tensor) -> Tensor:
    """(N,) Cross-entropy and one minus the Dice of each picture (small nodules count as much as large ones)."""
    share = logits.sigmoid()
    both, total = (share * truth).sum((1, 2, 3)), (share + truth).sum((1, 2, 3))
    apart = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean((1, 2, 3))
    return apart + 1 - (2 * both + 20) / (total + 20)


def _rate(progress: float) -> float:
    return 2.5e-3 * min(1.0, progress / 0.03) * (1 - 0.99 * min(1.0, progress)) ** 0.9


class _Learner:
    """Network, optimiser and moving average; one ``step`` per batch."""

    def __init__(self, checkpoint: Path) -> None:
        network, self.steps = Network(), 0
        if checkpoint.exists():
            held = torch.load(checkpoint, weights_only=True)
            network.load_state_dict(held["network"])
            self.steps = int(held["steps"])
        self.network = network.to(memory_format=torch.channels_last).train()
        keep = torch.optim.swa_utils.get_ema_multi_avg_fn(0.997)
        self.average = torch.optim.swa_utils.AveragedModel(self.network, multi_avg_fn=keep, use_buffers=True)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=1e-3, weight_decay=2e-2)

    def step(self, grey: Tensor, truth: Tensor, rate: float) -> list[float]:
        """One batch; the loss of each picture."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", dtype=torch.bfloat16):
            fine, early = self.network.coarse(grey.to(memory_format=torch.channels_last))
        half = functional.avg_pool2d(truth, 2)
        each = loss(fine.float(), half)
        total = each + 0.4 * loss(early.float(), functional.avg_pool2d(half, 2))
        self.optimiser.zero_grad()
        total.mean().backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.average.update_parameters(self.network)
        self.steps += 1
        return each.tolist()

    def save(self, checkpoint: Path, seed: int) -> None:
        part = checkpoint.with_suffix(".part")
        torch.save({"network": self.average.module.state_dict(), "steps": self.steps, "seed": seed}, part)
        part.rename(checkpoint)


def blend(early: Path, late: Path, share: float, target: Path) -> None:
    """Writes the weights ``share`` of the way from ``early`` to ``late``, two checkpoints of one run.

    Averages along a run lie in flatter places (Izmailov 2018, arXiv:1803.05407).
    """
    first, last = (torch.load(path, weights_only=True) for path in (early, late))
    pairs = {name: (first["network"][name], value) for name, value in last["network"].items()}
    mixed = {name: torch.lerp(a.double(), b.double(), share).to(b.dtype) for name, (a, b) in pairs.items()}
    torch.save({**last, "network": mixed}, target)


def train(folder: Path, checkpoint: Path, steps: int, minutes: float, seed: int = 1, begin: float = 0.0) -> None:
    """Trains for ``steps`` batches or ``minutes`` of wall time, whichever is over first.

    Goes on from ``checkpoint`` if it is there; ``begin`` is the part of the whole training that is over already.
    """
    torch.set_num_threads(1)  # the second core makes the batches
    torch.manual_seed(seed)  # for the weights it begins with
    learner = _Learner(checkpoint)
    torch.manual_seed(seed + learner.steps)  # who goes on sees other pictures than before
    source = Source(folder, seed + learner.steps)
    pictures, step, shown, mean = source.look(), 0, begin, 1.0
    known: tuple[list[Place], list[float]] = ([], [])
    started = time.monotonic()
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(source.batch, EARLY_SIDE)
        while (done := max(step / steps, (time.monotonic() - started) / (60 * minutes))) < 1:
            progress = begin + (1 - begin) * done
            grey, truth, places = coming.result()
            source.learnt(*known)  # now, while no batch is being chosen: who trains again sees the same pictures
            pictures = source.look() if step % 50 == 49 else pictures
            coming = ahead.submit(source.batch, EARLY_SIDE if progress < 0.75 else SIDE)
            losses = learner.step(grey, truth, _rate(progress))
            known = places, losses
            mean = 0.97 * mean + 0.03 * sum(losses) / BATCH
            step += 1
            if progress - shown > 0.02:
                shown = progress
                learner.save(checkpoint, seed)
                print(f"{progress:.0%} step {step} pictures {pictures} loss {mean:.3f}", flush=True)
    learner.save(checkpoint, seed)
