"""Measures the shipped networks of the smear package on fields never trained on, in all precisions; writes figures.json."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg
import torch
from PIL import Image
from scipy import ndimage

from training.microscopy import decode, score
from training.tb_smear_afb import fields, smears, synthetic
from training.tb_smear_afb.fields import SmearField
from training.tb_smear_afb.where import CHECKPOINT, HEIGHT, PACKAGE, WIDTH

FIGURES = Path(__file__).parent / "figures.json"
UM = 0.1  # micrometres of a pixel of the network's input, as package.toml has it for slides
SCANNERS = (0.12, 0.17, 0.25)  # micrometres a pixel
SLACK = 5.0  # pixels of the input: 10 of the stored field
MADE_SEEDS = range(7000, 7012)
Pixels = npt.NDArray[np.uint8]


def rules(folder: Path = PACKAGE) -> tuple[float, float, float]:
    """Least score and overlap of objects from package.toml, and the area of one bacillus of a cluster from report.json."""
    import tomllib

    rule = tomllib.loads((folder / "package.toml").read_text())["objects"][0]
    report = json.loads((folder / "report.json").read_text())
    return rule["min_score"], rule["nms_iou"], report["quantities"]["bacilli"]["per_area"]["2"]


def counted_from(folder: Path = PACKAGE) -> float:
    """The score from which report.json counts what is marked."""
    return float(json.loads((folder / "report.json").read_text())["quantities"]["bacilli"]["min_score"])


def bacilli(found: decode.Found, per_area: float) -> float:
    """How many bacilli the objects are: a cluster counts as many as its box holds, at least one (the node's rule)."""
    found = found[found[:, 5] >= counted_from()]
    areas = found[found[:, 4] == 1, 2:4].prod(1) * np.pi / 4
    return float((found[:, 4] == 0).sum() + np.maximum(np.rint(areas / per_area), 1).sum())


def _scored(network: Any, looked_at: list[SmearField]) -> dict[str, Any]:
    least, iou, _ = rules()
    found = [decode.objects(network, f.pixels, least, iou) for f in looked_at]
    pairs = list(zip(found, looked_at, strict=True))
    result = score.f1([score.tally(o, f.boxes, SLACK) for o, f in pairs])
    result["f1_iou03"] = score.f1([score.tally(o, f.boxes) for o, f in pairs])["f1"]
    for kind, name in enumerate(("bacillus", "cluster")):
        ap = score.average_precision(found, [f.boxes[f.boxes[:, 4] >= 0] for f in looked_at], kind, 0.3)
        result[f"ap03_{name}"] = None if ap is None else round(ap, 3)
    return result


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """As it comes back from a JPEG file."""
    return np.asarray(simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality)))


def _toned(pixels: Pixels, gain: tuple[float, float, float], gamma: float) -> Pixels:
    return np.asarray(np.clip((pixels / 255.0 * gain) ** gamma * 255, 0, 255), np.uint8)


def _noisy(pixels: Pixels) -> Pixels:
    noise = np.random.default_rng(0).normal(0, 8, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "JPEG quality 30": lambda p: jpeg(p, 30),
    "defocus (sigma 1.5 px)": lambda p: ndimage.gaussian_filter(p, (1.5, 1.5, 0)),
    "noise (sigma 8 of 255)": _noisy,
    "bluish, darker": lambda p: _toned(p, (0.7, 0.8, 0.95), 1.0),
    "yellowish": lambda p: _toned(p, (1.0, 0.95, 0.7), 1.0),
    "gamma 1.5": lambda p: _toned(p, (1, 1, 1), 1.5),
    "gamma 0.7": lambda p: _toned(p, (1, 1, 1), 0.7),
}


def _changed(network: Any, held: list[SmearField]) -> dict[str, Any]:
    return {
        name: _scored(network, [SmearField(f.name, change(f.pixels), f.boxes) for f in held])["f1"]
        for name, change in CHANGES.items()
    }


