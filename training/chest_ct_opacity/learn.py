"""Training: batches of phantom and real stacks, cross-entropy and Dice over both heads, checkpoints on the way."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.chest_ct_opacity import augment, paste, pool, real, resume
from training.chest_ct_opacity.network import LUNG_CLASSES, Network

BATCH, SIZE = 16, real.SIZE
MORE_BATCH, MORE_SIZE = 8, 192  # where training goes on: smaller steps, more of them
WEIGHTS = torch.tensor([1.0, 1.5, 2.0])
TOO_MUCH, MISSED = 0.4, 0.6


class Pool:
    """Reads stacks once; new files are picked up, so training may begin while phantoms are still being made."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.count, self.size = BATCH, SIZE  # pictures in a batch, and their rows and columns
        self._folder, self._rng = folder, np.random.default_rng(seed)
        self._held: dict[str, pool.Stack] = {}
        self._kinds: dict[str, list[str]] = {}
        self._pieces: list[paste.Piece] = []

    def look(self) -> int:
        """Loads what is new; returns how many stacks there are."""
        for path in sorted(self._folder.glob("*-*.npz")):
            if path.name not in self._held and ".part" not in path.name and not real.for_choices(path.stem):
                stack = self._held[path.name] = pool.load(path)
                if path.name.startswith("semiseg") and path.stem.endswith("-0"):  # nothing painted in it
                    self._pieces += paste.pieces(stack.hu[1], stack.lungs[1], stack.opacity[1])
        self._kinds = {k: [n for n in self._held if n.startswith(k)] for k in ("phantom", "nysbu", "semiseg")}
        return len(self._held)

    def _one(self) -> tuple[np.ndarray, np.ndarray]:
        kind = self._rng.choice(["phantom", "nysbu", "semiseg"], p=[0.36, 0.2, 0.44])
        stack = self._held[self._rng.choice(self._kinds[str(kind)])]
        k = 1 if len(stack.hu) == 3 else int(self._rng.integers(0, len(stack.hu)))
        if len(stack.hu) > 3 and not stack.lungs[k].any() and self._rng.random() < 0.85:
            k = int(self._rng.choice(np.nonzero(stack.lungs.any((1, 2)))[0]))
        near = np.clip([k - 1, k, k + 1], 0, len(stack.hu) - 1)
        hu, lungs, opacity = stack.hu[near].astype(np.float32), stack.lungs[k].copy(), stack.opacity[k].copy()
        self._change(hu, lungs, opacity)
        return hu, np.stack([lungs, opacity])

    def _change(self, hu: np.ndarray, lungs: np.ndarray, opacity: np.ndarray) -> None:
        """Now and then denser lung behind, fluid, or opacities of other slices."""
        if self._rng.random() < 0.25:
            paste.gravity(hu, lungs, self._rng)
        if self._rng.random() < 0.05:
            paste.effusion(hu, lungs, opacity, self._rng)
        if self._rng.random() < 0.4:
            for _ in range(int(self._rng.integers(1, 8))):
                paste.put(hu, lungs, opacity, self._pieces, self._rng)

    def batch(self) -> tuple[Tensor, Tensor]:
        """``hu`` (N, 3, H, W) float32 and labels (N, 2, H, W), augmented."""
        pairs = [self._one() for _ in range(self.count)]
        hu = torch.from_numpy(np.stack([p[0] for p in pairs]))
        hu, labels = augment.move(hu, torch.from_numpy(np.stack([p[1] for p in pairs])), self.size)
        hu = augment.expose(hu)
        augment.hide(hu, labels, pool.IGNORE)
        return hu, labels


def _dice(logits: Tensor, target: Tensor) -> Tensor:
    seen = (target != pool.IGNORE).unsqueeze(1)
    shares = logits.softmax(1) * seen
    truth = functional.one_hot(target.clamp(max=2), 3).permute(0, 3, 1, 2) * seen
    both = (shares * truth).sum((0, 2, 3))[1:]
    total = (shares + truth).sum((0, 2, 3))[1:]
    return 1 - ((2 * both + 15) / (total + 15)).mean()


