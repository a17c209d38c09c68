"""The cell classifier: a small residual network on a 64-pixel crop that also draws the nucleus; mirrored views are averaged."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.cervical_lbc.where import CLASSES, NORMAL, SURE
from training.microscopy.network import Residual, conv, optical_density

CHANNELS = (16, 32, 64, 128)


class Classifier(nn.Module):
    """Logits (N, 7) and the nucleus (N, 1, 16, 16), as logits, of ``x`` (N, 3, 64, 64), light in 0..1.

    The nucleus is a task of its own in training; features are averaged over the whole crop and over the nucleus that was drawn.
    """

    def __init__(self) -> None:
        super().__init__()
        c = CHANNELS
        self.fine = nn.Sequential(conv(3, c[0], 3, 2), conv(c[0], c[1], 3, 2), Residual(c[1]))
        self.middle = nn.Sequential(conv(c[1], c[2], 3, 2), Residual(c[2]))
        self.coarse = nn.Sequential(conv(c[2], c[3], 3, 2), Residual(c[3]))
        self.up, self.side, self.nucleus = conv(c[2], 24, 1), conv(c[1], 24, 1), nn.Conv2d(24, 1, 1)
        self.drop, self.last = nn.Dropout(0.2), nn.Linear(c[1] + c[2] + c[3] + 1, len(CLASSES))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the seven classes, and of the nucleus."""
        fine = self.fine(optical_density(x))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        drawn = self.nucleus(self.side(fine) + functional.interpolate(self.up(middle), scale_factor=2.0, mode="nearest"))
        inside = drawn.detach().sigmoid()
        smaller = functional.avg_pool2d(inside, 2)
        seen = [
            coarse.mean((2, 3)),
            (middle * smaller).mean((2, 3)) / (smaller.mean((2, 3)) + 0.002),
            (fine * inside).mean((2, 3)) / (inside.mean((2, 3)) + 0.002),
            inside.mean((2, 3)) * 5,
        ]
        return self.last(self.drop(torch.cat(seen, 1))), drawn


class ShippedClassifier(nn.Module):
    """``image`` uint8 (1, 64, 64, 3) to ``cell`` (1, 7), the mean over four mirrored views, and ``abnormal`` (1, 2).

    ``abnormal`` is whether the cell surely is: the odds of all abnormal classes together, divided by those of SURE, so that *yes*
    wins exactly where the probability of abnormal is at least SURE.
    """

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities of the seven classes; of *no* and *yes*."""
        x = image.permute(0, 3, 1, 2).to(torch.float32) / 255.0
        views = torch.cat([x, x.flip(3), x.flip(2), x.flip(2, 3)])
        cell = self.network(views)[0].softmax(1).mean(0, keepdim=True)
        yes = cell[:, NORMAL:].sum(1, keepdim=True) * (1 - SURE)
        no = cell[:, :NORMAL].sum(1, keepdim=True) * SURE
        return cell, torch.cat([no, yes], 1) / (no + yes)
