"""Measures the shipped networks on phantoms never trained on: every figure comes from the OpenVINO graphs."""

import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from PIL import Image
from scipy import ndimage

from training.thyroid_us_nodule import crops, phantom, pool
from training.thyroid_us_nodule.nodule import COMPOSITION
from training.thyroid_us_nodule.tirads import OUTPUTS, POINTS, SIZE
from training.thyroid_us_nodule.where import PACKAGE

FIGURES = Path(__file__).parent / "figures.json"
RESAMPLES = 2000
TIMED = 60  # runs; the fastest counts, for the machine has other work
LEAST_AREA, LEAST_SCORE, THRESHOLD = 160, 0.5, 0.4  # as in package.toml
Gray = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Run = Callable[[npt.NDArray[np.uint8]], list[npt.NDArray[np.float32]]]


@dataclass(frozen=True, slots=True)
class Case:
    """One test picture at the network's size: ``gray``, truth ``labels``, ``field`` (the answer, 0..1)."""

    made: phantom.Phantom
    gray: Gray
    labels: Gray
    field: npt.NDArray[np.float32]

    @property
    def found(self) -> Mask:
        """What the package outlines: regions large and sure enough, holes filled."""
        marks, count = ndimage.label(ndimage.binary_fill_holes(self.field >= THRESHOLD))
        index = range(1, count + 1)
        sizes, scores = ndimage.sum_labels(np.ones(marks.shape), marks, index), ndimage.mean(self.field, marks, index)
        keep = [k for k, size, score in zip(index, sizes, scores, strict=True) if size >= LEAST_AREA and score >= LEAST_SCORE]
        return np.isin(marks, keep)


def compiled(file: str, precision: str = "f32") -> Run:
    """A network of the package as a function of one uint8 input with batch dimension."""
    network = ov.Core().compile_model(PACKAGE / file, "CPU", {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1})
    return lambda image: list(network({"image": image}).values())


def _resized(plane: Gray, how: Image.Resampling) -> Gray:
    return np.asarray(Image.fromarray(plane).resize((SIZE, SIZE), how))


def _color(gray: Gray) -> npt.NDArray[np.uint8]:
    return np.repeat(gray[..., None], 3, -1)


def network_input(pixels: Gray) -> npt.NDArray[np.uint8]:
    """A picture as the outlining network gets it, (SIZE, SIZE, 3)."""
    return _color(_resized(pixels, Image.Resampling.BOX))


def cases(run: Run, phantoms: list[phantom.Phantom]) -> list[Case]:
    """Test pictures with the network's answer."""
    made = []
    for one in phantoms:
        gray, labels = _resized(one.pixels, Image.Resampling.BOX), _resized(one.labels, Image.Resampling.NEAREST)
        made.append(Case(one, gray, labels, run(_color(gray)[None])[0][0, 0]))
    return made


def dice(found: Mask, truth: Mask) -> float:
    """Dice of two masks, at least one of them not empty."""
    return 2 * float((found & truth).sum()) / float(found.sum() + truth.sum())


def interval(values: npt.NDArray[np.float64], of: Callable[..., Any] = np.mean) -> list[float]:
    """95 % bootstrap interval over cases of ``of``, which reduces the last axis."""
    draws = values[np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))]
    return [round(float(v), 3) for v in np.percentile(of(draws, axis=-1), (2.5, 97.5))]


def _summary(values: list[float]) -> dict[str, Any]:
    table = np.array(values)
    return {
        "cases": len(table),
        "mean": round(float(table.mean()), 3),
        "mean_ci95": interval(table),
        "median": round(float(np.median(table)), 3),
    }


def overlap(seen: list[Case]) -> dict[str, Any]:
    """Dice of the outlined area, of all pictures and of kinds of them."""
    groups: dict[str, list[float]] = {name: [] for name in ("all", "small", "large", *COMPOSITION)}
    for case in seen:
        truth = case.labels > 0
        if truth.sum() < LEAST_AREA:
            continue
        value, share = dice(case.found, truth), float(truth.mean())
        kinds = ["all", *(["small"] if share < 0.05 else []), *(["large"] if share > 0.2 else [])]
        if len(case.made.nodules) == 1:
            kinds.append(COMPOSITION[case.made.nodules[0].composition])
        for kind in kinds:
            groups[kind].append(value)
    return {name: _summary(values) for name, values in groups.items() if len(values) > 4}


