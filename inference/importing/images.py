"""Packages over images made of a wrapped network: its answer is classes, a label map, or boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino.opset13 as op

from domain.errors import PackageError
from inference.importing import parts
from inference.importing.draft import Draft
from inference.importing.graphs import Pictures, finished, fixed, is_activated

MODALITIES = ["US", "ES", "GM", "SM", "XC", "OT", "CR", "DX", "MG"]
_SEED = 20


@dataclass(frozen=True, slots=True)
class Taken:
    """How images reach the network. ``um_per_pixel`` above 0: tiles of a slide at that scale; else whole images."""

    modality: Sequence[str] = ()
    fit: str = "stretch"
    um_per_pixel: float = 0.0


def classification(
    source: str, name: str, pictures: Pictures, labels: list[str], taken: Taken, activation: str = "", output: str = ""
) -> Draft:
    """One head of probabilities. ``activation``: "softmax", "sigmoid", "" (found out), or "none"."""
    node = pictures.joined(output)
    shape = fixed(node.output(0))
    if shape is None or int(np.prod(shape)) != (shape[1] if len(shape) > 1 else 0):
        raise PackageError(f"{source}: an answer of {shape} is no classification [1, K]")
    count, unknown = shape[1], []
    if not activation:
        activation = "none" if is_activated(node) else "softmax" if count > 1 else "sigmoid"
        unknown.append(f"Activation of the answer: {activation} was put behind it." if activation != "none" else "")
    node = op.reshape(node, op.constant(np.array([1, count], np.int64)), special_zero=False)
    if activation == "softmax":
        node = op.softmax(node, 1)
    elif activation == "sigmoid":
        node = op.sigmoid(node)
    if count == 1:  # one probability is the last of two
        node, labels = op.concat([op.subtract(op.constant(np.float32(1)), node), node], 1), _two(labels)
    if len(labels) != max(count, 2):
        raise PackageError(f"{source}: the network answers {count} classes and {len(labels)} names are known (--labels)")
    values = [label[:48] for label in parts._different(labels)]
    items, _ = parts.segments_of([f"Looked at by {name}"[:60]])
    outputs = [{"name": "scores", "kind": "scores", "values": values}]
    toml = _toml(pictures, taken, outputs, [])
    report = parts.report_of_scores("scores", values)
    draft = Draft(source, name, toml, [items], report, finished(pictures.entry, {"scores": node}), case(pictures, taken))
    draft.unknown += [words for words in unknown if words]
    return draft


def _two(labels: list[str]) -> list[str]:
    if len(labels) == 1:
        return [f"not {labels[0]}"[:48], labels[0]]
    return labels or ["negative", "positive"]


def segmentation(
    source: str, name: str, pictures: Pictures, labels: list[str], taken: Taken, output: str = "", threshold: float = 0.0
) -> Draft:
    """A label map. ``labels`` are the names of channels 1, 2, ... (channel 0 is nothing), or of the only channel."""
    node = pictures.joined(output)
    shape = fixed(node.output(0))
    if shape is None or len(shape) not in (3, 4):
        raise PackageError(f"{source}: an answer of {shape} is no label map [1, C, h, w]")
    if len(shape) == 3 or shape[1] == 1:
        found, size, count = _from_one(node, shape, threshold)
    else:
        found, size, count = op.squeeze(op.convert(op.topk(
            node, op.constant(np.int64(1)), 1, "max", "none", "i32").output(1), "u8"), op.constant(np.array([1], np.int64))
        ), shape[2:], shape[1] - 1  # fmt: skip
    if any(side % cells for side, cells in zip(pictures.size, size, strict=True)):
        raise PackageError(f"{source}: an answer of {size} pixels does not divide an input of {pictures.size}")
    names = labels if len(labels) == count else [f"class {i}" for i in range(1, count + 1)] if not labels else []
    if not names:
        raise PackageError(f"{source}: the network tells {count} classes from the background and {len(labels)} names are known")
    items, private = parts.segments_of(names)
    numbers = [item["labelID"] for item in items]
    outputs = [{"name": "labels", "kind": "labels", "classes": numbers}]
    toml = _toml(pictures, taken, outputs, [{"from": "labels", "min_area": 8.0}])
    draft = Draft(
        source,
        name,
        toml,
        [items],
        parts.report_of_objects(items),
        finished(pictures.entry, {"labels": found}),
        case(pictures, taken),
    )
    draft.unknown += parts.private_words(private)
    return draft


def _from_one(node: Any, shape: list[int], threshold: float) -> tuple[Any, list[int], int]:
    """Label values as they are, or one channel of scores against a threshold."""
    size = shape[-2:]
    node = op.reshape(node, op.constant(np.array([1, *size], np.int64)), special_zero=False)
    limit = threshold or (0.5 if is_activated(node) else 0.0)
    return op.convert(op.greater(node, op.constant(np.float32(limit))), "u8"), size, 1


def detection(
    source: str, name: str, pictures: Pictures, labels: list[str], taken: Taken, boxes: Any, confidence: float
) -> Draft:
    """``boxes`` is a node [1, N, 6] of x0, y0, x1, y1 (pixels of the input), score, class (0, 1, ...)."""
    items, private = parts.segments_of(labels)
    outputs = [{"name": "boxes", "kind": "boxes", "classes": [item["labelID"] for item in items]}]
    toml = _toml(pictures, taken, outputs, [{"from": "boxes", "min_score": min(max(confidence, 0.01), 1.0)}])
    draft = Draft(
        source,
        name,
        toml,
        [items],
        parts.report_of_objects(items),
        finished(pictures.entry, {"boxes": boxes}),
        case(pictures, taken),
    )
    draft.unknown += parts.private_words(private)
    return draft


def _toml(pictures: Pictures, taken: Taken, outputs: list[dict[str, Any]], objects: list[dict[str, Any]]) -> dict[str, Any]:
    slide = taken.um_per_pixel > 0
    about: dict[str, Any] = {
        "kind": "slide" if slide else "images",
        "modality": list(taken.modality or (["SM"] if slide else MODALITIES)),
    }
    network: dict[str, Any] = {"file": "network.xml", "input": "image", "size": list(pictures.size)}
    if slide:
        about["um_per_pixel"] = [taken.um_per_pixel / 20, taken.um_per_pixel * 2]
        network |= {"way": "tiles", "um_per_pixel": taken.um_per_pixel, "overlap": 0, "blend": "constant"}
    else:
        about |= {"min_rows": 16, "min_columns": 16}
        network |= {"way": "whole", "fit": taken.fit}
    network["outputs"] = outputs
    found: dict[str, Any] = {"input": about, "network": network, "precision": {"count_percent": 2.0}}
    return found | ({"objects": objects} if objects else {})


def case(pictures: Pictures, taken: Taken) -> dict[str, Any]:
    """Generated images: soft spots of several colours on noise, one and a half times as large as the input."""
    rows, columns = (max(48, min(int(side * 1.5), 768)) for side in pictures.size)
    random = np.random.default_rng(_SEED)
    y, x = np.mgrid[0:rows, 0:columns]
    image = random.normal(120, 12, (rows, columns, 3))
    for _ in range(12):
        spot = np.exp(-((y - random.uniform(0, rows)) ** 2 + (x - random.uniform(0, columns)) ** 2) / random.uniform(20, 400))
        image += spot[..., None] * random.uniform(-110, 110, 3)
    found: dict[str, Any] = {"images": np.clip(image, 0, 255).astype(np.uint8)[None]}
    if taken.um_per_pixel:
        found["mm_per_pixel"] = np.array([taken.um_per_pixel / 1000] * 2)
    return found
