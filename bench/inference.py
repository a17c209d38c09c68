"""How fast models run: the pipeline beside OpenVINO's benchmark_app, PyTorch and ONNX Runtime; whole studies; many tiles."""

import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom

from bench import detectors, engines, phantoms, starving
from bench.rows import Row, UnmeasurableError, alone, compare
from inference.acceptance import accept
from inference.analyse import Analyser, choose
from inference.engine import Engine, channel_slices
from inference.package import Package, load
from inference.running import Way
from inference.series import Stack
from inference.volume import Ready, Volume, opened, read_volume

SLICES: Final = 300
COMPRESSED: Final = 600
CALIBRATION: Final = 48
_BOUND: Final = "- processor time of that over cores: no machine of this kind is faster"
TILES: Final = (1_000, 10_000, 50_000)


def measure(rounds: int, package: str, folder: Path, most_tiles: int = TILES[-1]) -> Iterator[Row]:
    """Every row; the shipped CT model where no other is named."""
    path = Path(package) if Path(package).exists() else Path(__file__).resolve().parents[1] / "models" / package
    model = load(path)
    if not isinstance(model, Package):
        raise UnmeasurableError(f"{path} is no package for volumes")
    chosen = accept(model, threads=engines.cores())
    good = [trial.precision for trial in chosen.trials if trial.agrees]
    for precision in good:
        yield from _pipeline(model, precision, rounds, folder)
    yield from _peers(model, chosen.precision, chosen.chosen().streams, rounds, folder)
    yield from detectors.measure(rounds)
    yield from _study(path, chosen.precision, rounds)
    yield from _reading(model, chosen.precision, rounds, folder)
    yield from _streaming(path, chosen.precision, rounds, folder)
    yield from _tiles(most_tiles)
    yield from starving.measure(rounds, folder)


def _pipeline(model: Package, precision: str, rounds: int, folder: Path) -> Iterator[Row]:
    """Hounsfield units of 512 x 512 to labels, everything in memory."""
    engine = Engine(model, Way(precision))
    voxels = phantoms.volume(model, 120)
    ours, app = [], []
    for _ in range(rounds):
        ours.append(_pace(engine, voxels))
        app.append(engines.benchmark_app(model, precision, engine.network.way.streams, folder))
    name = f"HU in memory to labels, {precision}"
    yield compare(name, "1/s", ours, app, "OpenVINO benchmark_app", version("openvino"), 0.97)


def _pace(engine: Engine, voxels: Volume) -> float:
    started = time.perf_counter()
    engine.segment(voxels)
    return len(voxels.hu) / (time.perf_counter() - started)


def _peers(model: Package, precision: str, streams: int, rounds: int, folder: Path) -> Iterator[Row]:
    """The accepted precision, asynchronous, beside PyTorch eager and ONNX Runtime INT8."""
    voxels = phantoms.volume(model, CALIBRATION, model.network.size[0])
    chosen = channel_slices(model.network, voxels.positions)
    inputs = [voxels.hu[row].astype(np.float32)[None] for row in chosen]
    engine = Engine(model, Way(precision, streams=streams))
    rivals = {
        "PyTorch eager FP32": (7.0, *engines.eager()),
        "ONNX Runtime INT8": (1.25, *engines.onnxruntime(inputs, folder)),
    }
    many = phantoms.volume(model, 240, model.network.size[0])
    ours: list[float] = []
    used: list[float] = []
    walls: dict[str, list[float]] = {name: [] for name in rivals}
    processor: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        before = time.process_time()
        ours.append(_pace(engine, many))
        used.append((time.process_time() - before) / len(many.hu) * 1000)
        for name, (_, _, wall, per_item) in rivals.items():
            walls[name].append(wall(inputs))
            processor[name].append(per_item(inputs))
    what = f"network at {model.network.size[0]} x {model.network.size[1]}, {precision} with {streams} streams"
    for name, (target, release, _, _) in rivals.items():
        yield compare(what, "1/s", ours, walls[name], name, release, target)
        # Threads that wait for each other lose most of their time on a busy machine: this ratio does not depend on that.
        yield compare("- processor time of an image", "ms", used, processor[name], f"{name}, one thread", release, target, False)


