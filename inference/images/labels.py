"""Label maps of findings on the grid of their images, drawn from the shapes of the objects."""

from collections.abc import Sequence

import numpy as np

from domain.results import Labels
from inference.images.tally import Tally
from inference.objects import shape
from inference.objects.table import Objects

MOST_IMAGES = 400
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
