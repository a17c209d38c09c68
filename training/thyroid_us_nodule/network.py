"""The network that outlines nodules: a picture in, the chance of "nodule" at each pixel out; grey and sigmoid inside."""

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = (16, 32, 64, 128, 192)
LUMA = (0.299, 0.587, 0.114)


def twice(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    """Two 3x3 convolutions with batch norm and ReLU; the first moves by ``stride``."""
    parts: list[nn.Module] = []
    for first, step in ((inside, stride), (outside, 1)):
        parts += [nn.Conv2d(first, outside, 3, step, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts)


def shown(grey: Tensor) -> Tensor:
    """Two channels from ``grey`` (N, 1, H, W) in 0..1: as it is, and freed of brightness and contrast (black left out)."""
    seen = (grey > 0.03).float()
    count = seen.sum((2, 3), keepdim=True) + 64.0
    mean = (grey * seen).sum((2, 3), keepdim=True) / count
    spread = (((grey - mean) ** 2) * seen).sum((2, 3), keepdim=True) / count
    return torch.cat([grey * 2 - 1, ((grey - mean) / (spread + 1e-3).sqrt()).clamp(-3, 3) * 0.6], 1)


class Again(nn.Module):
    """A further look at a small map: two convolutions whose answer is added, nothing at first (Goyal 2017, arXiv:1706.02677)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.look = twice(channels, channels)
        last = nn.BatchNorm2d(channels)
        nn.init.zeros_(last.weight)
        self.look[4] = last
        self.look[5] = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """``x`` and what is added to it."""
        return x + cast(Tensor, self.look(x))


class Network(nn.Module):
    """Encoder and decoder for CPUs: halved at once, nearest up-sampling, the whole picture's mean added at the bottom.

    Most of the weights lie where the maps are small: what a nodule is among gland, vessels and muscles is a question of the
    whole neck, and looking again costs little there.
    """

    def __init__(self) -> None:
        super().__init__()
        c = CHANNELS
        self.stem = twice(2, c[0], 2)
        self.down = nn.ModuleList(twice(a, b, 2) for a, b in pairwise(c))
        self.whole = nn.Conv2d(c[-1], c[-1], 1)
        self.again = nn.ModuleList([nn.Sequential(Again(c[-1]), Again(c[-1])), Again(c[-2]), Again(c[-3])])
        self.up = nn.ModuleList(twice(b + a, a) for a, b in reversed(list(pairwise(c))))
        self.head = nn.Conv2d(c[0], 1, 1)
        self.early = nn.Conv2d(c[1], 1, 1)

    def coarse(self, grey: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, 1, H/2, W/2) and, for training alone, (N, 1, H/4, W/4)."""
        levels = [self.stem(shown(grey))]
        for step in self.down:
            levels.append(step(levels[-1]))
        y = levels.pop()
        y = y + self.whole(y.mean((2, 3), keepdim=True))
        y = self.again[0](y)
        for k, step in enumerate(self.up, 1):
            before = y
            y = step(torch.cat([functional.interpolate(y, scale_factor=2.0, mode="nearest"), levels.pop()], 1))
            y = self.again[k](y) if k < len(self.again) else y
        return self.head(y), self.early(before)


class Outliner(nn.Module):
    """The network as it is shipped: ``image`` uint8 (1, H, W, 3) to ``probability`` float32 (1, 1, H, W)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("luma", torch.tensor(LUMA).reshape(1, 3, 1, 1) / 255)

    luma: Tensor

    def forward(self, image: Tensor) -> Tensor:
        """Chance of nodule, 0..1."""
        grey = (image.permute(0, 3, 1, 2).float() * self.luma).sum(1, keepdim=True)
        logits = self.network.coarse(grey)[0]
        return functional.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False).sigmoid()
