"""The network that describes one nodule: a square cut about it with its mask in, ACR TI-RADS features and a risk out."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from training.thyroid_us_nodule.network import LUMA, shown, twice
from training.thyroid_us_nodule.tirads import CHOICES, HEADS, POINTS, RISK

CHANNELS = (16, 32, 64, 96, 128)


class CropNetwork(nn.Module):
    """Encoder; means over the nodule, over its surround and the strongest answer within it; one linear head per feature."""

    def __init__(self) -> None:
        super().__init__()
        c = CHANNELS
        self.stem = twice(3, c[0], 2)
        self.down = nn.ModuleList(twice(a, b, 2) for a, b in pairwise(c[:-1]))
        self.last = twice(c[-2], c[-1], 1)
        self.middle = nn.Sequential(nn.Linear(3 * c[-1], 96), nn.ReLU(inplace=True))
        self.heads = nn.ModuleDict({name: nn.Linear(96, width) for name, width in HEADS.items()})

    def forward(self, grey: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Logits by feature; ``grey`` and ``mask`` (N, 1, S, S) in 0..1."""
        y = self.stem(torch.cat([shown(grey), mask * 2 - 1], 1))
        for step in self.down:
            y = step(y)
        y = self.last(y)
        inside = nn.functional.avg_pool2d(mask, 16) + 1e-3
        outside = 1.002 - inside
        means = [(y * w).sum((2, 3)) / w.sum((2, 3)) for w in (inside, outside)]
        most = (y * inside).amax((2, 3))
        z = self.middle(torch.cat([*means, most], 1))
        return {name: head(z) for name, head in self.heads.items()}


def points(shares: dict[str, Tensor]) -> Tensor:
    """Expected ACR TI-RADS points (N, 1); the spongiform and the cystic get those of their composition alone."""
    plain = shares["composition"][:, :2].sum(1, keepdim=True)
    rest = sum(
        (shares[name] * shares[name].new_tensor(POINTS[name])).sum(1, keepdim=True) for name in POINTS if name != "composition"
    )
    made = (shares["composition"] * shares["composition"].new_tensor(POINTS["composition"])).sum(1, keepdim=True)
    return made + (1 - plain) * rest


def risk(total: Tensor) -> Tensor:
    """Share of malignant nodules with that many points: straight lines between the published levels."""
    value = torch.full_like(total, RISK[0][1])
    for (low, first), (high, second) in pairwise(RISK):
        value = value + (second - first) / (high - low) * (total.clamp(low, high) - low)
    return value


class Describer(nn.Module):
    """The network as it is shipped: ``image`` uint8 (N, S, S, 4), red, green, blue, mask; scores of each feature and the risk."""

    def __init__(self, network: CropNetwork) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("luma", torch.tensor(LUMA).reshape(1, 3, 1, 1) / 255)

    luma: Tensor

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Shares 0..1 in the order of OUTPUTS; those with two columns are no and yes, the risk is benign and suspicious."""
        planes = image.permute(0, 3, 1, 2).float()
        logits = self.network((planes[:, :3] * self.luma).sum(1, keepdim=True), planes[:, 3:] / 255)
        shares = {n: v.softmax(1) if n in CHOICES else v.sigmoid() for n, v in logits.items()}
        foci = shares["foci"].split(1, 1)
        chance = risk(points(shares))
        flags = (*foci, shares["halo"], chance)
        return (*(shares[n] for n in CHOICES), *(torch.cat([1 - flag, flag], 1) for flag in flags))
