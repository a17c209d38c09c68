"""What may differ between two laboratories, applied to tiles: stain, lamp, white balance, focus, camera noise, compression."""

import math

import numpy as np
import numpy.typing as npt
import simplejpeg
import torch
from torch import Tensor
from torch.nn import functional

Tile = npt.NDArray[np.uint8]


def _u(n: int, low: float, high: float) -> Tensor:
    return torch.empty(n, 1, 1, 1).uniform_(low, high)


def _some(n: int, share: float) -> Tensor:
    return torch.rand(n, 1, 1, 1) < share


def _turn(n: int, degrees: float) -> Tensor:
    """Matrices (n, 3, 3) that turn colours around the grey axis and scale their saturation."""
    angle = torch.empty(n, 1, 1).uniform_(-degrees, degrees) * math.pi / 180
    k = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    grey = torch.full((3, 3), 1 / 3)
    turn = torch.eye(3) + torch.sin(angle) * k + (1 - torch.cos(angle)) * (k @ k)
    return grey + (turn - grey) * torch.empty(n, 1, 1).uniform_(0.75, 1.4)


def _colour(x: Tensor, degrees: float) -> Tensor:
    """Stain, lamp, white balance, exposure, gamma and uneven light: all are linear in optical density.

    The glass (the brighter part of the image) gets another colour; the stains on it are mixed, turned and scaled.
    """
    n, _, h, w = x.shape
    od = torch.log(x.clamp(min=0.004)).neg_()
    glass = od[..., ::8, ::8].flatten(2).quantile(0.3, 2)[:, :, None]
    mix = torch.eye(3) + torch.empty(n, 3, 3).uniform_(-0.1, 0.1)
    mix = mix * torch.empty(n, 3, 1).uniform_(0.8, 1.25) @ _turn(n, degrees) * torch.exp(torch.empty(n, 1, 1).uniform_(-0.6, 0.5))
    shift = torch.empty(n, 3, 1).uniform_(-0.22, 0.3) + torch.empty(n, 1, 1).uniform_(-0.15, 0.3)
    plain = torch.rand(n, 1, 1) < 0.12  # as it came
    mix, shift = torch.where(plain, torch.eye(3), mix), torch.where(plain, 0.0, shift)
    od = torch.baddbmm((glass + shift).clamp(min=0.01) - mix @ glass, mix, od.flatten(2)).reshape(n, 3, h, w)
    corner = torch.empty(n, 1, 2, 2).uniform_(-0.12, 0.16)
    return torch.exp(od.add_(functional.interpolate(corner, (h, w), mode="bilinear", align_corners=True)).neg_())


def _soften(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur by shifted sums (quicker on a CPU than a convolution of three channels)."""
    reach = max(1, int(2.5 * sigma))
    weights = [math.exp(-(k**2) / (2 * sigma**2)) for k in range(-reach, reach + 1)]
    for dim in (2, 3):
        pad = (0, 0, reach, reach) if dim == 2 else (reach, reach, 0, 0)
        wide, n = functional.pad(x, pad, mode="replicate"), x.shape[dim]
        x = torch.zeros_like(x)
        for k, w in enumerate(weights):
            x.add_(wide.narrow(dim, k, n), alpha=w / sum(weights))
    return x


def _focus(x: Tensor, most: float) -> Tensor:
    """Defocus or sharpening: each image between itself and a blurred copy, or away from it."""
    n = len(x)
    soft = _soften(x, float(torch.empty(1).uniform_(0.6, most)))
    return torch.where(_some(n, 0.6), x + (soft - x) * _u(n, -0.9, 1.0), x)


def _noise(x: Tensor) -> Tensor:
    """Camera grain, fine or coarse, coloured or grey."""
    n = len(x)
    grain = torch.randn(n, 1, *x.shape[2:])
    coarse = (grain + grain.roll(1, 2) + grain.roll(1, 3) + grain.roll((1, 1), (2, 3))) * 0.5
    grain = torch.where(_some(n, 0.4), coarse, grain)
    apart = [grain, grain.roll(5, 2), grain.roll(7, 3)]  # the same grain elsewhere is as good as another
    grain = torch.where(_some(n, 0.5), torch.cat(apart, 1), grain)
    return x + grain * torch.where(_some(n, 0.6), _u(n, 0.003, 0.04), _u(n, 0.0, 0.006))


def light(x: Tensor, blur: float = 2.2, hue: float = 13.0) -> Tensor:
    """``x`` (N, 3, H, W) in 0..1 as another laboratory would have seen it."""
    return _noise(_focus(_colour(x, hue), blur)).clamp(0, 1)


def compress(x: Tensor, rng: np.random.Generator, share: float = 0.5) -> Tensor:
    """Some images through JPEG of quality 35 to 95 (and back to 0..1); the others rounded to 8 bits."""
    tiles = np.ascontiguousarray((x * 255).round().byte().permute(0, 2, 3, 1).numpy())
    for k in np.nonzero(rng.random(len(tiles)) < share)[0]:
        sampling = "420" if rng.random() < 0.7 else "444"
        data = simplejpeg.encode_jpeg(tiles[k], quality=int(rng.integers(35, 96)), colorsubsampling=sampling)
        tiles[k] = simplejpeg.decode_jpeg(data)
    return torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255
