"""Other ways to run the same network on the same cores: OpenVINO's benchmark_app, PyTorch eager, ONNX Runtime."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bench.rows import UnmeasurableError
from inference.package import Package

SECONDS: Final = 4.0  # of one measurement
HINTS: Final = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}

Measure = Callable[["Inputs"], float]
Inputs = Sequence[npt.NDArray[np.float32]]


def cores() -> int:
    """Those this process may use."""
    return len(os.sched_getaffinity(0))


def benchmark_app(package: Package, precision: str, streams: int, folder: Path, seconds: float = SECONDS) -> float:
    """Items per second that OpenVINO's own program reports."""
    network = package.network
    xml, data = package.weights(precision)
    (folder / "network.xml").write_bytes(xml)
    (folder / "network.bin").write_bytes(data)
    shape = f"{network.input}[1,{network.channels},{network.size[0]},{network.size[1]}]"
    program = Path(sys.executable).with_name("benchmark_app")
    ways = ["-hint", "none", "-nstreams", str(streams), "-nthreads", str(cores()), "-nireq", str(streams + 1)]
    command = [str(program), "-m", str(folder / "network.xml"), "-d", "CPU", "-shape", shape, *ways]
    command += ["-infer_precision", HINTS[precision], "-t", str(int(seconds)), "-api", "async"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Throughput:\s*([\d.]+)\s*FPS", done.stdout)
    if found is None:
        raise UnmeasurableError(f"benchmark_app said: {(done.stdout + done.stderr)[-500:]}")
    return float(found[1])


def eager() -> tuple[str, Measure, Measure]:
    """PyTorch, FP32, one after the other: version, what measures items per second on all cores, and processor milliseconds per
    item on one. Random weights: speed only."""
    try:
        import torch

        from training.chest_ct_opacity.network import Labeller, Network
    except ImportError as error:
        raise UnmeasurableError("PyTorch is not here: pip install '.[train]'") from error
    model = Labeller(Network()).eval()

    def run(value: Any) -> object:
        with torch.inference_mode():
            return model(torch.from_numpy(value))

    def wall(inputs: Inputs) -> float:
        torch.set_num_threads(cores())
        return _pace(run, inputs)

    def processor(inputs: Inputs) -> float:
        torch.set_num_threads(1)
        return _processor(run, inputs)

    return torch.__version__, wall, processor


def onnxruntime(inputs: Inputs, folder: Path) -> tuple[str, Measure, Measure]:
    """ONNX Runtime at its best for this network, static INT8 (QDQ, per channel); the same measures as ``eager``."""
    try:
        import onnxruntime as ort
        import torch
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        from training.chest_ct_opacity.network import Labeller, Network
    except ImportError as error:
        raise UnmeasurableError(f"{error.name} is not here: pip install '.[test,bench]'") from error

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = list(inputs[:16])

        def get_next(self) -> dict[str, Any] | None:
            return {"hu": self._left.pop()} if self._left else None

    plain, ready, small = (folder / name for name in ("plain.onnx", "ready.onnx", "int8.onnx"))
    torch.onnx.export(Labeller(Network()).eval(), (torch.from_numpy(inputs[0]),), plain, input_names=["hu"], dynamo=False)
    quant_pre_process(str(plain), str(ready))
    kinds = {"weight_type": QuantType.QInt8, "activation_type": QuantType.QUInt8, "per_channel": True}
    quantize_static(str(ready), str(small), Reader(), quant_format=QuantFormat.QDQ, **kinds)

    def runner(threads: int) -> Callable[[Any], object]:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = ort.InferenceSession(str(small), options, providers=["CPUExecutionProvider"])
        return lambda value: session.run(None, {"hu": value})

    many, one = runner(cores()), runner(1)
    return ort.__version__, lambda values: _pace(many, values), lambda values: _processor(one, values)


def _pace(run: Callable[[Any], object], inputs: Inputs, seconds: float = SECONDS) -> float:
    run(inputs[0])
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        run(inputs[done % len(inputs)])
        done += 1
    return done / (time.perf_counter() - started)


def _processor(run: Callable[[Any], object], inputs: Inputs, count: int = 20) -> float:
    run(inputs[0])
    used = time.process_time()
    for number in range(count):
        run(inputs[number % len(inputs)])
    return (time.process_time() - used) / count * 1000
