"""The one real normal study as other scanners, doses and exports might show it: is opacity seen where there is none?"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from inference.analyse import Analyser
from inference.volume import Volume
from training.chest_ct_opacity.evaluate import sensitive
from training.chest_ct_opacity.painted import thinned

Field = npt.NDArray[np.float32]


def _as_is(hu: Field, _: Field) -> Field:
    return hu


def _noisy(hu: Field, _: Field) -> Field:
    grain = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal(hu.shape).astype(np.float32), (0, 0.6, 0.6))
    return np.asarray(hu + grain / grain.std() * 40)


def _sharp(hu: Field, _: Field) -> Field:
    return np.asarray(hu + 1.2 * (hu - ndimage.gaussian_filter(hu, (0, 1, 1))))


def _smooth(hu: Field, _: Field) -> Field:
    return np.asarray(ndimage.gaussian_filter(hu, (0, 0.8, 0.8)))


def _eight_bits(hu: Field, _: Field) -> Field:
    return np.asarray(np.round((np.clip(hu, -1350, 150) + 1350) / 1500 * 255) / 255 * 1500 - 1350)


def _shallow(hu: Field, lungs: Field) -> Field:
    """Lung 60 HU denser, and 60 more towards the back, as after little breath."""
    back = np.linspace(0, 1, hu.shape[1], dtype=np.float32)[None, :, None]
    return np.asarray(hu + np.where(hu < -500, lungs * (60 + 60 * back), 0))


CHANGES: dict[str, Callable[[Field, Field], Field]] = {
    "as it is": _as_is,
    "noise of 40 HU": _noisy,
    "sharp kernel": _sharp,
    "smooth kernel": _smooth,
    "8 bits, window -1350 to 150": _eight_bits,
    "shallow breath: lungs 60 to 120 HU denser": _shallow,
}


def check(data: Path) -> dict[str, Any]:
    """Percent of the lung called opacity, and the volume of the lungs against that of the unchanged study's reference."""
    analyser, made = Analyser(sensitive(), "fp32"), {}
    volume, lungs = thinned(data)
    for name, change in CHANGES.items():
        hu = change(volume.hu.astype(np.float32), (lungs > 0).astype(np.float32))
        changed = Volume(np.clip(np.rint(hu), -1024, 3071).astype(np.int16), volume.spacing, volume.positions, volume.uids)
        layers = analyser.read(changed).layers
        found = int((layers[0] > 0).sum())
        made[name] = {
            "opacity_percent": round(100 * int((layers[1] > 0).sum()) / max(1, found), 2),
            "lung_dice": round(2 * int(((layers[0] > 0) & (lungs > 0)).sum()) / int(found + (lungs > 0).sum()), 3),
        }
    return made