def objects(seen: list[Case]) -> dict[str, Any]:
    """Nodules found (overlap of at least half of both together, Dice 0.5) and false ones."""
    truths = hits = false = empty = spoiled = 0
    for case in seen:
        marks, count = ndimage.label(case.found)
        there = [case.labels == k for k in np.unique(case.labels) if k and (case.labels == k).sum() >= LEAST_AREA]
        answers = [marks == k for k in range(1, count + 1)]
        truths += len(there)
        hits += sum(any(dice(a, t) >= 0.5 for a in answers) for t in there)
        false += sum(not any(dice(a, t) >= 0.5 for t in there) for a in answers)
        empty += not case.labels.any()
        spoiled += not case.labels.any() and bool(answers)
    return {
        "nodules": truths,
        "sensitivity": round(hits / truths, 3),
        "false_per_picture": round(false / len(seen), 3),
        "empty": empty,
        "empty_with_false": spoiled,
    }


def auc(score: npt.NDArray[np.float64], truth: Mask) -> float:
    """Area under the ROC curve, ties counted half."""
    high, low = score[truth], score[~truth]
    return float((high[:, None] > low[None, :]).mean() + 0.5 * (high[:, None] == low[None, :]).mean())


def true_points(described: npt.NDArray[np.int8]) -> float:
    """ACR TI-RADS points of what was drawn."""
    composition, echo, margin = (int(v) for v in described[:3])
    if composition < 2:
        return 0.0
    total = POINTS["composition"][composition] + POINTS["echogenicity"][echo] + POINTS["margin"][margin]
    return total + float(np.dot(described[3:7], POINTS["foci"])) + 3.0 * int(described[8])


def features(run: Run, phantoms: list[phantom.Phantom]) -> dict[str, Any]:
    """How well the second network describes nodules when the outline is right."""
    drawn = pool.chunk(phantoms)
    truths, answers = [], []
    for k, label, described in crops.of_chunk(drawn.pixels, drawn.labels, drawn.features):
        gray, mask = crops.cut(drawn.pixels[k], drawn.labels[k] == label)
        answers.append([a[0] for a in run(np.dstack([_color(gray), mask])[None])])
        truths.append(described)
    truth = np.stack(truths)
    return _features(truth, {name: np.stack([a[i] for a in answers]) for i, name in enumerate(OUTPUTS)})


def _features(truth: npt.NDArray[np.int8], said: dict[str, npt.NDArray[np.float32]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for column, name in enumerate(("composition", "echogenicity", "margin")):
        right = (said[name].argmax(1) == truth[:, column]).astype(float)
        common = float(np.bincount(truth[:, column]).max() / len(truth))
        made[name] = {
            "measure": "right",
            "value": round(float(right.mean()), 3),
            "ci95": interval(right),
            "commonest": round(common, 3),
        }
    for column, name in (
        (4, "macrocalcification"),
        (5, "rim-calcification"),
        (6, "punctate-foci"),
        (3, "comet-tail"),
        (7, "halo"),
    ):
        made[name] = _ranked(said[name][:, 1].astype(float), truth[:, column] > 0)
    high = np.array([true_points(t) >= 4 for t in truth])
    made["risk, against 4 points or more drawn"] = _ranked(said["risk"][:, 1].astype(float), high)
    return made


def _ranked(score: npt.NDArray[np.float64], truth: Mask) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(300):
        pick = rng.integers(0, len(score), len(score))
        if truth[pick].any() and not truth[pick].all():
            draws.append(auc(score[pick], truth[pick]))
    bounds = [round(float(v), 3) for v in np.percentile(draws, (2.5, 97.5))]
    return {"measure": "ROC AUC", "value": round(auc(score, truth), 3), "ci95": bounds}


def picture_dice(case: Case) -> float:
    """Dice of a picture; 1 where there is nothing and nothing was found."""
    truth = case.labels > 0
    return dice(case.found, truth) if truth.any() or case.found.any() else 1.0


def mean_dice(seen: list[Case]) -> float:
    """Mean Dice over the pictures with a nodule."""
    return float(np.mean([dice(c.found, c.labels > 0) for c in seen if (c.labels > 0).sum() >= LEAST_AREA]))


PRECISIONS = {"fp32": ("network.xml", "f32"), "bf16": ("network.xml", "bf16"), "int8": ("network-int8.xml", "f32")}


def precisions(phantoms: list[phantom.Phantom]) -> dict[str, Any]:
    """Dice and time of the outlining network in the precisions of this CPU."""
    made = {}
    for name, (file, hint) in PRECISIONS.items():
        if not (PACKAGE / file).exists():
            continue
        run = compiled(file, hint)
        seen = cases(run, phantoms)
        image, times = _color(seen[0].gray)[None], []
        for _ in range(TIMED):
            started = time.perf_counter()
            run(image)
            times.append(time.perf_counter() - started)
        made[name] = {"dice": round(mean_dice(seen), 3), "ms": round(1000 * min(times), 1)}
    return made


def _jpeg(pixels: Gray) -> Gray:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, "JPEG", quality=15)
    return np.asarray(Image.open(held))


def _bent(gamma: float) -> Callable[[Gray], Gray]:
    return lambda pixels: np.asarray((pixels / 255.0) ** gamma * 255, np.uint8)


def _noisy(pixels: Gray) -> Gray:
    grain = np.random.default_rng(0).normal(1, 0.25, pixels.shape)
    return np.clip(pixels * grain, 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[Gray], Gray]] = {
    "brighter, gamma 0.6": _bent(0.6),
    "darker, gamma 1.6": _bent(1.6),
    "blurred, 1.5 pixels": lambda pixels: ndimage.gaussian_filter(pixels, 1.5),
    "noise, a quarter of each grey level": _noisy,
    "JPEG of quality 15": _jpeg,
}
TURN = 8.0


