"""Makes the INT8 form of a package's network: NNCF post-training quantisation that takes back what costs accuracy.

Needs the extra ``train`` (nncf); a node never does. What comes out is data beside the network, sealed like everything else.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import openvino as ov
from scipy import ndimage

from domain.errors import PackageError
from inference import archive, golden, running
from inference.analyse import analyser_of
from inference.graph import read_network
from inference.package import AnyPackage, load, seal, understand
from inference.source import Source

MOST_INPUTS: Final = 300  # what NNCF looks at by default
FEWEST_INPUTS: Final = 24
MOST_BYTES: Final = 300_000_000  # of all inputs; of large ones there are fewer
MOST_DROP: Final = 0.01  # of the agreement with FP32, see ``agreement``
_LABELS = ("u", "i")
_SPARSE: Final = 0.05  # of the pixels: a map of points
_FP32 = {"INFERENCE_PRECISION_HINT": "f32"}

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Quantized:
    """What was made. ``agreement`` is that of the INT8 with the FP32 network on the inputs, 1 is equal."""

    digest: str
    inputs: int
    agreement: float
    cases: tuple[golden.Agreement, ...]


class _Inputs:
    """Inputs of the network, thinned out evenly when there are too many."""

    def __init__(self, most: int) -> None:
        self._most, self._step, self._seen = most, 1, 0
        self.kept: list[Array] = []

    def hear(self, value: Any) -> None:
        """One input, as it was given to the network."""
        if self._seen % self._step == 0:
            self.kept.append(np.array(value, copy=True)[None])
            self._most = min(self._most, max(FEWEST_INPUTS, MOST_BYTES // self.kept[-1].nbytes))
        self._seen += 1
        if len(self.kept) > self._most:
            self.kept, self._step = self.kept[::2], self._step * 2


def quantize(
    folder: Path,
    out: Path | None = None,
    studies: Iterable[Sequence[Source]] = (),
    more: Iterable[Array] = (),
    careful: bool = False,
) -> Quantized:
    """Writes INT8 networks into ``folder``, or into a copy of it at ``out``, and seals it again.

    The networks are observed on the package's golden cases and on ``studies`` (images of one study each), the first network also
    on the inputs ``more`` (batches of one). ``careful`` corrects each layer's bias on what the layers before it answer in INT8:
    slower, and closer to FP32. Nothing is written when a golden case fails in INT8. Raises PackageError.
    """
    package = load(folder)
    _check(package, folder, out)
    inputs = _observed(package, studies)
    for value in more:
        inputs[package.network.file].append(value)
    files, agreed = dict(package.files), 1.0
    for network, heard in inputs.items():
        made, agrees = _small(package, network, heard, careful)
        files |= made
        agreed = min(agreed, agrees)
    files["package.toml"] = _noted(package.files["package.toml"])
    cases = golden.check(understand(files), "int8")
    wrong = [f"{case.case}: {case.words}" for case in cases if not case.agrees]
    if wrong:
        raise PackageError(f"in INT8 the golden cases of {package.id} fail, nothing was written: {'; '.join(wrong)}")
    return Quantized(_written(files, out or folder), len(inputs[package.network.file]), agreed, tuple(cases))


def _small(package: AnyPackage, network: str, inputs: list[Array], careful: bool) -> tuple[dict[str, bytes], float]:
    """The files of the INT8 form of one network, and how much it agrees."""
    core = ov.Core()
    weights = package.weights("fp32", network)
    entry = (core.read_model(*weights) if weights[1] else core.read_model(weights[0])).input(0).get_any_name()
    model = read_network(core, weights, network, entry, inputs[0].shape)
    reference = _answers(core.compile_model(model, "CPU", _FP32), inputs)
    small = _quantized(model, inputs, reference, careful)
    agreed = agreement(reference, _answers(core.compile_model(small, "CPU", _FP32), inputs))
    return _serialized(small, network), agreed


def strip(folder: Path) -> None:
    """Takes the INT8 networks out of a package folder, which must be sealed again: the network is about to change."""
    for file in folder.glob("*-int8.*"):
        file.unlink()
    toml = folder / "package.toml"
    toml.write_text(re.sub(r"(?m)^int8 = true\n", "", toml.read_text(encoding="utf-8")), encoding="utf-8")


def agreement(reference: Sequence[Sequence[Array]], found: Sequence[Sequence[Array]]) -> float:
    """The mean over outputs of what counts for what they mean; 1 is equal.

    Labels: mean Dice of all values but 0. Maps of probabilities: Dice of where they reach one half; maps of single points (few
    pixels above 0): Dice of squares of 5 pixels around points above 0.3, so that a shift by a pixel costs little. Other
    probabilities: 1 - mean difference. Other numbers count only where there is nothing else: 1 - mean difference / mean size.
    """
    scores, others = [], []
    for number in range(len(reference[0])):
        left, right = (np.concatenate([answer[number] for answer in answers]) for answers in (reference, found))
        if left.dtype.kind in _LABELS:
            scores.append(_dice(left, right))
        elif left.min() >= 0 and left.max() <= 1:
            scores.append(_probabilities(left, right))
        else:
            others.append(_closeness(left, right))
    return float(np.mean(scores or others))


def _dice(left: Array, right: Array) -> float:
    values = [value for value in np.unique(left) if value]
    if not values:
        return float((left == right).mean())
    return float(np.mean([2 * ((left == v) & (right == v)).sum() / ((left == v).sum() + (right == v).sum()) for v in values]))


def _probabilities(left: Array, right: Array) -> float:
    if left.ndim == 4:
        points = (left > 0).mean() < _SPARSE
        size = (1, 1, 5, 5) if points else (1, 1, 1, 1)
        ours, theirs = (ndimage.maximum_filter(a, size) >= (0.3 if points else 0.5) for a in (left, right))
        if ours.any():
            return _dice(ours.astype(np.uint8), theirs.astype(np.uint8))
    return 1 - float(np.abs(left - right).mean())


def _closeness(left: Array, right: Array) -> float:
    size = float(np.abs(left).mean())
    return 1 - float(np.abs(left - right).mean()) / size if size else float((left == right).mean())


def _check(package: AnyPackage, folder: Path, out: Path | None) -> None:
    if not folder.is_dir() and out is None:
        raise PackageError("a zip file cannot be changed: name a folder to write to with --out")
    if out is not None and out.exists() and any(out.iterdir()):
        raise PackageError(f"{out} is not empty")
    if package.tolerances.int8:
        raise PackageError(f"the package {package.id} has an INT8 network already")


def _observed(package: AnyPackage, studies: Iterable[Sequence[Source]]) -> dict[str, list[Array]]:
    """What reached each network; a second network that saw nothing stays as it is."""
    heard = {network: _Inputs(MOST_INPUTS) for network in package.networks}
    analyser = analyser_of(package, "fp32")
    with ExitStack() as listening:
        for network, inputs in heard.items():
            listening.enter_context(running.overheard(network, inputs.hear))
        golden.run(analyser)
        for sources in studies:
            analyser.analyse(sources)
    if not heard[package.network.file].kept:
        raise PackageError(f"nothing in the golden cases of {package.id} reaches its network")
    return {network: inputs.kept for network, inputs in heard.items() if inputs.kept}


def _answers(compiled: Any, inputs: Sequence[Array]) -> list[list[Array]]:
    request = compiled.create_infer_request()
    answers = []
    for value in inputs:
        request.infer({0: value})
        answers.append([np.array(request.get_output_tensor(i).data) for i in range(len(compiled.outputs))])
    return answers


def _quantized(model: Any, inputs: list[Array], reference: list[list[Array]], careful: bool) -> Any:
    try:
        import nncf
    except ImportError as error:
        raise PackageError("quantisation needs NNCF: pip install 'ancilla[train]'") from error

    def validate(compiled: Any, items: Iterable[int]) -> tuple[float, list[float]]:
        numbers = list(items)
        found = _answers(compiled, [inputs[i] for i in numbers])
        each = [agreement([reference[i]], [answer]) for i, answer in zip(numbers, found, strict=True)]
        return agreement([reference[i] for i in numbers], found), each

    numbers = list(range(len(inputs)))
    return nncf.quantize_with_accuracy_control(
        model,
        calibration_dataset=nncf.Dataset(numbers, lambda number: inputs[number]),
        validation_dataset=nncf.Dataset(numbers),
        validation_fn=validate,
        max_drop=MOST_DROP,
        drop_type=nncf.DropType.ABSOLUTE,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(inputs),
        fast_bias_correction=not careful,
    )


def _serialized(model: Any, network: str) -> dict[str, bytes]:
    name = archive.int8_file(network)
    with TemporaryDirectory() as folder:
        file = Path(folder, name)
        ov.save_model(model, file, compress_to_fp16=False)
        return {name: file.read_bytes(), file.with_suffix(".bin").name: file.with_suffix(".bin").read_bytes()}


def _noted(toml: bytes) -> bytes:
    """``int8 = true`` in the table [precision], everything else as its author wrote it."""
    text, count = re.subn(r"(?m)^\[precision\][^\n]*\n", lambda found: found[0] + "int8 = true\n", toml.decode(), count=1)
    if not count:
        raise PackageError("package.toml has no line [precision]")
    return text.encode()


def _written(files: archive.Files, folder: Path) -> str:
    for name, content in files.items():
        target = folder / name
        if name in (archive.SUMS, archive.SIGNATURE) or (target.is_file() and target.read_bytes() == content):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        part.write_bytes(content)
        part.replace(target)
    return seal(folder)
