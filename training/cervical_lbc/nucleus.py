"""Where the nucleus of a single-cell picture lies, by classical means: the darkest of three densities, nearest the middle."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_multiotsu
from skimage.measure import regionprops

SOLID = 0.88  # of its convex hull a nucleus fills at least so much; less is a guess that failed


def mask(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_] | None:
    """The nucleus of ``pixels`` (rows, columns, 3), which show one cell in the middle; None when the guess is a poor one.

    Nuclei take most of the red light (haematoxylin); the levels are by Otsu's method with three classes.
    """
    density = -np.log((pixels[..., 0].astype(np.float32) + 2) / 257)
    density = ndimage.gaussian_filter(density, max(pixels.shape[:2]) / 80)
    if density.std() < 0.02:
        return None
    labels, count = ndimage.label(ndimage.binary_opening(density > threshold_multiotsu(density, 3, 64)[1]))
    if not count:
        return None
    rows, columns = (np.arange(n) / n - 0.5 for n in density.shape)
    central = np.exp(-(rows[:, None] ** 2 + columns[None] ** 2) / (2 * 0.16**2)) * (density - density.min())
    worth = ndimage.sum_labels(central, labels, np.arange(1, count + 1)) / np.sqrt(np.bincount(labels.ravel())[1:])
    found = ndimage.binary_fill_holes(labels == 1 + int(np.argmax(worth)))
    return np.asarray(found, np.bool_) if regionprops(found.astype(np.uint8))[0].solidity >= SOLID else None
