"""The shipped detectors, in the precision that is accepted here, beside their own networks in PyTorch eager."""

import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench import engines
from bench.rows import Row, UnmeasurableError, compare
from inference import tuning
from inference.acceptance import accept
from inference.analyse import analyser_of
from inference.package import load

MODELS: Final = Path(__file__).resolve().parents[1] / "models"
TRAINING: Final = {"tb-smear-afb": "training.tb_smear_afb.learn", "cervical-lbc": "training.cervical_lbc.learn"}
TARGET: Final = 11.4


def measure(rounds: int) -> Iterator[Row]:
    """One row per detector that is shipped. Random weights in PyTorch: speed only."""
    for name, module in TRAINING.items():
        if (MODELS / name / "package.toml").is_file():
            yield _row(name, module, rounds)


def _row(name: str, module: str, rounds: int) -> Row:
    package = load(MODELS / name)
    trial = accept(package, threads=engines.cores()).chosen()
    network = analyser_of(package, trial.precision, streams=trial.streams, batch=trial.batch).network
    image = np.random.default_rng(0).integers(0, 255, (1, *network.shape), dtype=np.uint8)
    version, eager = _eager(module)
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(tuning.speed(network, [image[0]], engines.SECONDS))
        theirs.append(eager(image))
    what = f"{name}, {network.shape[1]} x {network.shape[0]}, {trial.precision} with {trial.streams} streams"
    return compare(what, "1/s", ours, theirs, "PyTorch eager FP32", version, TARGET)


def _eager(module: str) -> tuple[str, Callable[[Any], float]]:
    try:
        import torch

        from training.microscopy.network import Shipped
    except ImportError as error:
        raise UnmeasurableError("PyTorch is not here: pip install '.[train]'") from error
    torch.set_num_threads(engines.cores())
    model = Shipped(import_module(module).detector()).eval()

    def measure(image: Any) -> float:
        with torch.inference_mode():
            tensor = torch.from_numpy(image)
            model(tensor)
            started, done = time.perf_counter(), 0
            while time.perf_counter() - started < engines.SECONDS:
                model(tensor)
                done += 1
            return done / (time.perf_counter() - started)

    return torch.__version__, measure
