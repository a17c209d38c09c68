"""Arranges a neck about its nodules: transverse, lengthwise or close up, with the field of view the examiner chose."""

from dataclasses import dataclass

import numpy as np

from training.thyroid_us_nodule import decoys
from training.thyroid_us_nodule import nodule as nodules
from training.thyroid_us_nodule import tissue as tissues
from training.thyroid_us_nodule.field import Grid, Map, ellipse, make_grid, noise, soft
from training.thyroid_us_nodule.nodule import Nodule
from training.thyroid_us_nodule.tissue import Tissue


@dataclass(slots=True)
class Scene:
    """Painted tissue, the nodules in it and their label map (0, 1, 2 ...)."""

    tissue: Tissue
    nodules: list[Nodule]
    labels: np.ndarray


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes and places in mm, before the fields of view are cut."""

    lobe: tuple[float, float]  # centre: sideways, deep; mm
    half: tuple[float, float]
    strap: float  # depth where the muscles end
    view: float  # width, mm
    top: float  # depth of the first row
    sideways: float


@dataclass(frozen=True, slots=True)
class Arrangement:
    """A scene before it is painted: samples, lengthwise or across, view, nodules."""

    shape: tuple[int, int]
    long: bool
    plan: Plan
    nodules: list[Nodule]


def _sizes(rng: np.random.Generator) -> list[float]:
    count = int(rng.choice([0, 1, 2, 3], p=[0.1, 0.72, 0.13, 0.05]))
    return sorted((float(np.clip(rng.lognormal(1.75, 0.55), 1.6, 21)) for _ in range(count)), reverse=True)


def _plan(sizes: list[float], shape: tuple[int, int], long: bool, rng: np.random.Generator) -> Plan:
    largest = sizes[0] if sizes else rng.uniform(3, 9)
    strap = rng.uniform(4, 15)
    half = (rng.uniform(15, 30), rng.uniform(5, 11)) if long else (rng.uniform(6.5, 13), rng.uniform(6, 12))
    need = largest * rng.uniform(1.02, 1.5)
    half = (max(half[0], need * 1.1), max(half[1], need))
    centre = (0.0, strap + half[1] + rng.uniform(-0.5, 1.5))
    view = rng.uniform(26, 52)  # what examiners mostly choose
    if rng.random() < 0.5:  # or a picture cut out about the nodule
        share = float(np.exp(rng.uniform(np.log(0.07), np.log(0.7))))
        view = float(np.sqrt(np.pi * largest**2 / share * shape[1] / shape[0]))
    view = float(np.clip(view, max(1.9 * largest, 11.0), 70))
    high = view * shape[0] / shape[1]
    reach = 2 * half[1] + strap
    top = 0.0
    if high < reach * 1.02 or rng.random() < 0.2:  # a crop that leaves out the skin
        top = float(np.clip(centre[1] - high * rng.uniform(0.35, 0.65), 0, None))
    return Plan(centre, half, strap, view, top, 0.0)


def _around(tissue: Tissue, plan: Plan, side: float, rng: np.random.Generator) -> None:
    """What lies beside a lobe cut across: windpipe and gullet towards the middle, great vessels outside."""
    (cx, cy), (a, b) = plan.lobe, plan.half
    radius = rng.uniform(6.5, 10.5)
    inward = cx - side * (a * rng.uniform(0.8, 1.0) + radius * rng.uniform(0.7, 1.05))
    outward = cx + side * (a + rng.uniform(0.5, 4))
    if rng.random() < 0.6:
        d = ellipse(tissue.grid, (inward, cy - b * rng.uniform(0.2, 0.8)), (a, rng.uniform(1.5, 4)))
        tissues.gland(tissue, d, 0.0, rng)
    if rng.random() < 0.85:
        tissues.trachea(tissue, (inward, cy + rng.uniform(-2, 6)), (radius, radius * rng.uniform(0.7, 1)), rng)
    if rng.random() < 0.5:
        at = (cx - side * a * rng.uniform(0.3, 0.9), cy + b * rng.uniform(0.8, 1.2))
        tissues.oesophagus(tissue, at, rng.uniform(2.5, 6), rng)
    if rng.random() < 0.85:
        r = rng.uniform(2.4, 4.6)
        d = ellipse(tissue.grid, (outward + side * r * 0.6, cy + rng.uniform(-4, 5)), (r * rng.uniform(0.9, 1.3), r))
        tissues.vessel(tissue, d, rng.uniform(0.4, 1.0), rng)
    if rng.random() < 0.5:
        at = (outward + side * rng.uniform(3, 10), cy - rng.uniform(1, 8))
        d = ellipse(tissue.grid, at, (rng.uniform(2.5, 7), rng.uniform(1.2, 3.5)), rng.normal(0, 0.3))
        tissues.vessel(tissue, d, rng.uniform(0.2, 0.5), rng)
    if rng.random() < 0.55:
        at = (outward + side * rng.uniform(1, 9), plan.strap * rng.uniform(0.5, 1.2))
        decoys.muscle(tissue, at, (rng.uniform(6, 13), rng.uniform(2.5, 6)), rng)
    if rng.random() < 0.12:
        decoys.lymph_node(tissue, (outward + side * rng.uniform(0, 9), cy + rng.uniform(-8, 8)), rng.uniform(2, 6), rng)


def _beneath(tissue: Tissue, plan: Plan, long: bool, rng: np.random.Generator) -> None:
    (_, cy), (_, b) = plan.lobe, plan.half
    if rng.random() < 0.75:
        tissues.spine(tissue, cy + b * rng.uniform(0.75, 1.15) + rng.uniform(0, 4), rng)
    if rng.random() < 0.4:
        at = (plan.lobe[0] + rng.uniform(-6, 6), cy + b + rng.uniform(2, 5))
        decoys.muscle(tissue, at, (rng.uniform(9, 25) if long else rng.uniform(4, 9), rng.uniform(2, 4.5)), rng)
    if long and rng.random() < 0.3:
        tilt = rng.uniform(-0.2, 0.2)
        level = tissue.grid.y - (cy + b + rng.uniform(1, 6)) - tilt * tissue.grid.x
        tissues.vessel(tissue, rng.uniform(1.8, 3.5) - np.abs(level), rng.uniform(0.4, 1), rng)


def _small_vessels(tissue: Tissue, rng: np.random.Generator) -> None:
    """Tubes in and on the gland, too thin to be nodules."""
    rows, columns = np.nonzero(tissue.gland > -1.5)
    for _ in range(int(rng.integers(0, 3)) if len(rows) else 0):
        k = int(rng.integers(len(rows)))
        at = (float(tissue.grid.x[rows[k], columns[k]]), float(tissue.grid.y[rows[k], columns[k]]))
        thin = rng.uniform(0.3, 0.9)
        d = ellipse(tissue.grid, at, (thin * rng.uniform(1, 6), thin), rng.uniform(0, 3.14))
        tissue.lay(soft(d, 0.4), rng.uniform(-26, -8))


def _places(sizes: list[float], plan: Plan, rng: np.random.Generator) -> list[Nodule]:
    made: list[Nodule] = []
    for size in sizes:
        for _ in range(12):
            r, angle = np.sqrt(rng.uniform(0, 1)), rng.uniform(0, 2 * np.pi)
            free = [max(0.0, h - size * 0.95) for h in plan.half]
            at = (plan.lobe[0] + free[0] * r * np.cos(angle), plan.lobe[1] + free[1] * r * np.sin(angle))
            one = nodules.draw(at, size, rng)
            if one.margin == 3:  # through the capsule towards the muscles
                at = (at[0], plan.lobe[1] - plan.half[1] + size * rng.uniform(0.3, 0.7))
                one = nodules.draw(at, size, rng)
            apart = all(np.hypot(at[0] - o.centre[0], at[1] - o.centre[1]) > max(one.half) + max(o.half) for o in made)
            if apart:
                made.append(one)
                break
    return made


def _view(plan: Plan, made: list[Nodule], shape: tuple[int, int], rng: np.random.Generator) -> Plan:
    """Moves the field of view so that the first nodule lies within it, seldom cut off."""
    if not made:
        return Plan(plan.lobe, plan.half, plan.strap, plan.view, plan.top, rng.uniform(-0.3, 0.3) * plan.view)
    first = made[0]
    high = plan.view * shape[0] / shape[1]
    slack = max(0.0, plan.view / 2 - max(first.half) * rng.uniform(0.9, 1.15))
    aside = first.centre[0] + slack * float(np.clip(rng.normal(0, 0.45), -1, 1))
    low, up = first.centre[1] + first.half[1] * 1.1 - high, max(0.0, first.centre[1] - first.half[1] * 1.1)
    top = float(np.clip(plan.top, min(max(low, 0.0), up), up))
    return Plan(plan.lobe, plan.half, plan.strap, plan.view, top, aside)


def arrange(shape: tuple[int, int], rng: np.random.Generator) -> Arrangement:
    """Where everything goes, on ``shape`` samples."""
    long = bool(rng.random() < 0.45)
    sizes = _sizes(rng)
    plan = _plan(sizes, shape, long, rng)
    made = _places(sizes, plan, rng)
    return Arrangement(shape, long, _view(plan, made, shape, rng), made)


def depict(planned: Arrangement, rng: np.random.Generator) -> Scene:
    """Paints an arrangement; nodules come last, so equal ``rng`` gives equal surroundings whatever the nodules are."""
    plan, shape = planned.plan, planned.shape
    step = plan.view / shape[1]
    grid = make_grid(shape, step, plan.top, rng.uniform(0.1, 0.7), rng)
    grid = Grid(grid.x + np.float32(plan.sideways), grid.y, step)
    tissue = tissues.ground(grid, rng)
    tissues.fascia(tissue, rng)
    _beneath(tissue, plan, planned.long, rng)
    skin = rng.uniform(0.8, 2.2)
    tissues.layers(tissue, (skin, skin + (plan.strap - skin) * rng.uniform(0.2, 0.7), plan.strap), rng)
    if not planned.long:
        _around(tissue, plan, 1.0 if rng.random() < 0.5 else -1.0, rng)
    power = rng.uniform(1.8, 2.8)
    wobble = rng.uniform(0.03, 0.12) * min(plan.half) * noise(shape, 6 / step, rng)
    lobe = ellipse(grid, plan.lobe, plan.half, rng.normal(0, 0.12), power) + wobble
    disease = float(rng.uniform(0.3, 1)) if rng.random() < 0.25 else 0.0
    tissues.gland(tissue, lobe.astype(np.float32), disease, rng)
    _small_vessels(tissue, rng)
    if rng.random() < 0.2:
        decoys.colloid(tissue, rng)
    if rng.random() < 0.45:
        decoys.sheets(tissue, rng)
    return Scene(tissue, planned.nodules, _paint(tissue, planned.nodules, rng))


def compose(shape: tuple[int, int], rng: np.random.Generator) -> Scene:
    """A scene on ``shape`` samples."""
    return depict(arrange(shape, rng), rng)


def _paint(tissue: Tissue, made: list[Nodule], rng: np.random.Generator) -> np.ndarray:
    labels = np.zeros(tissue.grid.shape, np.uint8)
    for number, one in enumerate(made, 1):
        distance: Map = nodules.paint(tissue, one, rng)
        labels[distance > 0] = number
    return labels
