"""What may differ between two pictures of one nodule, applied to a batch: place, size, brightness, texture, lost parts."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def _between(n: int, low: float, high: float) -> Tensor:
    return torch.empty(n).uniform_(low, high).reshape(n, 1, 1, 1)


def _some(n: int, share: float) -> Tensor:
    return (torch.rand(n) < share).reshape(n, 1, 1, 1)


def move(grey: Tensor, labels: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Turned, scaled, shifted, mirrored, resampled to ``side``; ``grey`` (N, 1, H, W) 0..1, ``labels`` alike 0..255."""
    n = len(grey)
    angle = torch.empty(n).normal_(0, 0.1)
    scale = torch.exp(torch.empty(n).uniform_(math.log(0.6), math.log(1.25)))
    aspect = torch.exp(torch.empty(n).uniform_(-0.25, 0.25))
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = torch.cos(angle) * scale * aspect, -torch.sin(angle) * scale
    matrix[:, 1, 0], matrix[:, 1, 1] = torch.sin(angle) * scale * aspect, torch.cos(angle) * scale
    matrix[:, 0] *= torch.where(torch.rand(n) < 0.5, -1.0, 1.0)[:, None]
    matrix[:, :, 2] = torch.empty(n, 2).uniform_(-0.2, 0.2)
    grid = functional.affine_grid(matrix, [n, 1, side, side], align_corners=False)
    moved = functional.grid_sample(grey, grid, mode="bilinear", align_corners=False)
    return moved, functional.grid_sample(labels, grid, mode="nearest", align_corners=False)


def _blurred(x: Tensor) -> Tensor:
    return functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)


def _smeared(x: Tensor) -> Tensor:
    """Blurred across the beam alone, where ultrasound resolves least."""
    return functional.avg_pool2d(functional.pad(x, (2, 2, 0, 0), mode="replicate"), (1, 5), 1)


def beside(grey: Tensor, labels: Tensor, share: float = 0.07) -> None:
    """Makes some pictures double, as screens show two views: the middle of another one beside their own (in place)."""
    n, _, _, wide = grey.shape
    half, quarter = wide // 2, wide // 4
    for k in range(1, n):
        if torch.rand(()) < share:
            for plane in (grey, labels):
                both = [plane[i, :, :, quarter : quarter + half].clone() for i in (k, k - 1)]
                plane[k, :, :, :half], plane[k, :, :, half : 2 * half] = both


def _clouds(n: int, size: int, cells: int) -> Tensor:
    return functional.interpolate(torch.randn(n, 1, cells, cells), size=(size, size), mode="bilinear", align_corners=False)


def expose(grey: Tensor) -> Tensor:
    """Other gain, gamma and sharpness; clouds, speckle, noise; a hidden patch; black stays black most of the time."""
    n, size = len(grey), grey.shape[-1]
    soft = _blurred(grey)
    softer = _blurred(_blurred(soft))
    grey = torch.where(_some(n, 0.3), grey + (soft - grey) * _between(n, -1.5, 1.0), grey)
    grey = torch.where(_some(n, 0.25), grey + (softer - grey) * _between(n, 0.2, 1.0), grey)
    grey = torch.where(_some(n, 0.25), grey + (_smeared(grey) - grey) * _between(n, 0.3, 1.0), grey)
    grey = grey.clamp(0, 1) ** torch.exp(torch.empty(n).normal_(0, 0.3)).reshape(n, 1, 1, 1)
    grey = grey * _between(n, 0.4, 1.3)
    grey = torch.where(_some(n, 0.3), grey * torch.exp(_clouds(n, size, 4) * _between(n, 0, 0.25)), grey)
    grain = torch.randn_like(grey)
    grain = torch.where(_some(n, 0.5), _blurred(grain) * 2.4, grain)
    grey = torch.where(_some(n, 0.35), grey * (1 + grain * _between(n, 0, 0.3)), grey)
    grey = torch.where(_some(n, 0.15), grey + grain * _between(n, 0, 0.06), grey)
    grey = torch.where(_some(n, 0.12), grey + _between(n, 0, 0.12), grey)
    return _hide(grey).clamp(0, 1)


def _hide(grey: Tensor) -> Tensor:
    """Patches without an image, and the plain bars that machines show above and below it."""
    for k in range(len(grey)):
        if torch.rand(()) < 0.12:
            high = int(torch.randint(6, grey.shape[-1] // 9, ()))
            grey[k, :, : high if torch.rand(()) < 0.6 else 0] = torch.rand(()) * 0.6
            grey[k, :, grey.shape[-1] - (high if torch.rand(()) < 0.4 else 0) :] = torch.rand(()) * 0.6
        if torch.rand(()) < 0.15:
            top, left = torch.randint(0, grey.shape[-1] - 40, (2,)).tolist()
            high, wide = torch.randint(8, 40, (2,)).tolist()
            grey[k, :, top : top + high, left : left + wide] = torch.rand(()) * 0.6
    return grey