def _turned(one: phantom.Phantom) -> phantom.Phantom:
    pixels = ndimage.rotate(one.pixels, TURN, reshape=False, order=1)
    return replace(one, pixels=pixels, labels=ndimage.rotate(one.labels, TURN, reshape=False, order=0))


def changed(run: Run, phantoms: list[phantom.Phantom]) -> dict[str, float]:
    """Mean Dice on the same pictures, changed as other machines and ways of storing change them."""
    made = {}
    for name, change in CHANGES.items():
        others = [replace(p, pixels=change(p.pixels)) for p in phantoms]
        made[name] = round(mean_dice(cases(run, others)), 3)
    made[f"turned by {TURN:g} degrees"] = round(mean_dice(cases(run, [_turned(p) for p in phantoms])), 3)
    return made


def validate() -> dict[str, Any]:
    """Overlap and objects on the validation phantoms, for choosing; the card's figures come from others."""
    seeds = range(pool.VALIDATION_SEED, pool.VALIDATION_SEED + pool.VALIDATION_COUNT)
    seen = cases(compiled("network.xml"), [phantom.make(seed) for seed in seeds])
    return {"overlap": overlap(seen)["all"], "objects": objects(seen)}


def measure() -> dict[str, Any]:
    """All figures of the model card."""
    import torch

    from training.thyroid_us_nodule.where import OUT

    seeds = range(pool.TEST_SEED, pool.TEST_SEED + pool.TEST_COUNT)
    drawn, run = [phantom.make(seed) for seed in seeds], compiled("network.xml")
    seen, without_limit = cases(run, drawn), cases(run, [phantom.make(seed, unseen=True) for seed in seeds])
    steps = {name: int(torch.load(OUT / f"{name}.pt", weights_only=True)["steps"]) for name in ("outline", "features")}
    return {
        "overlap": {**overlap(seen), "unseen": overlap(without_limit)["all"]},
        "objects": objects(seen),
        "features": features(compiled("crops.xml"), drawn),
        "changed": changed(run, drawn),
        "precisions": precisions(drawn),
        "validation": validate(),
        "training": {
            "phantoms": pool.CHUNK * pool.TRAIN_CHUNKS,
            "test": pool.TEST_COUNT,
            "outline_steps": steps["outline"],
            "feature_steps": steps["features"],
            "resamples": RESAMPLES,
            "calibration": pool.CALIBRATION_COUNT,
            **_sizes(),
        },
    }


def _sizes() -> dict[str, float]:
    """Millions of parameters of the two networks."""
    from training.thyroid_us_nodule.crop_network import CropNetwork
    from training.thyroid_us_nodule.network import Network

    made = {"outline_millions": Network(), "feature_millions": CropNetwork()}
    return {name: round(sum(p.numel() for p in network.parameters()) / 1e6, 1) for name, network in made.items()}


def write(figures: dict[str, Any]) -> None:
    """Writes figures.json."""
    FIGURES.write_text(json.dumps(figures, indent=2) + "\n")
