"""What may differ between two scanners, applied to a batch: position, size, density, windowing, kernel, thickness, noise."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def _between(n: int, low: float, high: float) -> Tensor:
    return torch.empty(n).uniform_(low, high).reshape(n, 1, 1, 1)


def _some(n: int, share: float) -> Tensor:
    return (torch.rand(n) < share).reshape(n, 1, 1, 1)


def _placed(n: int) -> Tensor:
    angle = torch.empty(n).uniform_(-0.2, 0.2)
    scale = torch.exp(torch.empty(n).uniform_(math.log(0.72), math.log(1.3)))
    aspect = torch.empty(n).uniform_(0.92, 1.08)
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = torch.cos(angle) * scale * aspect, -torch.sin(angle) * scale
    matrix[:, 1, 0], matrix[:, 1, 1] = torch.sin(angle) * scale * aspect, torch.cos(angle) * scale
    matrix[:, :, 2] = torch.empty(n, 2).uniform_(-0.12, 0.12)
    return matrix


def _towards(lungs: Tensor) -> Tensor:
    """Where the lungs (N, H, W; 1 and 2) are in the picture, in the units of ``affine_grid``; the middle where there are none."""
    inside = ((lungs == 1) | (lungs == 2)).float()
    area = inside.sum((1, 2)).clamp(min=1)
    axis = torch.linspace(-1, 1, lungs.shape[-1])
    return torch.stack([(inside.sum(1) * axis).sum(1), (inside.sum(2) * axis).sum(1)], 1) / area[:, None]


def move(hu: Tensor, labels: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Turned, scaled, shifted and mirrored images; a mirrored patient has left and right lung swapped in ``labels[:, 0]``.

    Where ``size`` is less than that of the images, a square of that many pixels around the lungs is cut out.
    """
    n, share = len(hu), size / hu.shape[-1]
    matrix = _placed(n)
    matrix[:, :, :2] *= share
    if share < 1:
        matrix[:, :, 2] += _towards(labels[:, 0])
    grid = functional.affine_grid(matrix, [n, 1, size, size], align_corners=False)
    hu = functional.grid_sample(hu + 1024, grid, mode="bilinear", align_corners=False) - 1024
    labels = functional.grid_sample(labels.float(), grid, mode="nearest", align_corners=False).long()
    mirrored = torch.rand(n) < 0.3
    hu[mirrored], labels[mirrored] = hu[mirrored].flip(-1), labels[mirrored].flip(-1)
    sides = labels[mirrored, 0]
    labels[mirrored, 0] = torch.where((sides == 1) | (sides == 2), 3 - sides, sides)
    upside = torch.rand(n) < 0.5
    hu[upside] = hu[upside].flip(1)  # neighbours above and below change places
    return hu, labels


def _blurred(x: Tensor) -> Tensor:
    return functional.avg_pool2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)


def window(hu: Tensor) -> Tensor:
    """What a wrong guess of an 8-bit picture's window does: bent and clipped densities, fat and muscle moved against air."""
    n = len(hu)
    share = ((hu + 1000) / 1060).clamp(0, 1)
    bent = share ** torch.exp(torch.empty(n).normal_(0, 0.12)).reshape(n, 1, 1, 1) * 1060 - 1000
    hu = torch.where(_some(n, 0.35) & (hu > -1000) & (hu < 60), bent, hu)
    hu = torch.where(_some(n, 0.2), hu.minimum(_between(n, 0, 300)), hu)
    return torch.where(_some(n, 0.2), hu.maximum(_between(n, -1000, -860)), hu)


def regrey(hu: Tensor) -> Tensor:
    """An 8-bit picture made with one window and read with a guess of another: 256 grey levels, air and tissue both off."""
    n = len(hu)
    low, high = _between(n, -1400, -950), _between(n, 100, 500)
    grey = torch.round((hu.clamp(low, high) - low) / (high - low) * 255) / 255
    low, high = low + _between(n, -60, 60), high + _between(n, -80, 140)
    return torch.where(_some(n, 0.2), grey * (high - low) + low, hu)


def shake(hu: Tensor) -> Tensor:
    """Motion: the picture and a shifted shadow of it."""
    n, (down, across) = len(hu), torch.randint(-4, 5, (2,)).tolist()
    return torch.where(_some(n, 0.08), hu + (hu.roll((down, across), (2, 3)) - hu) * _between(n, 0.15, 0.5), hu)


def hide(hu: Tensor, labels: Tensor, ignore: int) -> None:
    """Now and then a patch without an image, whose labels do not count (in place)."""
    for k in range(len(hu)):
        if torch.rand(()) < 0.12:
            top, left = torch.randint(30, hu.shape[-1] - 70, (2,)).tolist()
            high, wide = torch.randint(8, 36, (2,)).tolist()
            hu[k, :, top : top + high, left : left + wide] = torch.empty(()).uniform_(-1000, 100)
            labels[k, :, top : top + high, left : left + wide] = ignore


def expose(hu: Tensor) -> Tensor:
    """Density shift and scale, blur or sharp kernel, blended neighbours, noise, 8-bit steps; padding clipped at -1024."""
    n = len(hu)
    mean = hu.mean(1, keepdim=True)
    hu = shake(torch.where(_some(n, 0.25), hu + (mean - hu) * _between(n, 0, 0.8), hu))
    soft = _blurred(hu)
    hu = torch.where(_some(n, 0.5), hu + (soft - hu) * _between(n, -1.8, 1.0), hu)
    hu = (hu + 1000) * _between(n, 0.95, 1.05) - 1000 + _between(n, -25, 25)
    noise = torch.randn_like(hu)
    noise = torch.where(_some(n, 0.6), _blurred(noise) * 2.4, noise)
    hu = hu + noise * torch.where(_some(n, 0.6), _between(n, 3, 60), _between(n, 0, 8))
    hu = regrey(window(hu))
    step = _between(n, 3, 8)
    hu = torch.where(_some(n, 0.25), torch.round(hu.clamp(-1024, 300) / step) * step, hu)
    return hu.clamp(-1024, 3071)
