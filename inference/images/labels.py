"""Label and probability maps of findings on the grid of their images."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from domain.results import Code, Field, Labels
from inference.images.quantity import ONE
from inference.images.tally import Probability, Tally
from inference.objects import shape
from inference.objects.table import Objects

MOST_IMAGES = 400
MOST_FIELDS = 16  # images with probability maps
PROBABILITY = Code("probability", "99ANCILLA", "Probability of the segment")
MOST_PIXELS = 400_000_000  # of all images together: this is held in memory


def labels(tally: Tally, chosen: Sequence[tuple[Objects, Sequence[int]]]) -> Labels | None:
    """Labels of every sighting of the chosen things, on the images with them; None where no object has a shape.

    All images of a label map have one size: those of the size of the best finding's are there.
    """
    tracks = {int(things.track[i]) for things, order in chosen for i in order if things.masks.box[i, 2]}
    best = next((int(things.image[i]) for things, order in chosen for i in order if things.masks.box[i, 2]), None)
    if best is None:
        return None
    size = (tally.images[best].rows, tally.images[best].columns)
    drawn = np.flatnonzero(np.isin(tally.objects.track, list(tracks)) & (tally.objects.masks.box[:, 2] > 0))
    where = [int(i) for i in np.unique(tally.objects.image[drawn]) if (tally.images[i].rows, tally.images[i].columns) == size]
    most = max(1, min(MOST_IMAGES, MOST_PIXELS // (size[0] * size[1])))
    if len(where) > most:
        nearest = sorted(where, key=lambda i: (abs(i - best), i))[:most]
        where = sorted(nearest)
    layers = np.zeros((1, len(where), *size), np.uint8)
    for i in drawn[np.argsort(tally.objects.score[drawn], kind="stable")]:  # the best is drawn last, over the others
        if int(tally.objects.image[i]) in where:
            rows, columns, mask = shape.drawn(tally.objects, int(i), *size)
            layers[0, where.index(int(tally.objects.image[i])), rows, columns][mask] = tally.objects.kind[i]
    images = [tally.images[i] for i in where]
    frames = tuple(image.frame or 1 for image in images) if any(image.frame for image in images) else ()
    return Labels(layers, tuple(image.uid for image in images), frames)


def fields(tally: Tally, chosen: Sequence[tuple[Objects, Sequence[int]]]) -> tuple[Field, ...]:
    """The probability of each segment in the images that findings are drawn on (those of the size of the best one's)."""
    best = list(dict.fromkeys(int(things.image[i]) for things, order in chosen for i in order))
    if not best:
        return ()
    size = (tally.images[best[0]].rows, tally.images[best[0]].columns)
    most = max(1, min(MOST_FIELDS, MOST_PIXELS // 4 // (size[0] * size[1])))
    there = [i for i in best if (tally.images[i].rows, tally.images[i].columns) == size][:most]
    numbers = sorted({number for i in there for number in tally.images[i].maps})
    return tuple(_field(tally, number, sorted(i for i in there if number in tally.images[i].maps), size) for number in numbers)


def _field(tally: Tally, number: int, where: Sequence[int], size: tuple[int, int]) -> Field:
    images = [tally.images[i] for i in where]
    values = np.stack([_on_image(image.maps[number], size) for image in images])
    frames = tuple(image.frame or 1 for image in images) if any(image.frame for image in images) else ()
    return Field(PROBABILITY, ONE, values, tuple(image.uid for image in images), frames, number)


def _on_image(found: Probability, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Bilinear between the middles of cells; 0 where the grid does not reach."""
    width, height, left, top = found.cell
    rows = (np.arange(size[0]) + 0.5 - top) / height - 0.5
    columns = (np.arange(size[1]) + 0.5 - left) / width - 0.5
    grid = np.meshgrid(rows, columns, indexing="ij")
    values = ndimage.map_coordinates(found.values.astype(np.float32) / 255, grid, order=1, mode="nearest")
    inside = np.outer((rows > -1) & (rows < found.values.shape[0]), (columns > -1) & (columns < found.values.shape[1]))
    return np.asarray(np.where(inside, values, 0), np.float32)
