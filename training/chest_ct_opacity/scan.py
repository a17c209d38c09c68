"""What a scanner makes of a body: table, slice thickness, kernel, noise, field of view; and whole phantom studies."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from training.chest_ct_opacity import body, lesions, trees


def _table(volume: body.Volume, rng: np.random.Generator) -> None:
    _, y, x = volume.grid.axes()
    rows = np.argwhere((volume.hu > -500).any(axis=(0, 2)))
    bottom = float(y[0, int(rows.max()), 0]) + rng.uniform(-4, 4)
    curve = bottom + rng.uniform(0, 18) - (x / rng.uniform(60, 140)) ** 2 * rng.uniform(2, 10)
    air = volume.hu < -900
    mat = (y > curve - 3) & (y < curve + rng.uniform(10, 45)) & air
    np.copyto(volume.hu, rng.uniform(-980, -880), where=mat)
    for offset in (rng.uniform(10, 20), rng.uniform(30, 60)):
        np.copyto(volume.hu, rng.uniform(-400, 250), where=(np.abs(y - curve - offset) < 1.4) & air)


def _noise(shape: tuple[int, ...], pixel_mm: float, rng: np.random.Generator) -> body.Field:
    grain = rng.standard_normal(shape).astype(np.float32)
    fine = rng.uniform(0.3, 1.3) / pixel_mm * 0.8
    grain = ndimage.gaussian_filter(grain, (0, fine, fine))
    if rng.random() < 0.4:
        grain -= 0.6 * ndimage.gaussian_filter(grain, (0, 2.5 * fine, 2.5 * fine))
    return grain / grain.std() * rng.gamma(2.2, 9)


def acquire(volume: body.Volume, rng: np.random.Generator, quiet: float = 1.0) -> npt.NDArray[np.int16]:
    """The images of a painted body, int16 HU (slices, rows, columns); ``quiet`` below 1 lowers the noise."""
    _table(volume, rng)
    grid = volume.grid
    blur = rng.uniform(0.4, 1.1) / grid.pixel_mm
    thick = rng.uniform(0.0, 0.55)
    hu = ndimage.gaussian_filter(volume.hu, (thick, blur, blur))
    mass = (hu > -300).mean(axis=(1, 2))[:, None, None]
    hu += _noise(hu.shape, grid.pixel_mm, rng) * (0.5 + mass * 2) * quiet
    if rng.random() < 0.5:
        _, y, x = grid.axes()
        outside = np.hypot(x, y - grid.shift_y) > grid.fov_mm / 2
        hu = np.where(outside, -1024, hu)
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)


def study(
    seed: int,
    size: int = 256,
    lesion_count: int | None = None,
    z: body.Field | None = None,
    fov_mm: float | None = None,
    quiet: float = 1.0,
    diffuse: float = 0.2,
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8], npt.NDArray[np.uint8], tuple[float, float, float]]:
    """Images, lungs (1 left, 2 right), opacity (1 ground glass, 2 consolidation) and spacing of phantom number ``seed``.

    What is not given is drawn: ``lesion_count``, slice positions ``z`` (mm, equal steps), field of view. ``quiet`` scales the
    noise, ``diffuse`` is the share of opacities that are widespread or follow the pleura.
    """
    rng = np.random.default_rng(seed)
    step = rng.uniform(4.6, 7.0)
    levels = np.arange(rng.uniform(-110, -20), rng.uniform(310, 360), step, dtype=np.float32) if z is None else z
    grid = body.Grid(levels, size, rng.uniform(330, 470) if fov_mm is None else fov_mm, rng.uniform(-25, 25))
    volume = body.paint(grid, rng)
    spacing = (grid.spacing_mm, grid.pixel_mm, grid.pixel_mm)
    trees.fill_lungs(volume, rng)
    if rng.random() < 0.7:
        lesions.dependent(volume.hu, volume.lungs, spacing, rng)
    count = int(rng.choice([0, 1, 3, 6, 12], p=[0.25, 0.15, 0.2, 0.2, 0.2])) if lesion_count is None else lesion_count
    opacity = lesions.add(volume.hu, volume.lungs, spacing, rng, count, diffuse)
    return acquire(volume, rng, quiet), volume.lungs, opacity, spacing
