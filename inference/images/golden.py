"""Golden cases of packages over images: pictures with known objects and quantities, and how far an answer may be from them."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from domain.errors import PackageError
from inference.images.album import Head
from inference.images.analyse import ImageAnalyser
from inference.images.calibration import Region
from inference.images.judge import Reading
from inference.images.package import ImagePackage
from inference.images.quantity import ONE
from inference.keys import Table
from inference.objects import shape
from inference.objects.table import Objects

MOST_BYTES = 64 * 1024**2
MOST_PIXELS = 300_000_000
_SLACK = 8.0  # pixels that a centre may lie beside the box it belongs to
_COLUMNS = 7  # image, class, score, left, top, right, bottom
_NAMES = ("images", "mm_per_pixel", "objects", "labels")


class ArrayAlbum:
    """Images of a case, uint8 (n, rows, columns, 3); ``mm_per_pixel`` (x, y), or None."""

    def __init__(self, images: npt.NDArray[np.uint8], mm_per_pixel: tuple[float, float] | None = None) -> None:
        self._images = images
        rows, columns = images.shape[1:3]
        calibrated = (Region(0, 0, columns, rows, *mm_per_pixel),) if mm_per_pixel else ()
        frames = len(images) > 1
        self.heads = tuple(
            Head("golden", "golden", i + 1 if frames else None, 0, rows, columns, calibrated) for i in range(len(images))
        )

    def pixels(self, index: int) -> npt.NDArray[np.uint8]:
        """One image."""
        return np.asarray(self._images[index])


@dataclass(frozen=True, slots=True)
class Expected:
    """What a case must give. ``objects`` is (n, 7), ``labels`` (images, rows, columns); None: not compared."""

    outcome: str
    counts: Mapping[str, float]
    quantities: Mapping[str, float]
    objects: npt.NDArray[np.float32] | None
    labels: npt.NDArray[np.uint8] | None


def record(folder: Path, package: ImagePackage) -> None:
    """Runs golden/*.npz in FP32 and writes what came out as what is expected: golden/*.json, and objects into the .npz."""
    analyser = ImageAnalyser(package, "fp32")
    for case in package.golden_cases():
        album, arrays = _album(package, case)
        reading = analyser.read(album)
        answer = {"outcome": str(reading.outcome), "counts": _counts(package, reading), "quantities": _quantities(reading)}
        path = folder / "golden" / case
        path.with_name(f"{case}.json").write_text(json.dumps(answer, indent=2) + "\n", encoding="utf-8")
        kept: dict[str, Any] = {name: arrays[name] for name in ("images", "mm_per_pixel") if name in arrays}
        kept["objects"] = _rows(reading)
        if reading.tally.objects.masks.bits.size:
            kept["labels"] = _labels(reading, arrays["images"].shape[:3])
        np.savez_compressed(path.with_name(f"{case}.npz"), **kept)


def differences(analyser: ImageAnalyser, case: str) -> list[str]:
    """What one case gives that it should not, in words; raises PackageError and UnsuitableError."""
    package = analyser.package
    album, arrays = _album(package, case)
    expected = _expected(package, case, arrays)
    reading, limits, found = analyser.read(album), package.tolerances, []
    if reading.outcome != expected.outcome:
        found.append(f"{reading.outcome} instead of {expected.outcome}")
    counts = _counts(package, reading)
    for name in sorted({*counts, *expected.counts}):
        pair = (counts.get(name, 0.0), expected.counts.get(name, 0.0))
        found += _far(f"objects of class {name}", *pair, limits.count_percent, limits.count_absolute)
    for name, value in expected.quantities.items():
        score = package.plan.quantities[name].unit == ONE
        absolute = limits.score_absolute if score else limits.quantity_absolute
        found += _far(name, reading.values.get(name), value, 0.0 if score else limits.quantity_percent, absolute)
    if expected.objects is not None:
        found += _matched(package, _rows(reading), expected.objects)
    if expected.labels is not None:
        found += _dices(package, _labels(reading, expected.labels.shape), expected.labels)
    return found


def _far(name: str, value: float | None, expected: float, percent: float, absolute: float) -> list[str]:
    if value is not None and abs(value - expected) <= max(absolute, percent / 100 * abs(expected)):
        return []
    return [f"{name}: {'none' if value is None else f'{value:.3f}'} instead of {expected:.3f}"]


def _matched(package: ImagePackage, ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> list[str]:
    """F1 of objects of one class and image whose centre lies in the other's box, and how far their scores are apart."""
    pairs = match(ours, theirs)
    total = len(ours) + len(theirs)
    f1 = 2 * len(pairs) / total if total else 1.0
    found = [f"objects: F1 {f1:.3f}"] if f1 < package.tolerances.f1 else []
    if len(pairs):
        apart = float(np.abs(ours[pairs[:, 0], 2] - theirs[pairs[:, 1], 2]).mean())
        found += [f"scores: {apart:.3f} apart on average"] if apart > package.tolerances.score_absolute else []
    return found


def match(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32], slack: float = _SLACK) -> npt.NDArray[np.intp]:
    """Pairs (n, 2) of rows that belong together, as many and as near as possible: each row at most once."""
    pairs: list[tuple[int, int]] = []
    for image, kind in sorted({(int(row[0]), int(row[1])) for row in theirs}):
        mine, known = (np.flatnonzero((t[:, 0] == image) & (t[:, 1] == kind)) for t in (ours, theirs))
        centres = [(table[:, 3:5] + table[:, 5:7]) / 2 for table in (ours[mine], theirs[known])]
        apart = np.linalg.norm(centres[0][:, None] - centres[1][None], axis=2)
        half = (theirs[known, 5:7] - theirs[known, 3:5]) / 2 + slack
        inside = np.asarray((np.abs(centres[0][:, None] - centres[1][None]) <= half[None]).all(axis=2))
        for i, j in zip(*linear_sum_assignment(np.where(inside, apart, 1e9)), strict=True):
            if inside[i, j]:
                pairs.append((int(mine[i]), int(known[j])))
    return np.array(pairs, np.intp).reshape(-1, 2)


def _dices(package: ImagePackage, ours: npt.NDArray[np.uint8], theirs: npt.NDArray[np.uint8]) -> list[str]:
    found = []
    for segment in package.segments:
        a, b = ours == segment.number, theirs == segment.number
        both = int(a.sum()) + int(b.sum())
        dice = 2 * int((a & b).sum()) / both if both else 1.0
        if dice < package.tolerances.dice:
            found.append(f"segment {segment.number}: Dice {dice:.4f}")
    return found


def _rows(reading: Reading) -> npt.NDArray[np.float32]:
    table = reading.tally.objects
    columns = (table.image[:, None], table.kind[:, None], table.score[:, None], table.box)
    return np.concatenate([np.asarray(column, np.float32) for column in columns], axis=1)


def _labels(reading: Reading, size: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    table: Objects = reading.tally.objects
    found = np.zeros(size, np.uint8)
    for i in np.argsort(table.score, kind="stable"):
        if table.masks.box[i, 2]:
            rows, columns, mask = shape.drawn(table, int(i), size[1], size[2])
            found[reading.indices[int(table.image[i])], rows, columns][mask] = table.kind[i]
    return found


def _counts(package: ImagePackage, reading: Reading) -> dict[str, float]:
    kinds = reading.tally.objects.kind
    return {str(s.number): float(np.count_nonzero(kinds == s.number)) for s in package.segments}


def _quantities(reading: Reading) -> dict[str, float]:
    return {name: round(value, 4) for name, value in reading.values.items() if value is not None}


def images(package: ImagePackage, case: str) -> npt.NDArray[np.uint8]:
    """The pictures of a case, uint8 (n, rows, columns, 3); raises PackageError."""
    return np.asarray(_album(package, case)[1]["images"], np.uint8)


def _album(package: ImagePackage, case: str) -> tuple[ArrayAlbum, dict[str, npt.NDArray[Any]]]:
    arrays = _arrays(package.files[f"golden/{case}.npz"], case)
    pictures, unit = arrays.get("images"), arrays.get("mm_per_pixel")
    if pictures is None or pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.size == 0:
        raise PackageError(f"golden/{case}.npz must have 'images', uint8 (images, rows, columns, 3)")
    if unit is not None and (unit.shape != (2,) or not np.isfinite(unit).all() or (unit <= 0).any()):
        raise PackageError(f"golden/{case}.npz: 'mm_per_pixel' must be two numbers above 0 (x, y)")
    objects, labels = arrays.get("objects"), arrays.get("labels")
    if objects is not None and (objects.ndim != 2 or objects.shape[1] != _COLUMNS or not np.isfinite(objects).all()):
        raise PackageError(f"golden/{case}.npz: 'objects' must be (objects, {_COLUMNS})")
    if labels is not None and (labels.dtype != np.uint8 or labels.shape != pictures.shape[:3]):
        raise PackageError(f"golden/{case}.npz: 'labels' must be uint8 (images, rows, columns)")
    spacing = None if unit is None else (float(unit[0]), float(unit[1]))
    return ArrayAlbum(pictures, spacing), arrays


def _arrays(content: bytes, case: str) -> dict[str, npt.NDArray[Any]]:
    """Arrays of an .npz whose claims are looked at first; no Python objects."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            claimed = sum(entry.file_size for entry in members.infolist())
        if len(content) > MOST_BYTES or claimed > 4 * MOST_PIXELS:
            raise PackageError(f"golden/{case}.npz is too large")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files if name in _NAMES}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise PackageError(f"golden/{case}.npz cannot be read as arrays of numbers") from error


def _expected(package: ImagePackage, case: str, arrays: Mapping[str, npt.NDArray[Any]]) -> Expected:
    where = f"golden/{case}.json"
    try:
        table = Table(json.loads(package.files[where]), where)
    except (ValueError, RecursionError) as error:
        raise PackageError(f"{where} is not readable") from error
    counts, quantities = table.table("counts"), table.table("quantities")
    for name in quantities.names():
        if name not in package.plan.quantities:
            raise PackageError(f"{where}: there is no quantity {name!r}")
    expected = Expected(
        table.choice("outcome", ("positive", "negative")),
        {name: counts.number(name) for name in counts.names()},
        {name: quantities.number(name) for name in quantities.names()},
        arrays.get("objects"),
        arrays.get("labels"),
    )
    table.done()
    return expected
