"""Of several answers about one thing the best stays: by overlap of boxes (non-maximum suppression), or by distance of centres."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.intp]


def by_overlap(boxes: Floats, scores: Floats, classes: npt.NDArray[np.integer], iou: float) -> Index:
    """Indices that stay, best first: a box goes when a better one of its class overlaps it by more than ``iou``.

    The greedy rule of torchvision.ops.batched_nms; ``boxes`` is (n, 4) of left, top, right, bottom.
    """
    if not len(boxes):
        return np.zeros(0, np.intp)
    # Classes are moved apart so that only boxes of one class can overlap.
    apart = boxes.astype(np.float64) + classes[:, None] * (float(boxes.max()) - float(boxes.min()) + 1)
    areas = (apart[:, 2:] - apart[:, :2]).clip(0).prod(axis=1)
    order = best_first(scores, boxes)
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        inner = np.minimum(apart[best, 2:], apart[rest, 2:]) - np.maximum(apart[best, :2], apart[rest, :2])
        both = inner.clip(0).prod(axis=1)
        union = areas[best] + areas[rest] - both
        order = rest[both <= iou * np.where(union > 0, union, 1)]
    return np.array(kept, np.intp)


def by_distance(centres: Floats, scores: Floats, classes: npt.NDArray[np.integer], distance: float) -> Index:
    """Indices that stay, best first: an object goes when a better one of its class is nearer than ``distance``."""
    order = best_first(scores, centres)
    if distance <= 0:
        return order
    # A grid of cells as wide as the distance: only neighbours in nine cells can be too near.
    cells = np.floor(centres / distance).astype(np.int64)
    taken: dict[tuple[int, int, int], list[int]] = {}
    kept = []
    for i in order:
        column, row = (int(v) for v in cells[i])
        kind = int(classes[i])
        near = [j for x in (-1, 0, 1) for y in (-1, 0, 1) for j in taken.get((kind, column + x, row + y), ())]
        if near and (((centres[near] - centres[i]) ** 2).sum(axis=1) < distance**2).any():
            continue
        taken.setdefault((kind, column, row), []).append(int(i))
        kept.append(i)
    return np.array(kept, np.intp)


def best_first(scores: Floats, places: Floats) -> Index:
    """Order by score, equal ones by place, so that the order of tiles never decides."""
    return np.lexsort((*(places[:, i] for i in range(places.shape[1] - 1, -1, -1)), -scores))
