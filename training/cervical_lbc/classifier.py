"""The cell classifier: a small residual network on a 96-pixel crop; flips are averaged inside the shipped graph."""

import torch
from torch import Tensor, nn

from training.cervical_lbc.where import CLASSES
from training.microscopy.network import Residual, conv, optical_density

CHANNELS = (20, 40, 80, 128)


class Classifier(nn.Module):
    """Logits (N, 7) of ``x`` (N, 3, 96, 96), light in 0..1."""

    def __init__(self) -> None:
        super().__init__()
        c = CHANNELS
        self.body = nn.Sequential(
            conv(3, c[0], 3, 2), Residual(c[0]),
            conv(c[0], c[1], 3, 2), Residual(c[1]),
            conv(c[1], c[2], 3, 2), Residual(c[2]), Residual(c[2]),
            conv(c[2], c[3], 3, 2), Residual(c[3]),
        )  # fmt: skip
        self.drop, self.last = nn.Dropout(0.3), nn.Linear(c[3], len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the seven classes."""
        return self.last(self.drop(self.body(optical_density(x)).mean((2, 3))))


class ShippedClassifier(nn.Module):
    """``image`` uint8 (1, 96, 96, 3) to ``scores`` float32 (1, 7): the mean over four mirrored views and all networks given."""

    def __init__(self, networks: list[Classifier]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, image: Tensor) -> Tensor:
        """Probabilities of the seven classes."""
        x = image.permute(0, 3, 1, 2).to(torch.float32) / 255.0
        views = torch.cat([x, x.flip(3), x.flip(2), x.flip(2, 3)])
        return torch.stack([n(views).softmax(1).mean(0, keepdim=True) for n in self.networks]).mean(0)
