"""Measures the shipped package, not the checkpoint: every figure comes from the OpenVINO graph and the node's own steps."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from PIL import Image

from inference import archive, package
from inference.analyse import Analyser
from inference.volume import Volume
from training.chest_ct_opacity import real, scan
from training.chest_ct_opacity.pool import IGNORE
from training.chest_ct_opacity.where import PACKAGE

FIGURES = Path(__file__).parent / "figures.json"
NORMAL_SEEDS, SICK_SEEDS = range(9000, 9006), range(9100, 9104)
RESAMPLES = 2000
Mask = npt.NDArray[np.bool_]
Case = tuple[int, int]  # overlap, sum of both sizes


PRECISIONS = {"fp32": ("network.xml", "f32"), "bf16": ("network.xml", "bf16"), "int8": ("network-int8.xml", "f32")}


def _network(precision: str = "fp32") -> Callable[[npt.NDArray[np.float32]], list[npt.NDArray[np.uint8]]]:
    file, hint = PRECISIONS[precision]
    compiled = ov.Core().compile_model(PACKAGE / file, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    return lambda hu: [compiled({"hu": hu[None]})[name][0] for name in ("lungs", "opacity")]


def sensitive() -> package.Package:
    """The shipped package with its thresholds for "positive" at zero, so that small opacities are counted and not taken out."""
    files = dict(archive.read_files(PACKAGE))
    report = json.loads(files["report.json"])
    report["positive"] = [{"quantity": "opacity_volume", "at_least": 0.0}]
    files["report.json"] = json.dumps(report).encode()
    return package.understand(files)


def pair(found: Mask, truth: Mask, seen: Mask) -> Case:
    """Overlap, and the sum of both sizes, of what is seen."""
    return int((found & truth & seen).sum()), int((found & seen).sum() + (truth & seen).sum())


def dice(cases: list[Case]) -> dict[str, Any]:
    """Dice over all cases together and the mean of the cases, each with a 95 % bootstrap interval over cases."""
    table = np.array([c for c in cases if c[1]], float)
    rng = np.random.default_rng(0)
    draws = table[rng.integers(0, len(table), (RESAMPLES, len(table)))]
    pooled = 2 * draws[..., 0].sum(1) / draws[..., 1].sum(1)
    each = 2 * table[:, 0] / table[:, 1]
    mean = each[rng.integers(0, len(each), (RESAMPLES, len(each)))].mean(1)
    return {
        "cases": len(table),
        "pooled": round(float(2 * table[:, 0].sum() / table[:, 1].sum()), 3),
        "pooled_ci95": [round(float(v), 3) for v in np.percentile(pooled, (2.5, 97.5))],
        "mean": round(float(each.mean()), 3),
        "mean_ci95": [round(float(v), 3) for v in np.percentile(mean, (2.5, 97.5))],
    }


def _overlaps(slices: Iterator[tuple[str, real.Slice]], pictures: Path | None, precision: str = "fp32") -> dict[str, list[Case]]:
    run = _network(precision)
    found: dict[str, list[Case]] = {"lungs": [], "infection": [], "ground_glass": [], "consolidation": []}
    for name, slice_ in slices:
        lungs, opacity = run(np.repeat(slice_.hu[None], 3, 0))
        known, sure = slice_.opacity != IGNORE, slice_.lungs != IGNORE
        for side in (1, 2):
            found["lungs"].append(pair(lungs == side, slice_.lungs == side, sure))
        found["infection"].append(pair(opacity > 0, slice_.opacity > 0, known))
        found["ground_glass"].append(pair(opacity == 1, slice_.opacity == 1, known))
        found["consolidation"].append(pair(opacity == 2, slice_.opacity == 2, known))
        if pictures:
            picture(pictures / f"{name.replace('/', '-')}.png", slice_.hu, [(slice_.lungs, slice_.opacity), (lungs, opacity)])
    return found


def picture(path: Path, hu: npt.NDArray[Any], labels: list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]) -> None:
    """The slice in a lung window, and beside it the slice with each pair of labels (truth, answer) painted on."""
    grey = np.clip((hu.astype(float) + 1350) / 1500 * 255, 0, 255)
    parts = [np.stack([grey] * 3, -1)]
    for lungs, opacity in labels:
        colour = np.stack([grey] * 3, -1)
        for mask, tint in (
            (lungs == 1, (0, 45, 0)),
            (lungs == 2, (0, 0, 55)),
            (opacity == 1, (80, 40, 0)),
            (opacity == 2, (110, 0, 60)),
        ):
            colour[mask] += tint
        parts.append(colour)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(np.hstack(parts), 0, 255).astype(np.uint8)).save(path)


def volumes(seeds: range, count: int | None) -> Iterator[tuple[Volume, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]:
    """Phantoms with so many lesions: the volume, its lungs (1, 2) and its opacities (1, 2)."""
    for seed in seeds:
        hu, lungs, opacity, spacing = scan.study(seed, lesion_count=count)
        heights = tuple(float(i * spacing[0]) for i in range(len(hu)))
        yield Volume(hu, spacing, heights, tuple(map(str, range(len(hu))))), lungs, opacity


def _phantoms(analyser: Analyser, pictures: Path | None) -> dict[str, Any]:
    normal, lung_errors, both = [], [], {"lungs": [], "infection": []}
    for volume, lungs, _ in volumes(NORMAL_SEEDS, 0):
        layers = analyser.read(volume).layers
        normal.append(100 * float((layers[1] > 0).sum() / max(1, (layers[0] > 0).sum())))
        lung_errors.append(abs(100 * float((layers[0] > 0).sum() / (lungs > 0).sum() - 1)))
    for volume, lungs, opacity in volumes(SICK_SEEDS, 6):
        layers = analyser.read(volume).layers
        both["lungs"] += [pair(layers[0] == k, lungs == k, lungs >= 0) for k in (1, 2)]
        both["infection"].append(pair(layers[1] > 0, opacity > 0, lungs >= 0))
        if pictures:
            k = int((opacity > 0).sum((1, 2)).argmax())
            answer = (layers[0, k], np.where(layers[1, k] > 0, layers[1, k] - 2, 0).astype(np.uint8))
            picture(pictures / f"phantom-{volume.spacing[0]:.3f}.png", volume.hu[k], [(lungs[k], opacity[k]), answer])
    rng = np.random.default_rng(0)
    means = np.array(normal)[rng.integers(0, len(normal), (RESAMPLES, len(normal)))].mean(1)
    return {
        "normal_volumes": len(normal),
        "false_opacity_percent_mean": round(float(np.mean(normal)), 3),
        "false_opacity_percent_ci95": [round(float(v), 3) for v in np.percentile(means, (2.5, 97.5))],
        "false_opacity_percent_worst": round(max(normal), 3),
        "lung_volume_error_percent_mean": round(float(np.mean(lung_errors)), 2),
        "sick_volumes": len(SICK_SEEDS),
        "lungs": dice(both["lungs"]),
        "infection": dice(both["infection"]),
    }


def precisions(data: Path) -> dict[str, Any]:
    """Dice on the annotated slices held out, in each form of the network."""
    made = {}
    for name in PRECISIONS:
        cases = _overlaps(real.semiseg(data, held_out=True), None, name)
        infection, lungs = dice(cases["infection"]), dice(cases["lungs"])
        made[name] = {"infection": infection["pooled"], "infection_mean": infection["mean"], "lungs": lungs["pooled"]}
    return made


def readings(data: Path) -> dict[str, Any]:
    """Mean Dice on the annotated slices held out when their grey levels are turned into other Hounsfield units."""
    made, numbers = {}, real.semiseg_numbers(data)[-real.TEST_SLICES :]
    for name, (air, tissue) in real.READINGS.items():
        cases = _overlaps(real.semiseg_read(data, numbers, air, tissue), None)
        infection, lungs = dice(cases["infection"]), dice(cases["lungs"])
        made[name] = {"infection": infection["pooled"], "infection_mean": infection["mean"], "lungs": lungs["pooled"]}
    return made


def measure(data: Path, pictures: Path | None = None) -> dict[str, Any]:
    """All figures of the model card."""
    annotated = _overlaps(real.semiseg(data, held_out=True), pictures)
    other = _overlaps(((n, s) for n, s in real.nysbu(data) if n.startswith(real.TEST_PATIENTS)), pictures)
    figures: dict[str, Any] = {
        "annotated_slices": {name: dice(cases) for name, cases in annotated.items()},
        "ct_slices_lungs": dice(other["lungs"]),
        "phantoms": _phantoms(Analyser(sensitive(), "fp32"), pictures),
    }
    figures["precisions"] = precisions(data)
    figures["readings"] = readings(data)
    return figures


def write(figures: dict[str, Any]) -> None:
    """Writes figures.json."""
    FIGURES.write_text(json.dumps(figures, indent=2) + "\n")
