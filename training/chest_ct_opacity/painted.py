"""Which slices are affected? Opacities painted into the one real normal study, and phantoms with few of them; tests only.

The real study is not trained on. Its slices are thinned to every other pixel and row, which is what the network sees anyway.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from inference import series
from inference.analyse import Analyser, choose
from inference.source import open_source
from inference.volume import Volume, read_volume
from training.chest_ct_opacity import lesions, scan
from training.chest_ct_opacity.evaluate import dice, pair, sensitive
from training.chest_ct_opacity.external import reference_lungs
from training.chest_ct_opacity.real import split_sides

REAL_SEEDS, PHANTOM_SEEDS = range(9300, 9312), range(9400, 9412)
NEAR_MM = 5.0  # what is found in a slice counts for its neighbours too; chosen with seeds 9500 to 9511 and 9600 to 9611
RESAMPLES, LEAST_SHARE = 500, 0.005
Labels = npt.NDArray[np.uint8]


def thinned(data: Path) -> tuple[Volume, Labels]:
    """The real normal study, every other slice, row and column, and its lungs by threshold and morphology."""
    sources = [open_source(p.read_bytes()) for p in sorted((data / "chest_ct" / "covid_ct_md_normal001").glob("*.dcm"))]
    _, chosen = choose(sources, sensitive().contract)
    assert isinstance(chosen, series.Stack)
    whole = read_volume(chosen)
    every = slice(None, None, 2)
    hu = np.ascontiguousarray(whole.hu[every, ::2, ::2])
    air = reference_lungs(hu)
    lungs = np.stack([split_sides(plane, plane.shape[1] / 2) for plane in air])
    spacing = (2 * whole.spacing[0], 2 * whole.spacing[1], 2 * whole.spacing[2])
    return Volume(hu, spacing, whole.positions[every], whole.uids[every]), lungs


def _real(data: Path) -> Iterator[tuple[Volume, Labels, Labels]]:
    volume, lungs = thinned(data)
    for seed in REAL_SEEDS:
        rng = np.random.default_rng(seed)
        field = volume.hu.astype(np.float32)
        opacity = lesions.add(field, lungs, volume.spacing, rng, int(rng.integers(1, 5)), diffuse=0.0)
        painted = np.clip(np.rint(field), -1024, 3071).astype(np.int16)
        yield Volume(painted, volume.spacing, volume.positions, volume.uids), lungs, opacity


def _phantoms() -> Iterator[tuple[Volume, Labels, Labels]]:
    for seed in PHANTOM_SEEDS:
        hu, lungs, opacity, spacing = scan.study(seed, lesion_count=2, diffuse=0.0)
        heights = tuple(float(i * spacing[0]) for i in range(len(hu)))
        yield Volume(hu, spacing, heights, tuple(map(str, range(len(hu))))), lungs, opacity


def auc(score: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve, ties counted half."""
    high, low = score[truth], score[~truth]
    return float((high[:, None] > low[None, :]).mean() + 0.5 * (high[:, None] == low[None, :]).mean())


def likely(share: npt.NDArray[np.float64], gap: float, near: float = NEAR_MM) -> npt.NDArray[np.float64]:
    """How likely each slice of a volume is affected: the ``share`` of the lung called opacity, and that of its neighbours.

    Weighted by a Gaussian of ``near`` millimetres along the patient, slices ``gap`` millimetres apart: an opacity does not end at
    once, and its tip is seldom large enough to be found alone.
    """
    return np.asarray(ndimage.gaussian_filter1d(share, near / gap, mode="nearest"))


def _measured(volumes: Iterator[tuple[Volume, Labels, Labels]], analyser: Analyser) -> dict[str, Any]:
    alone, scores, truths, overlaps = [], [], [], []
    for volume, lungs, opacity in volumes:
        layers = analyser.read(volume).layers
        shown = (lungs > 0).sum((1, 2)) > 200
        share = (opacity > 0).sum((1, 2)) / np.maximum((lungs > 0).sum((1, 2)), 1)
        found = (layers[1] > 0).sum((1, 2)) / np.maximum((layers[0] > 0).sum((1, 2)), 1)
        clear = shown & ((share == 0) | (share >= LEAST_SHARE))
        alone.append(found[clear])
        scores.append(likely(found, volume.spacing[0])[clear])
        truths.append(share[clear] > 0)
        overlaps.append(pair(layers[1] > 0, opacity > 0, lungs < 255))
    return {**_areas(scores, truths), "alone": _areas(alone, truths), "infection": dice(overlaps)}


def _areas(scores: list[npt.NDArray[np.float64]], truths: list[npt.NDArray[np.bool_]]) -> dict[str, Any]:
    """AUC over all slices; its interval by drawing volumes, because slices of one volume are alike."""
    rng, draws = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        pick = rng.integers(0, len(scores), len(scores))
        truth = np.concatenate([truths[i] for i in pick])
        if truth.any() and not truth.all():
            draws.append(auc(np.concatenate([scores[i] for i in pick]), truth))
    truth = np.concatenate(truths)
    return {
        "volumes": len(scores),
        "slices": len(truth),
        "affected": int(truth.sum()),
        "auc": round(auc(np.concatenate(scores), truth), 3),
        "auc_ci95": [round(float(v), 3) for v in np.percentile(draws, (2.5, 97.5))],
    }


def check(data: Path) -> dict[str, Any]:
    """Figures for opacities painted into real lung and into phantoms."""
    analyser = Analyser(sensitive(), "fp32")
    return {"real_lung": _measured(_real(data), analyser), "phantoms": _measured(_phantoms(), analyser)}
