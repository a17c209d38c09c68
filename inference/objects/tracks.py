"""Objects of successive frames that overlap are one thing: a nodule seen in forty frames of a cine is one nodule."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from inference.objects.table import Objects


def linked(objects: Objects, groups: npt.NDArray[np.integer], iou: float, gap: int, min_frames: int = 1) -> Objects:
    """The objects with tracks by overlap of boxes; ``groups`` names the cine of each image (frames in order).

    The best-overlapping pair of an open track and an object of the same class is joined first. A track is open for ``gap``
    frames in which it was not seen. Tracks in fewer than ``min_frames`` frames are left out, unless their cine is shorter.
    """
    track = np.full(len(objects), -1, np.int32)
    count = 0
    for group in np.unique(groups):
        open_tracks: dict[int, tuple[int, int]] = {}  # track -> its last frame and object
        for frame, image in enumerate(np.flatnonzero(groups == group)):
            members = np.flatnonzero(objects.image == image)
            _join(objects, track, members, {t: last for t, last in open_tracks.items() if frame - last[0] <= gap + 1}, iou)
            for i in members:
                if track[i] < 0:
                    track[i], count = count, count + 1
                open_tracks[int(track[i])] = (frame, int(i))
    return _long_enough(replace(objects, track=track), groups, min_frames)


def _join(
    objects: Objects, track: npt.NDArray[np.int32], members: npt.NDArray[np.intp], tracks: dict[int, tuple[int, int]], iou: float
) -> None:
    pairs = []
    for number, (_, last) in tracks.items():
        for i in members:
            overlap = _iou(objects.box[last], objects.box[i])
            if overlap >= iou and objects.kind[last] == objects.kind[i]:
                pairs.append((-overlap, number, int(i)))
    used: set[int] = set()
    for _, number, i in sorted(pairs):
        if number not in used and track[i] < 0:
            track[i] = number
            used.add(number)


def _iou(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    inner = (np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).clip(0).prod()
    union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inner
    return float(inner / union) if union > 0 else 0.0


def _long_enough(objects: Objects, groups: npt.NDArray[np.integer], least: int) -> Objects:
    if least <= 1 or not len(objects):
        return objects
    lengths = np.bincount(objects.track)[objects.track]
    cine = np.bincount(groups)[groups[objects.image]]
    return objects.take(lengths >= np.minimum(least, cine))


def representatives(objects: Objects, best: str) -> npt.NDArray[np.intp]:
    """One object of each track, the best by ``score`` or by ``area``; in the order of tracks."""
    value = objects.area if best == "area" else objects.score
    order = np.lexsort((objects.image, -value, objects.track))
    first = np.concatenate([[True], np.diff(objects.track[order]) != 0]) if len(order) else np.zeros(0, bool)
    return np.asarray(order[first])


def averaged(objects: Objects) -> Objects:
    """Every object with the features of its whole track: the mean over its frames, weighted by score."""
    features = {}
    for name, values in objects.features.items():
        known = np.isfinite(values).all(axis=1)
        weight = np.where(known, objects.score, 0).astype(np.float64)
        tracks = int(objects.track.max()) + 1 if len(objects) else 0
        total = np.bincount(objects.track, weight, tracks)
        mean = np.full((tracks, values.shape[1]), np.nan)
        for column in range(values.shape[1]):
            sums = np.bincount(objects.track, weight * np.where(known, values[:, column], 0), tracks)
            mean[:, column] = np.where(total > 0, sums / np.where(total > 0, total, 1), np.nan)
        features[name] = mean[objects.track].astype(np.float32)
    return replace(objects, features=features)
