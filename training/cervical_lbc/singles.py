"""Measures the cell classifier on single cells that it never saw."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from training.cervical_lbc import cells, crops
from training.cervical_lbc.cells import Cell
from training.cervical_lbc.where import BETHESDA, CLASSES, NORMAL, PACKAGE
from training.microscopy import decode
from training.tb_smear_afb.evaluate import CHANGES

RESAMPLES = 2000
Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def interval(right: npt.NDArray[np.bool_], groups: Sequence[str] | None = None) -> dict[str, Any]:
    """Share that is right, with a 95 % bootstrap interval; over ``groups``, when they are given, instead of cells."""
    names = np.arange(len(right)) if groups is None else np.unique(list(groups), return_inverse=True)[1]
    counts, hits = np.bincount(names), np.bincount(names, right)
    chosen = np.random.default_rng(0).integers(0, len(counts), (RESAMPLES, len(counts)))
    draws = hits[chosen].sum(1) / counts[chosen].sum(1)
    return {
        "cells": len(right),
        "share": round(float(right.mean()), 3),
        "ci95": [round(float(v), 3) for v in np.percentile(draws, (2.5, 97.5))],
    }


def auc(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the share of pairs in the right order, ties half."""
    high, low = scores[positive][:, None], scores[~positive][None]
    return float((high > low).mean() + (high == low).mean() / 2)


def network(precision: str) -> Any:
    """The shipped classifier, compiled."""
    return decode.compiled(PACKAGE, "crops", precision)


def probabilities(network: Any, pictures: Sequence[Pixels]) -> Floats:
    """(n, 7) of crops."""
    return np.array([network(p[None])["cell"][0] for p in pictures], np.float64).reshape(-1, len(CLASSES))


def judged(table: Floats, held: Sequence[Cell]) -> dict[str, Any]:
    """How often the class, the group and the side are right, with intervals over the pictures the cells were cut from."""
    kinds, sources = np.array([c.kind for c in held]), [c.group for c in held]
    named, groups = table.argmax(1), np.array(BETHESDA)
    abnormal = table[:, NORMAL:].sum(1)
    confusion = np.zeros((7, 7), int)
    np.add.at(confusion, (kinds, named), 1)
    return {
        "seven_classes": interval(named == kinds, sources),
        "bethesda_three": interval(groups[named] == groups[kinds], sources),
        "normal_abnormal": interval((abnormal >= 0.5) == (kinds >= NORMAL), sources),
        "squamous": interval(((abnormal >= 0.5) == (kinds >= NORMAL))[kinds != 2], [c.group for c in held if c.kind != 2]),
        "one_class_off_or_right": interval(_near(named, kinds), sources),
        "auc_abnormal": round(auc(abnormal, kinds >= NORMAL), 3),
        "confusion": confusion.tolist(),
    }


def _near(named: npt.NDArray[np.intp], kinds: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    same_side = (named >= NORMAL) == (kinds >= NORMAL)
    return np.asarray((named == kinds) | (same_side & (np.abs(named - kinds) == 1)))


def measure(every: Sequence[Cell]) -> dict[str, Any]:
    """Figures of the cells held out in all precisions and on changed pictures; how many of those taught are named right."""
    held, taught = cells.held_out(list(every)), cells.training(list(every))
    networks, pictures = {p: network(p) for p in decode.HINTS}, [crops.plain(c) for c in held]
    figures: dict[str, Any] = {p: judged(probabilities(n, pictures), held) for p, n in networks.items()}
    changed = {name: [change(p) for p in pictures] for name, change in CHANGES.items()}
    figures["changes"] = {name: judged(probabilities(networks["fp32"], them), held) for name, them in changed.items()}
    figures["taught"] = judged(probabilities(networks["fp32"], [crops.plain(c) for c in taught]), taught)
    return figures
