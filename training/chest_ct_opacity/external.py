"""A check on one real normal study: is the lung volume right, is anything called opacity?

The network was neither trained nor chosen with it. One step after the network was: a first look showed a false piece of lung
in the table, and the smallest lung piece kept went from FIRST_ML to what package.toml says. The figures for both are given.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from inference import archive, package, series
from inference.analyse import Analyser, choose
from inference.source import open_source
from inference.volume import read_volume
from training.chest_ct_opacity.evaluate import picture, sensitive
from training.chest_ct_opacity.where import PACKAGE

FIRST_ML, SHIPPED_ML = b"min_volume_ml = 30.0", b"min_volume_ml = 100.0"


def reference_lungs(hu: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    """Lungs by threshold and morphology: air inside the body, large in 3D, windpipe left out, vessels filled."""
    air = hu < -400
    for plane in air:
        marks, _ = ndimage.label(plane)
        rim = np.unique(np.concatenate([marks[0], marks[-1], marks[:, 0], marks[:, -1]]))
        plane &= ~np.isin(marks, rim[rim > 0])
    kept = np.stack([_without_windpipe(plane) for plane in air])
    marks, count = ndimage.label(kept)
    sizes = ndimage.sum_labels(kept, marks, range(1, count + 1))
    lungs = np.isin(marks, 1 + np.nonzero(sizes > 0.05 * sizes.sum())[0])
    disk = np.hypot(*np.mgrid[-6:7, -6:7]) <= 6
    return np.stack([ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(p, 7), disk)[7:-7, 7:-7]) for p in lungs])


def _without_windpipe(plane: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    marks, count = ndimage.label(plane)
    sizes = ndimage.sum_labels(plane, marks, range(1, count + 1))
    centres = ndimage.center_of_mass(plane, marks, range(1, count + 1))
    middle = plane.shape[1] / 2
    pipes = [k + 1 for k in range(count) if sizes[k] < 1200 and abs(centres[k][1] - middle) < 0.08 * plane.shape[1]]
    return np.asarray(plane & ~np.isin(marks, pipes))


def _as_first_seen() -> Analyser:
    files = dict(archive.read_files(PACKAGE))
    assert files["package.toml"].count(SHIPPED_ML) == 1
    files["package.toml"] = files["package.toml"].replace(SHIPPED_ML, FIRST_ML)
    return Analyser(package.understand(files), "fp32")


def check(data: Path, pictures: Path | None = None) -> dict[str, Any]:
    """Volumes of the study, and what is called opacity in it."""
    sources = [open_source(p.read_bytes()) for p in sorted((data / "chest_ct" / "covid_ct_md_normal001").glob("*.dcm"))]
    shipped, counting = Analyser(package.load(PACKAGE), "fp32"), Analyser(sensitive(), "fp32")
    outcome = shipped.analyse(sources).outcome
    _, chosen = choose(sources, counting.package.contract)
    assert isinstance(chosen, series.Stack)
    volume = read_volume(chosen)
    reading = counting.read(volume)
    before = _as_first_seen().read(volume).layers[0] > 0
    truth, found = reference_lungs(volume.hu), reading.layers[0] > 0
    if pictures:
        for k in range(8, len(volume.hu), 12):
            lungs, opacity = (plane[::2, ::2] for plane in reading.layers[:, k])
            picture(
                pictures / f"normal-{k:03d}.png",
                volume.hu[k][::2, ::2],
                [(lungs, np.where(opacity > 0, opacity - 2, 0).astype(np.uint8))],
            )
    return {
        "outcome": str(outcome),
        "slices": len(volume.hu),
        "lung_ml": round(float(found.sum() * volume.voxel_ml)),
        "reference_ml": round(float(truth.sum() * volume.voxel_ml)),
        "lung_volume_error_percent": round(100 * float(found.sum() / truth.sum() - 1), 1),
        "first_lung_volume_error_percent": round(100 * float(before.sum() / truth.sum() - 1), 1),
        "first_lung_dice": round(2 * float((before & truth).sum() / (before.sum() + truth.sum())), 3),
        "lung_dice": round(2 * float((found & truth).sum() / (found.sum() + truth.sum())), 3),
        "opacity_percent": round(100 * float((reading.layers[1] > 0).sum() / found.sum()), 2),
    }
