"""Runs the golden cases of a package on this CPU: does the network answer here as it did where the package was made?"""

import io
import json
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domain.errors import AncillaError, PackageError, UnsuitableError
from inference import archive
from inference.analyse import Analyser, AnyAnalyser, analyser_of
from inference.images import golden as of_images
from inference.images.analyse import ImageAnalyser
from inference.images.package import ImagePackage
from inference.keys import Table
from inference.package import AnyPackage, Package, load, understand
from inference.report import Reading
from inference.volume import Volume

MOST_BYTES = 64 * 1024**2
MOST_VOXELS = 100_000_000
_DICE_FROM_ML = 1.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """How one case went. ``words`` says what differs, or nothing."""

    case: str
    agrees: bool
    words: str
    precision: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What a case must give."""

    outcome: str
    volumes_ml: Mapping[str, float]
    quantities: Mapping[str, float]
    labels: npt.NDArray[np.uint8] | None


def check(package: AnyPackage, precision: str = "auto", threads: int = 0, cache_dir: Path | None = None) -> list[Agreement]:
    """Runs every golden case; raises PackageError when the network or a case cannot be used at all."""
    analyser = analyser_of(package, precision, threads, cache_dir)
    return run(analyser)


def run(analyser: AnyAnalyser) -> list[Agreement]:
    """The same with a network that is compiled already."""
    return [_agreement(analyser, case) for case in analyser.package.golden_cases()]


def record(folder: Path) -> None:
    """Runs golden/*.npz in FP32 and writes what came out as what is expected: golden/*.json, and labels into the .npz."""
    package = understand(archive.read_files(folder))
    if not package.golden_cases():
        raise PackageError("there is no golden/<case>.npz")
    if isinstance(package, ImagePackage):
        of_images.record(folder, package)
        return
    analyser = Analyser(package, "fp32")
    for case in package.golden_cases():
        volume, _ = _volume(package, case)
        reading = analyser.read(volume)
        answer = {"outcome": str(reading.outcome), "volumes_ml": _volumes(package, reading), "quantities": _quantities(reading)}
        path = folder / "golden" / case
        path.with_name(f"{case}.json").write_text(json.dumps(answer, indent=2) + "\n", encoding="utf-8")
        spacing = np.array(volume.spacing)
        values: dict[str, Any] = {_values_of(package)[0]: _given(package, volume)}
        np.savez_compressed(path.with_name(f"{case}.npz"), **values, spacing=spacing, labels=reading.layers)


def _agreement(analyser: AnyAnalyser, case: str) -> Agreement:
    try:
        found = of_images.differences(analyser, case) if isinstance(analyser, ImageAnalyser) else _of_volume(analyser, case)
        words = "; ".join(found)
    except UnsuitableError as error:
        words = f"not analysed: {error}"
    return Agreement(case, not words, words, analyser.algorithm().precision)


def _of_volume(analyser: Analyser, case: str) -> list[str]:
    volume, labels = _volume(analyser.package, case)
    expected = _expected(analyser.package, case, labels)
    return _differences(analyser.package, analyser.read(volume), expected)


def _differences(package: Package, reading: Reading, expected: Expected) -> list[str]:
    limits, found = package.tolerances, []
    if reading.outcome != expected.outcome:
        found.append(f"{reading.outcome} instead of {expected.outcome}")
    for name, ml in _volumes(package, reading).items():
        found += _far(f"segment {name} (ml)", ml, expected.volumes_ml.get(name), limits.volume_percent, limits.volume_ml)
    for name, value in expected.quantities.items():
        found += _far(name, reading.values.get(name), value, limits.quantity_percent, limits.quantity_absolute)
    if expected.labels is not None:
        found += _dices(package, reading, expected.labels)
    return found


def _far(name: str, value: float | None, expected: float | None, percent: float, absolute: float) -> list[str]:
    if value is None or expected is None:
        return [f"{name}: {value} instead of {expected}"]
    near = abs(value - expected) <= max(absolute, percent / 100 * abs(expected))
    return [] if near else [f"{name}: {value:.2f} instead of {expected:.2f}"]


def _dices(package: Package, reading: Reading, labels: npt.NDArray[np.uint8]) -> list[str]:
    found = []
    for segment in package.segments:
        layer = package.layer_of[segment.number]
        ours, theirs = reading.layers[layer] == segment.number, labels[layer] == segment.number
        both = int(ours.sum()) + int(theirs.sum())
        dice = 2 * int((ours & theirs).sum()) / both if both else 1.0
        if both * reading.counted.voxel_ml / 2 >= _DICE_FROM_ML and dice < package.tolerances.dice:
            found.append(f"segment {segment.number}: Dice {dice:.4f}")
    return found


def _volumes(package: Package, reading: Reading) -> dict[str, float]:
    ml = reading.counted.voxel_ml
    return {str(s.number): round(float(reading.counted.area(s.number).sum() * ml), 4) for s in package.segments}


def _quantities(reading: Reading) -> dict[str, float]:
    return {name: round(value, 4) for name, value in reading.values.items() if value is not None}


def _volume(package: Package, case: str) -> tuple[Volume, npt.NDArray[np.uint8] | None]:
    """The input of a case as a volume, and the labels expected, if there are any."""
    arrays = _arrays(package.files[f"golden/{case}.npz"], case)
    key, kind = _values_of(package)
    hu, spacing, labels = arrays.get(key), arrays.get("spacing"), arrays.get("labels")
    channels = (len(package.manifest.channels),) if package.manifest.channels else ()
    if hu is None or hu.dtype != kind or hu.ndim != 3 + len(channels) or hu.size == 0 or not np.isfinite(hu).all():
        raise PackageError(
            f"golden/{case}.npz must have {key!r}, {np.dtype(kind)} ({'channels, ' if channels else ''}slices, rows, columns)"
        )
    if channels and hu.shape[0] != channels[0]:
        raise PackageError(f"golden/{case}.npz must have {channels[0]} channels in {key!r}")
    if spacing is None or spacing.shape != (3,) or not np.isfinite(spacing).all() or (spacing <= 0).any():
        raise PackageError(f"golden/{case}.npz must have 'spacing', three numbers above 0")
    if labels is not None and (labels.dtype != np.uint8 or labels.shape != (package.layers, *hu.shape[-3:])):
        raise PackageError(f"golden/{case}.npz: 'labels' must be uint8 (layers, slices, rows, columns)")
    along, down, across = (float(v) for v in spacing)
    positions = tuple(i * along for i in range(hu.shape[-3]))
    made = [_alone(one, (along, down, across), positions) for one in (hu if hu.ndim == 4 else hu[None])]
    return replace(made[0], others=tuple(made[1:])), labels


def _alone(values: npt.NDArray[Any], spacing: tuple[float, float, float], positions: tuple[float, ...]) -> Volume:
    values = np.maximum(values, -1024) if values.dtype == np.int16 else values
    return Volume(values, spacing, positions, tuple(map(str, range(len(values)))))


def _given(package: Package, volume: Volume) -> npt.NDArray[Any]:
    """The values of a case as its file has them."""
    if not package.manifest.channels:
        return volume.hu
    return np.stack([one.hu for one in (volume, *volume.others)])


def _values_of(package: Package) -> tuple[str, type[np.number]]:
    alone = not package.manifest.channels
    return ("hu", np.int16) if package.contract.units == "HU" and alone else ("values", np.float32)


def _arrays(content: bytes, case: str) -> dict[str, npt.NDArray[Any]]:
    """Arrays of an .npz whose claims are looked at first; no Python objects."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            claimed = sum(entry.file_size for entry in members.infolist())
        if len(content) > MOST_BYTES or claimed > 8 * MOST_VOXELS:
            raise PackageError(f"golden/{case}.npz is too large")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files if name in ("hu", "values", "spacing", "labels")}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise PackageError(f"golden/{case}.npz cannot be read as arrays of numbers") from error


def _expected(package: Package, case: str, labels: npt.NDArray[np.uint8] | None) -> Expected:
    where = f"golden/{case}.json"
    try:
        table = Table(json.loads(package.files[where]), where)
    except (ValueError, RecursionError) as error:
        raise PackageError(f"{where} is not readable") from error
    volumes, quantities = table.table("volumes_ml"), table.table("quantities")
    expected = Expected(
        table.choice("outcome", ("positive", "negative")),
        {name: volumes.number(name) for name in volumes.names()},
        {name: quantities.number(name) for name in quantities.names()},
        labels,
    )
    table.done()
    return expected


def main(arguments: list[str]) -> int:
    """``record FOLDER`` or ``check FOLDER``."""
    if len(arguments) != 2 or arguments[0] not in ("record", "check"):
        sys.stderr.write("usage: python -m inference.golden record FOLDER | check FOLDER\n")
        return 2
    try:
        if arguments[0] == "record":
            record(Path(arguments[1]))
            return 0
        results = check(load(Path(arguments[1])))
    except AncillaError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for result in results:
        sys.stdout.write(f"{result.case}: {'agrees' if result.agrees else result.words}\n")
    return 0 if all(result.agrees for result in results) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