def _each(logits: Tensor, target: Tensor) -> Tensor:
    """One minus the Tversky index of both opacities together, picture by picture: small opacities count as much as large ones,
    and what is missed counts more than what is too much (Salehi et al., "Tversky loss function", MLMI 2017)."""
    seen = target != pool.IGNORE
    share = (1 - logits.softmax(1)[:, 0]) * seen
    truth = (target.clamp(max=2) > 0) & seen
    both, found, there = (share * truth).sum((1, 2)), share.sum((1, 2)), truth.sum((1, 2))
    return (1 - (both + 5) / (both + TOO_MUCH * (found - both) + MISSED * (there - both) + 5)).mean()


def loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Loss of the lung head and of the opacity head."""
    lungs, opacity = logits[:, :LUNG_CLASSES], logits[:, LUNG_CLASSES:]
    first = functional.cross_entropy(lungs, labels[:, 0], ignore_index=pool.IGNORE) + _dice(lungs, labels[:, 0])
    second = functional.cross_entropy(opacity, labels[:, 1], WEIGHTS, ignore_index=pool.IGNORE) + _dice(opacity, labels[:, 1])
    return first, second + _each(opacity, labels[:, 1])


def _rate(progress: float, peak: float) -> float:
    return peak * min(1.0, progress / 0.03) * (1 - 0.99 * min(1.0, progress)) ** 0.9


class _Learner:
    """Network, optimiser and moving average; one ``step`` per batch. ``settled``: the batch norms stay as they are."""

    def __init__(self, checkpoint: Path, network: Network, settled: bool, before: str = "") -> None:
        self.steps, self._before = 0, before
        if checkpoint.exists():
            held = torch.load(checkpoint, weights_only=True)
            network.load_state_dict(held["network"])
            self._before = held["history"] + ", then "
        self.network = network.to(memory_format=torch.channels_last).train()
        if settled:
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        keep = torch.optim.swa_utils.get_ema_multi_avg_fn(0.99 if settled else 0.995)
        self.average = torch.optim.swa_utils.AveragedModel(self.network, multi_avg_fn=keep, use_buffers=True)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=1e-3, weight_decay=1e-2)

    def step(self, hu: Tensor, labels: Tensor, rate: float) -> tuple[float, float]:
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = self.network.coarse(hu.to(memory_format=torch.channels_last))
        row, column = torch.randint(0, 2, (2,)).tolist()
        first, second = loss(logits.float(), labels[:, :, row::2, column::2])
        self.optimiser.zero_grad()
        (first + second).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimiser.step()
        self.average.update_parameters(self.network)
        self.steps += 1
        return first.item(), second.item()

    def save(self, checkpoint: Path, seed: int, batch: int) -> None:
        """``history`` says in words how many batches of what size made the weights; it ships with the network."""
        history = f"{self._before}{self.steps} batches of {batch}"
        torch.save({"network": self.average.module.state_dict(), "history": history, "seed": seed}, checkpoint)


def train(
    folder: Path, checkpoint: Path, steps: int = 4000, minutes: float = 60.0, seed: int = 1, shipped: Path | None = None
) -> None:
    """Trains for ``steps`` batches or ``minutes`` of wall time, whichever is over first.

    Goes on from ``checkpoint`` if it exists, else from the network ``shipped`` if given, and writes the averaged weights.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # the second core makes the batches
    more = shipped is not None or checkpoint.exists()
    source = Pool(folder, seed)
    stacks, step, shown, sums = source.look(), 0, 0.0, (1.0, 2.0)
    started_from = resume.network(shipped, source.batch()[0]) if shipped else Network()
    before = resume.history(shipped) + ", then " if shipped else ""
    learner = _Learner(checkpoint, started_from, settled=more, before=before)
    peak = 4e-4 if more else 2e-3
    if more:
        source.count, source.size = MORE_BATCH, MORE_SIZE
    started = time.monotonic()
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(source.batch)
        while (progress := max(step / steps, (time.monotonic() - started) / (60 * minutes))) < 1:
            hu, labels = coming.result()
            stacks = source.look() if step % 100 == 99 else stacks
            coming = ahead.submit(source.batch)
            losses = learner.step(hu, labels, _rate(progress, peak))
            step += 1
            sums = (0.97 * sums[0] + 0.03 * losses[0], 0.97 * sums[1] + 0.03 * losses[1])
            if progress - shown > 0.02:
                shown = progress
                learner.save(checkpoint, seed, source.count)
                print(f"{progress:.0%} step {step} stacks {stacks} lungs {sums[0]:.3f} opacity {sums[1]:.3f}", flush=True)
    learner.save(checkpoint, seed, source.count)