def _scales(data: Path) -> dict[str, Any]:
    """The same network at other working scales: F1 and milliseconds a field on one thread of this machine."""
    least, iou, _ = rules()
    table = {}
    for name, width, height in (("full", 2592, 1952), ("half", 1280, 960), ("third", 864, 640)):
        network = decode.compiled(PACKAGE, "network", "int8", (height, width))
        tallies, seconds = [], []
        for number in fields.HELD_OUT:
            inner = (width, width * 3 // 4)
            field = fields.read(data, number, *inner)
            pixels = np.zeros((height, width, 3), np.uint8)
            pixels[: min(height, inner[1])] = field.pixels[:height]
            started = time.perf_counter()
            found = decode.objects(network, pixels, least, iou)
            seconds.append(time.perf_counter() - started)
            tallies.append(score.tally(found, field.boxes, 10.0 * width / 2592))
        table[name] = {"width": width, "ms": round(1000 * float(np.median(seconds))), **score.f1(tallies)}
    return table


def _scanned(network: Any, held: list[SmearField]) -> dict[str, Any]:
    """F1 on the fields as a slide scanner would have seen them: at fewer pixels, then brought to those of the network's input."""

    def seen(pixels: Pixels, um: float) -> Pixels:
        small = [round(n * UM / um) for n in (WIDTH, HEIGHT)]
        image = Image.fromarray(pixels).resize(small, Image.Resampling.BOX)
        return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))

    return {f"{um:g}": _scored(network, [SmearField(f.name, seen(f.pixels, um), f.boxes) for f in held])["f1"] for um in SCANNERS}


def _inside(found: decode.Found) -> decode.Found:
    """Without what lies within 12 pixels of the border: there the emptied fields keep bacilli that nobody boxed."""
    middle = np.array([WIDTH, HEIGHT]) / 2
    return found[(np.abs(found[:, :2] - middle) < middle - 12).all(1)]


def _graded(network: Any, held: list[SmearField]) -> dict[str, Any]:
    least, iou, per_area = rules()
    pool = smears.pool(held, each=4, seed=2)
    counts = [bacilli(_inside(decode.objects(network, c.pixels, least, iou)), per_area) for c in pool]
    truth = [c.count for c in pool]
    table = smears.simulate(truth, counts, 200)
    right = {g: round(row[i] / max(sum(row), 1), 3) for i, (g, row) in enumerate(table.items())}
    empty = [c for t, c in zip(truth, counts, strict=True) if t == 0]
    return {
        "smears_per_grade": 200,
        "right": right,
        "right_all": round(float(np.mean([row[i] / max(sum(row), 1) for i, row in enumerate(table.values())])), 3),
        "confusion": table,
        "false_per_emptied_field": round(float(np.mean(empty)), 3),
        "mean_count_error": round(float(np.mean([c - t for t, c in zip(truth, counts, strict=True)])), 3),
    }


def _clusters(network: Any) -> dict[str, Any]:
    """Counts on made-up fields, where the number of bacilli in every cluster is known."""
    least, iou, per_area = rules()
    made = [synthetic.field(seed, 8, 5) for seed in MADE_SEEDS]
    found = [decode.objects(network, m.pixels, least, iou) for m in made]
    truth, counted = [sum(m.counts) for m in made], [bacilli(f, per_area) for f in found]
    tallies = [score.tally(f, m.boxes, SLACK) for f, m in zip(found, made, strict=True)]
    marked = [np.concatenate([f[:, :5], np.ones((len(f), 1), np.float32)], 1) for f in found]
    return {
        "true": int(sum(truth)),
        "counted": round(sum(counted)),
        "marked": round(sum(bacilli(m, per_area) for m in marked)),
        **score.f1(tallies),
    }


def measure(data: Path) -> dict[str, Any]:
    """All figures of the card."""
    held = fields.held_out(data)
    figures: dict[str, Any] = {"held_out": list(fields.HELD_OUT), "rules": [*rules(), counted_from()]}
    figures["steps"] = int(torch.load(CHECKPOINT, weights_only=True)["steps"])
    networks = {p: decode.compiled(PACKAGE, "network", p) for p in decode.HINTS}
    figures["precisions"] = {p: _scored(n, held) for p, n in networks.items()}
    figures["trained_fields"] = _scored(networks["fp32"], fields.training(data)[:6])["f1"]
    found = [decode.objects(networks["fp32"], f.pixels, 0.1, rules()[1]) for f in held]
    figures["thresholds"] = {
        f"{t:g}": score.f1([score.tally(o[o[:, 5] >= t], f.boxes, SLACK) for o, f in zip(found, held, strict=True)])["f1"]
        for t in (0.25, 0.3, 0.35, 0.4, 0.45)
    }
    figures["changes"] = _changed(networks["int8"], held)
    figures["scales"] = _scales(data)
    figures["scanned"] = _scanned(networks["int8"], held)
    figures["made_up"] = _clusters(networks["int8"])
    figures["grades"] = _graded(networks["int8"], held)
    return figures


def write(figures: dict[str, Any]) -> None:
    """figures.json, which the card is made of."""
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
