"""The network: Hounsfield units of three neighbouring slices in, lung and opacity labels out; windows and arg-max inside."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

WINDOWS = ((-1050.0, 150.0), (-1000.0, -450.0), (-700.0, 100.0), (-160.0, 240.0))  # lowest and highest HU shown
CHANNELS = (16, 32, 64, 128, 256)
LUNG_CLASSES, OPACITY_CLASSES = 3, 3


def _twice(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    parts: list[nn.Module] = []
    for first, step in ((inside, stride), (outside, 1)):
        parts += [nn.Conv2d(first, outside, 3, step, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts)


class Network(nn.Module):
    """Encoder and decoder for CPUs: halved at once, 16 to 256 channels, nearest up-sampling, logits enlarged at the end."""

    low: Tensor
    width: Tensor

    def __init__(self) -> None:
        super().__init__()
        bounds = torch.tensor(WINDOWS)
        self.register_buffer("low", bounds[:, 0].repeat(3).reshape(1, -1, 1, 1))
        self.register_buffer("width", (bounds[:, 1] - bounds[:, 0]).repeat(3).reshape(1, -1, 1, 1))
        c = CHANNELS
        self.stem = _twice(3 * len(WINDOWS), c[0], 2)
        self.down = nn.ModuleList(_twice(a, b, 2) for a, b in pairwise(c))
        self.up = nn.ModuleList(_twice(b + a, a) for a, b in reversed(list(pairwise(c))))
        self.head = nn.Conv2d(c[0], LUNG_CLASSES + OPACITY_CLASSES, 1)

    def coarse(self, hu: Tensor) -> Tensor:
        """Logits (N, 6, H/2, W/2) of ``hu`` (N, 3, H, W): three for the lungs, three for the opacity."""
        shown = ((hu.repeat_interleave(len(WINDOWS), 1) - self.low) / self.width).clamp(0, 1) * 2 - 1
        levels = [self.stem(shown)]
        for step in self.down:
            levels.append(step(levels[-1]))
        y = levels.pop()
        for step in self.up:
            y = step(torch.cat([functional.interpolate(y, scale_factor=2.0, mode="nearest"), levels.pop()], 1))
        return self.head(y)

    def forward(self, hu: Tensor) -> Tensor:
        """The same logits enlarged to (N, 6, H, W)."""
        return functional.interpolate(self.coarse(hu), scale_factor=2.0, mode="bilinear", align_corners=False)


class Labeller(nn.Module):
    """The network as it is shipped: ``hu`` to two uint8 label maps."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, hu: Tensor) -> tuple[Tensor, Tensor]:
        """Lung labels (0, 1 left, 2 right) and opacity labels (0, 1 ground glass, 2 consolidation), uint8 (N, H, W)."""
        logits = self.network(hu)
        return logits[:, :LUNG_CLASSES].argmax(1).to(torch.uint8), logits[:, LUNG_CLASSES:].argmax(1).to(torch.uint8)