def _study(path: Path, precision: str, rounds: int) -> Iterator[Row]:
    samples = [_child("study", str(path), precision) for _ in range(rounds)]
    name = f"{SLICES} slices of 512 x 512 in memory, {precision}: network and postprocessing"
    yield alone(name, "s", [sample["seconds"] for sample in samples], 8.0)
    yield alone(_BOUND, "s", [sample["processor"] for sample in samples])
    yield alone("- peak resident memory of the process", "MB", [sample["peak_mb"] for sample in samples], 1500.0)


def _reading(model: Package, precision: str, rounds: int, folder: Path) -> Iterator[Row]:
    """Compressed slices: decoding alone, and decoding while the network runs; headers and choice of the series too."""
    files = phantoms.compressed(phantoms.volume(model, COMPRESSED))
    analyser, engine = Analyser(model, precision), Engine(model, Way(precision))
    gc.freeze()  # as a worker does before the first study (node.work.ready)
    ours, theirs, labels, whole, app = [], [], [], [], []
    for _ in range(rounds):
        stack = _chosen(model, files)
        ours.append(_seconds(partial(read_volume, stack)))
        theirs.append(_seconds(lambda: _loop(files)))
        labels.append(COMPRESSED / _seconds(lambda: engine.segment(*_opened(model, files))))
        whole.append(COMPRESSED / _seconds(lambda: analyser.analyse(phantoms.sources(files))))
        app.append(engines.benchmark_app(model, precision, engine.network.way.streams, folder))
    name = f"{COMPRESSED} slices of 512 x 512 in JPEG Lossless"
    yield compare(f"{name} to Hounsfield units", "s", ours, theirs, "pydicom in a loop", version("pydicom"), 1.5, False)
    rival = ("OpenVINO benchmark_app", version("openvino"))
    yield compare(f"{name} to labels, {precision}", "1/s", labels, app, *rival, 0.9)
    yield compare(f"{name} to findings, {precision}", "1/s", whole, app, *rival)


def _chosen(model: Package, files: list[bytes]) -> Stack:
    _, stack = choose(phantoms.sources(files), model.contract)
    if isinstance(stack, Exception):
        raise UnmeasurableError(str(stack))
    return stack


def _opened(model: Package, files: list[bytes]) -> tuple[Volume, None, Ready]:
    volume, ready = opened(_chosen(model, files))
    return volume, None, ready


def _loop(files: Sequence[bytes]) -> None:
    for content in files:
        ds = pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))
        pydicom.pixels.apply_rescale(ds.pixel_array, ds).astype(np.int16)


def _streaming(path: Path, precision: str, rounds: int, folder: Path) -> Iterator[Row]:
    samples = [_child("stream", str(path), precision, str(folder / f"early-{n}")) for n in range(rounds)]
    name = f"{SLICES} images at 20/s, last image to masks and measurements, {precision}"
    yield alone(name, "s", [sample["seconds"] for sample in samples], 3.0)
    yield alone(_BOUND, "s", [sample["processor"] for sample in samples])
    yield alone("- slices computed before the last image", "slices", [sample["kept"] for sample in samples])


def _tiles(most: int) -> Iterator[Row]:
    """Synthetic tiles through the runner: the same pace and memory however many there are."""
    counts = [count for count in TILES if count <= most] or [most]
    sample = _child("tiles", *map(str, counts))
    paces, memory = sample["per_core_second"], sample["resident_mb"]
    for count, pace in zip(counts, paces, strict=True):
        yield alone(f"{count} tiles of 256 x 256 through the runner, per core", "1/s", [pace])
    yield alone("- slowest of these over fastest: 1 is flat", "", [min(paces) / max(paces)])
    yield alone("- resident memory grows from first to last by", "MB", [memory[-1] - memory[0]], 20.0)


def _seconds(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _child(*arguments: str) -> dict[str, Any]:
    """In a process of its own: memory is that of nothing else."""
    done = subprocess.run([sys.executable, "-m", "bench.alone", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnmeasurableError(f"{arguments[0]}: {done.stderr[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
