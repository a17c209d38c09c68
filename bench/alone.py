"""What is measured in a process of its own, since its memory is part of the answer: one JSON object on standard output."""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as op

from bench import phantoms
from inference.analyse import Analyser
from inference.kept import Kept
from inference.package import Package, load
from inference.running import Compiled, Way
from node.memory import private

SLICES = 300
PACE = 20  # images a second
VISIT = 2.0  # seconds, as the node sends its workers


def study(path: str, precision: str) -> dict[str, float]:
    """Seconds from Hounsfield units to findings, and the most memory the process ever had."""
    model = _package(path)
    analyser = Analyser(model, precision)
    voxels = phantoms.volume(model, SLICES)
    analyser.network  # noqa: B018 - compiled
    spent = _spent(lambda: analyser.read(voxels))
    return {**spent, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}


def stream(path: str, precision: str, folder: str) -> dict[str, float]:
    """Seconds from the last image to findings when images come one by one and are worked on meanwhile."""
    model = _package(path)
    analyser = Analyser(model, precision)
    files = phantoms.compressed(phantoms.volume(model, SLICES))
    images = phantoms.sources(files)
    started = time.perf_counter()
    while (here := int((time.perf_counter() - started) * PACE)) < SLICES:
        until = min(time.perf_counter() + VISIT, started + SLICES / PACE)
        kept = Kept(Path(folder))
        analyser.begin(images[:here], kept, lambda until=until: time.perf_counter() < until)  # type: ignore[misc]
        kept.save()
        time.sleep(0.2)
    kept = Kept(Path(folder))
    return {**_spent(lambda: analyser.analyse(phantoms.sources(files), kept)), "kept": kept.used}


def tiles(*counts: str) -> dict[str, list[float]]:
    """Tiles through the runner: pace per core and private memory at each count."""
    network = _tile_network()
    rng = np.random.default_rng(0)
    few = rng.integers(0, 255, (16, 256, 256, 3), dtype=np.uint8)
    paces, memory = [], []
    for count in map(int, counts):
        started = time.perf_counter()
        for _ in network.run(range(count), lambda number: few[number % len(few)]):
            pass
        paces.append(count / (time.perf_counter() - started) / network.way.threads)
        memory.append(private(os.getpid()) / 1e6)
    return {"per_core_second": paces, "resident_mb": memory}


def _spent(work: Callable[[], object]) -> dict[str, float]:
    """Seconds on the wall, and processor seconds over cores: other work on the machine lengthens only the first."""
    started, used = time.perf_counter(), time.process_time()
    work()
    return {
        "seconds": time.perf_counter() - started,
        "processor": (time.process_time() - used) / len(os.sched_getaffinity(0)),
    }


def _tile_network() -> Compiled:
    """A small detector's shape: RGB tiles of 256 x 256 to a heat map of 64 x 64. Random weights."""
    rng = np.random.default_rng(0)
    image = op.parameter([1, 256, 256, 3], np.uint8, name="image")
    image.output(0).set_names({"image"})
    value: Any = op.transpose(op.convert(image, "f32"), op.constant(np.array([0, 3, 1, 2])))
    channels = 3
    for width, stride in ((16, 2), (32, 2), (32, 1)):
        weights = op.constant((rng.standard_normal((width, channels, 3, 3)) / (3 * channels**0.5)).astype(np.float32))
        value = op.relu(op.convolution(value, weights, [stride, stride], [1, 1], [1, 1], [1, 1]))
        channels = width
    heat = op.sigmoid(op.reduce_mean(value, op.constant(np.array([1])), keep_dims=True))
    heat.output(0).set_names({"heat"})
    return Compiled(ov.Core(), ov.Model([heat], [image], "tiles"), "tiles", ["heat"], Way())


def _package(path: str) -> Package:
    model = load(Path(path))
    if not isinstance(model, Package):
        raise SystemExit(f"{path} is no package for volumes")
    return model


if __name__ == "__main__":
    work = {"study": study, "stream": stream, "tiles": tiles}[sys.argv[1]]
    print(json.dumps(work(*sys.argv[2:])))
