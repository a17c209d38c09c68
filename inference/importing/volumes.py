"""Packages over volumes made of a network that answers with scores."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from domain.errors import PackageError
from inference.importing import parts, sequences
from inference.importing.draft import Draft
from inference.importing.graphs import scores_of_volume

_SEED = 21
_SOFT = (24, 48, 48)  # slices, rows, columns of the generated case

Step = dict[str, Any]


@dataclass(slots=True)
class Sliding:
    """What ``package.toml`` will say: ``inferer`` with its name, steps before, steps behind, names of the classes.

    ``labels`` are those of channels 1, 2, ... where ``argmax`` is asked for, else of all channels. ``spacing`` of the
    generated case, mm, of slices, rows, columns.
    """

    name: str
    modality: str
    window: list[int]  # of two or three sizes
    inferer: Step
    before: list[Step]
    behind: list[Step]
    labels: list[str] = field(default_factory=list)
    spacing: tuple[float, float, float] = (2.0, 1.5, 1.5)
    channels: list[Step] = field(default_factory=list)  # ``[[input.channels]]`` of a network that sees several series


def is_argmax(sliding: Sliding) -> bool:
    """Whether classes exclude each other."""
    return any(step["step"] == "AsDiscrete" and step.get("argmax") for step in sliding.behind)


def package(source: str, sliding: Sliding, model: Any, output: str = "") -> Draft:
    """The draft; raises PackageError when network and description do not fit."""
    network, channels = scores_of_volume(model, sliding.window, source, output, len(sliding.channels) or 1)
    argmax = is_argmax(sliding)
    count = channels - argmax
    if count < 1:
        raise PackageError(f"{source}: the network answers one channel, of which 'argmax' says nothing; a threshold is needed")
    labels = sliding.labels or [f"class {i}" for i in range(argmax, channels)]
    if len(labels) != count:
        raise PackageError(f"{source}: the network answers {channels} channels and {len(labels)} classes are named (--labels)")
    items, private = parts.segments_of(labels)
    numbers = [item["labelID"] for item in items]
    for step in sliding.behind:
        if step.get("segments") == "all":
            step["segments"] = numbers
    toml: dict[str, Any] = {
        "input": parts.input_of_volume(sliding.modality) | ({"channels": _of_grid(sliding)} if sliding.channels else {}),
        "network": {
            "file": "network.xml",
            "input": "image",
            "layout": "NCDHW" if len(sliding.window) == 3 else "NCHW",
            "value": parts.UNITS[sliding.modality],
            "outputs": [{"name": "scores", "labels": numbers}],
        },
        "inferer": sliding.inferer,
        "preprocessing": sliding.before,
        "postprocessing": sliding.behind,
        "precision": parts.PRECISION,
    }
    layers = [items] if argmax else [[item] for item in items]
    report = parts.report_of_volume(items, sliding.modality)
    draft = Draft(source, sliding.name, toml, layers, report, network, _case(sliding))
    draft.unknown += parts.private_words(private) + sequences.assumed(sliding.channels)
    return draft


def _of_grid(sliding: Sliding) -> list[Step]:
    """The channels as package.toml has them: the first is of the modality of the input, which is not said again."""
    first = {key: value for key, value in sliding.channels[0].items() if key not in ("modality", "units")}
    return [first, *sliding.channels[1:]]


def _case(sliding: Sliding) -> dict[str, Any]:
    """The generated case: for several channels the same volume in the values of each, turned so that they differ."""
    if not sliding.channels:
        return case(sliding.modality, sliding.spacing)
    found = [case(one["modality"], sliding.spacing) for one in sliding.channels]
    values = [np.roll(each["hu" if "hu" in each else "values"], number, axis=2) for number, each in enumerate(found)]
    return {"values": np.stack(values).astype(np.float32), "spacing": np.array(sliding.spacing, np.float64)}


def case(modality: str, spacing: tuple[float, float, float]) -> dict[str, Any]:
    """A generated volume: ellipsoids of several densities in a body, with noise."""
    random = np.random.default_rng(_SEED)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in _SOFT), indexing="ij")
    values = np.where((x / 0.9) ** 2 + (y / 0.75) ** 2 < 1, 30.0, -1000.0)
    for density in (120.0, 60.0, -60.0, 250.0, -800.0):
        place, size = random.uniform(-0.5, 0.5, 3), random.uniform(0.15, 0.4, 3)
        values[sum(((axis - p) / s) ** 2 for axis, p, s in zip((z, y, x), place, size, strict=True)) < 1] = density
    values += random.normal(0, 12, values.shape)
    arrays: dict[str, Any] = {"spacing": np.array(spacing, np.float64)}
    if modality == "CT":
        return arrays | {"hu": np.rint(values).astype(np.int16)}
    return arrays | {"values": np.maximum(values + 1000, 0).astype(np.float32) / (1 if modality == "MR" else 100)}
