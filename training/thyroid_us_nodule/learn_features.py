"""Trains the network that describes a nodule, on squares cut from the phantoms with a mask that is a little wrong."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from training.thyroid_us_nodule import augment, crops, pool
from training.thyroid_us_nodule.crop_network import CropNetwork
from training.thyroid_us_nodule.tirads import CHOICES, HEADS, MARGIN

BATCH = 32


class Source:
    """Every visible nodule of the pool."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._held = [pool.load(path) for path in pool.paths(folder)]
        self._index = [
            (c, *one) for c, held in enumerate(self._held) for one in crops.of_chunk(held.pixels, held.labels, held.features)
        ]

    def __len__(self) -> int:
        return len(self._index)

    def _one(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        c, k, label, features = self._index[self._rng.integers(len(self._index))]
        held = self._held[c]
        mask = held.labels[k] == label
        change = int(self._rng.integers(-2, 3))
        if change > 0:
            mask = ndimage.binary_dilation(mask, iterations=change)
        elif change < 0 and mask.sum() > 400:
            mask = ndimage.binary_erosion(mask, iterations=-change)
        grey, shown = crops.cut(held.pixels[k], mask, MARGIN * self._rng.uniform(0.9, 1.15))
        if self._rng.random() < 0.5:
            grey, shown = grey[:, ::-1], shown[:, ::-1]
        return grey, shown, features

    def batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """``grey`` and ``mask`` (N, 1, S, S) 0..1 and ``features`` (N, 9)."""
        grey, mask, features = zip(*(self._one() for _ in range(BATCH)), strict=True)
        x, m = (torch.from_numpy(np.stack(part)).float().unsqueeze(1) / 255 for part in (grey, mask))
        return augment.expose(x), m, torch.from_numpy(np.stack(features)).long()


def targets(features: Tensor) -> dict[str, Tensor]:
    """Truth of each head, from the numbers ``pool.describe`` writes."""
    names = {"composition": 0, "echogenicity": 1, "margin": 2}
    flags = {"foci": features[:, 3:7], "halo": features[:, 7:8], "shape": features[:, 8:9]}
    return {**{name: features[:, k] for name, k in names.items()}, **{name: flag.float() for name, flag in flags.items()}}


def loss(logits: dict[str, Tensor], features: Tensor) -> Tensor:
    """Cross-entropy of all heads together."""
    truth = targets(features)
    total = torch.zeros(())
    for name in HEADS:
        if name in CHOICES:
            total = total + functional.cross_entropy(logits[name], truth[name], label_smoothing=0.05)
        else:
            total = total + 2 * functional.binary_cross_entropy_with_logits(logits[name], truth[name] * 0.96 + 0.02)
    return total


def _begun(checkpoint: Path) -> tuple[CropNetwork, int]:
    """The network as far as it is trained, and for how many batches."""
    network = CropNetwork()
    if not checkpoint.exists():
        return network, 0
    held = torch.load(checkpoint, weights_only=True)
    network.load_state_dict(held["network"])
    return network, int(held["steps"])


def train(folder: Path, checkpoint: Path, steps: int, minutes: float, seed: int = 2) -> None:
    """Trains for ``steps`` batches or ``minutes`` of wall time, whichever is over first; goes on from ``checkpoint``."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)  # for the weights it begins with
    network, before = _begun(checkpoint)
    torch.manual_seed(seed + before)  # who goes on sees other nodules than before
    source, network = Source(folder, seed + before), network.to(memory_format=torch.channels_last).train()
    keep = torch.optim.swa_utils.get_ema_multi_avg_fn(0.995)
    average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=keep, use_buffers=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=3e-2)
    step, shown, mean, started = 0, 0.0, 5.0, time.monotonic()
    print(f"{len(source)} nodules", flush=True)
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(source.batch)
        while (progress := max(step / steps, (time.monotonic() - started) / (60 * minutes))) < 1:
            grey, mask, features = coming.result()
            coming = ahead.submit(source.batch)
            for group in optimiser.param_groups:
                group["lr"] = 2e-3 * min(1.0, progress / 0.03) * (1 - 0.99 * progress) ** 0.9
            with torch.autocast("cpu", dtype=torch.bfloat16):
                said = network(grey, mask)
            total = loss({name: logits.float() for name, logits in said.items()}, features)
            optimiser.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            average.update_parameters(network)
            step, mean = step + 1, 0.97 * mean + 0.03 * total.item()
            if progress - shown > 0.05:
                shown = progress
                torch.save({"network": average.module.state_dict(), "steps": before + step, "seed": seed}, checkpoint)
                print(f"{progress:.0%} step {step} loss {mean:.3f}", flush=True)
    torch.save({"network": average.module.state_dict(), "steps": before + step, "seed": seed}, checkpoint)
