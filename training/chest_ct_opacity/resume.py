"""Weights read back from a shipped OpenVINO network, so that training can go on where no checkpoint was kept.

The export folds each batch norm into the convolution before it. Here each gets its batch norm back: its scale and shift are set
so that it changes nothing on a first batch, and training may move them from there.
"""

from pathlib import Path
from typing import Any

import openvino as ov
import torch
from torch import Tensor, nn

from training.chest_ct_opacity import favour
from training.chest_ct_opacity.network import Network

HISTORY = ["ancilla", "training"]  # where a network says how its weights were made


def value(node: Any) -> Tensor:
    """The numbers of a constant, float32, whatever precision it is kept in."""
    source = node.input_value(0).get_node() if node.get_type_name() == "Convert" else node
    return torch.from_numpy(source.data.astype("float32"))


def convolutions(path: Path) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of each convolution in the order they are computed, opacity not favoured."""
    found, model = [], ov.Core().read_model(path)
    favour.add(model, -favour.of(model))
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Convolution":
            (after,) = (i.get_node() for i in node.output(0).get_target_inputs())
            found.append((value(node.input_value(1).get_node()), value(after.input_value(1).get_node()).flatten()))
    return found


def history(path: Path) -> str:
    """How the weights of ``path`` (network.xml) were made, as ``export`` wrote it down."""
    model = ov.Core().read_model(path)
    return str(model.get_rt_info(HISTORY).astype(str)) if model.has_rt_info(HISTORY) else "training not noted down"


def network(path: Path, first: Tensor) -> Network:
    """The network of ``path`` (network.xml), in training form; ``first`` is a batch of its input (N, 3, H, W)."""
    made, weights = Network().train(), iter(convolutions(path))
    hooks = []
    for module in _in_order(made, first):
        weight, bias = next(weights)
        if isinstance(module[1], nn.BatchNorm2d):
            module[0].weight.data.copy_(weight)
            hooks.append(module[1].register_forward_pre_hook(_neutral(bias)))
        else:
            module[0].weight.data.copy_(weight)
            module[0].bias.data.copy_(bias)
    with torch.no_grad():
        made.coarse(first)
    for hook in hooks:
        hook.remove()
    return made


def _in_order(made: Network, first: Tensor) -> list[tuple[nn.Module, nn.Module | None]]:
    """Each convolution with the batch norm after it, as they are computed."""
    called: list[nn.Module] = []
    hooks = [
        m.register_forward_pre_hook(lambda module, _: called.append(module))
        for m in made.modules()
        if isinstance(m, nn.Conv2d | nn.BatchNorm2d)
    ]
    with torch.no_grad():
        made.coarse(first[:1])
    for hook in hooks:
        hook.remove()
    after = [*called[1:], None]
    return [
        (m, n if isinstance(n, nn.BatchNorm2d) else None) for m, n in zip(called, after, strict=True) if isinstance(m, nn.Conv2d)
    ]


def _neutral(bias: Tensor) -> Any:
    """A hook that sets a batch norm to add ``bias`` and to change nothing else on the batch it sees."""

    def set_up(module: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(module, nn.BatchNorm2d)
        mean, spread = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3), unbiased=False)
        module.weight.data.copy_((spread + module.eps).sqrt())
        module.bias.data.copy_(mean + bias)
        assert module.running_mean is not None and module.running_var is not None
        module.running_mean.copy_(mean)
        module.running_var.copy_(spread)

    return set_up
