"""The mean of two trained networks, one of which was trained on from the other (Wortsman et al., "Model soups", ICML 2022).

``python -m training.chest_ct_opacity.blend FIRST.xml SECOND.xml OUT.xml``; ``train --from-shipped OUT.xml`` goes on from there.
"""

import argparse
from pathlib import Path

import numpy as np
import openvino as ov

from training.chest_ct_opacity import favour, resume


def blend(first: Path, second: Path, out: Path) -> None:
    """Writes ``out``, whose convolutions have the mean weights and biases of ``first`` and ``second``, opacity not favoured."""
    model, others = ov.Core().read_model(first), iter(resume.convolutions(second))
    favour.add(model, -favour.of(model))
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Convolution":
            (after,) = (port.get_node() for port in node.output(0).get_target_inputs())
            for place, other in zip((node, after), next(others), strict=True):
                held = resume.value(place.input_value(1).get_node()).numpy()
                mean = (held + other.numpy().reshape(held.shape)) / 2
                place.input(1).replace_source_output(ov.opset13.constant(mean.astype(np.float32)).output(0))
    words = f"the mean of ({resume.history(first)}) and ({resume.history(second)})"
    model.set_rt_info(words, resume.HISTORY)
    ov.save_model(model, out, compress_to_fp16=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("first", "second", "out"):
        parser.add_argument(name, type=Path)
    blend(**vars(parser.parse_args()))
