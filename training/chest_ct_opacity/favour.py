"""Opacity is favoured over healthy lung by a fixed number, added to the bias of the last convolution of what ships.

The number is chosen by what ``choose`` prints, on images of the training part; the network says how much it favours.
"""

from typing import Any

import numpy as np
import openvino as ov

FIRST = 4  # of the logits that are opacities, after three of the lungs and that of no opacity
FAVOUR = 0.4  # logits
NOTE = ["ancilla", "favour"]  # where a network says how much it favours opacity


def of(model: Any) -> float:
    """How much ``model`` favours opacity already."""
    return float(model.get_rt_info(NOTE).astype(str)) if model.has_rt_info(NOTE) else 0.0


def add(model: Any, amount: float = FAVOUR) -> None:
    """Changes ``model``, an OpenVINO network with the lung logits before the three of the opacity, in place."""
    head = [node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution"][-1]
    (bias,) = (port.get_node() for port in head.output(0).get_target_inputs())
    node = bias.input_value(1).get_node()
    held = node.input_value(0).get_node() if node.get_type_name() == "Convert" else node
    values = np.array(held.data, np.float32)
    values.reshape(-1)[FIRST:] += amount
    bias.input(1).replace_source_output(ov.opset13.constant(values).output(0))
    model.set_rt_info(f"{of(model) + amount:g}", NOTE)
