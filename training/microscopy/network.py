"""A centre-heat detector for light microscopy that is quick on CPUs: stained field in, peaks of heat per class and sizes out."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 4  # pixels of the input per cell of the heat map
UNIT = 32.0  # sizes are learnt in this many pixels
DARK = 12.0 / 255.0  # a pixel below this in every channel is letterbox, not light


def optical_density(x: Tensor) -> Tensor:
    """Log of light lost against the mean of the image, per channel: ``x`` (N, 3, H, W) in 0..1, answer about -1..2.

    Dividing by the mean light takes out the lamp, the white balance and most of the exposure (Beer-Lambert: stains add up in
    this space). Black edges do not count in the mean.
    """
    lit = (x.amax(1, keepdim=True) > DARK).to(x.dtype)
    mean = (x * lit).sum((2, 3), keepdim=True) / (lit.sum((2, 3), keepdim=True) + 1.0)
    return (torch.log(mean + 0.02) - torch.log(x + 0.02)).clamp(-1.0, 2.5) * lit


def conv(inside: int, outside: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, normalisation, ReLU."""
    conv = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outside), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = conv(channels, channels), nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """As many channels as came in."""
        return functional.relu(x + self.norm(self.second(self.first(x))))


class Detector(nn.Module):
    """Stride-2 stem, residual levels down to 1/16 (1/32 when ``deep``), added back up to 1/4 with nearest up-sampling."""

    def __init__(self, classes: int, channels: tuple[int, ...] = (16, 32, 64, 96)) -> None:
        super().__init__()
        self.classes = classes
        c = channels
        self.stem = conv(3, c[0], 3, 2)
        self.down = nn.ModuleList(nn.Sequential(conv(a, b, 3, 2), Residual(b)) for a, b in pairwise(c))
        self.side = nn.ModuleList(conv(b, a, 1) for a, b in pairwise(c[1:]))
        self.up = nn.ModuleList(conv(a, a) for a in c[1:-1])
        self.head = conv(c[1], 32)
        self.heat, self.size = nn.Conv2d(32, classes, 1), nn.Conv2d(32, 2, 1)
        nn.init.constant_(self.heat.bias, -4.0)  # few cells hold a centre

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Heat logits (N, classes, H/4, W/4) and log sizes (N, 2, H/4, W/4) of ``x`` (N, 3, H, W), light in 0..1."""
        y = self.stem(optical_density(x))
        levels = []
        for step in self.down:
            y = step(y)
            levels.append(y)
        y = levels.pop()
        for side, up in zip(reversed(self.side), reversed(self.up), strict=True):
            y = up(functional.interpolate(side(y), scale_factor=2.0, mode="nearest") + levels.pop())
        y = self.head(y)
        return self.heat(y), self.size(y)


class Shipped(nn.Module):
    """The detector as a package carries it: ``image`` uint8 (1, H, W, 3) to ``centres`` and ``sizes``."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Heat of peaks (1, classes, H/4, W/4), else 0; width and height (1, 2, H/4, W/4) in pixels of the input.

        A peak is the highest of its 5x5 neighbourhood over all classes together: one object has one class.
        """
        heat, size = self.detector(image.permute(0, 3, 1, 2).to(torch.float32) / 255.0)
        heat = heat.sigmoid()
        best = heat.amax(1, keepdim=True)
        top = best >= functional.max_pool2d(best, 5, 1, 2)
        kept = (heat >= best) & top
        return heat * kept.to(heat.dtype), size.clamp(-3, 3).exp() * UNIT
