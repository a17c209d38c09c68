"""Key images: whole images with findings as a reader would want to see them, and a gallery of the best objects."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from domain.results import KeyImage
from inference import wording
from inference.images.album import Views
from inference.images.judge import Reading, words
from inference.images.package import ImagePackage
from inference.images.plan import FindingPlan
from inference.objects.crops import square
from inference.objects.table import Objects

LONGEST = 1024  # pixels of the longer side of a whole image
_AROUND = 2.0  # times the longer side of an object, unless the package asks for more


def key_images(
    package: ImagePackage, reading: Reading, views: Views, chosen: Sequence[tuple[FindingPlan, Objects, Sequence[int]]]
) -> tuple[KeyImage, ...]:
    """Every image with an outline, the best first; then crops. Without findings: the image with the most objects, or the
    middle one."""
    labels: dict[int, list[str]] = {}
    for finding, things, order in chosen:
        for number, i in enumerate(order, 1):
            name = wording.fill(finding.label, {"n": float(number), "label": package.segment(int(things.kind[i])).label})
            labels.setdefault(int(things.image[i]), []).append(name)
    if not labels:
        labels[_plainest(reading)] = []
    plan = package.plan.pictures
    values = words(package.plan, reading.values)
    found = []
    for number, (image, names) in enumerate(labels.items()):
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        caption = wording.fill(plan.caption, {**values, "label": shown or "No finding"})
        found.append(_whole(reading, views, image, caption, number < plan.whole))
    return (*found, *_gallery(package, reading, views))


def _plainest(reading: Reading) -> int:
    images = reading.tally.objects.image
    return int(np.bincount(images).argmax()) if len(images) else len(reading.tally.images) // 2


def _whole(reading: Reading, views: Views, image: int, caption: str, large: bool) -> KeyImage:
    seen = reading.tally.images[image]
    shown = views.view(reading.indices[image], None, LONGEST if large else LONGEST // 2)
    reduced = shown.shape[:2] != (seen.rows, seen.columns)
    # Said only where it matters: whoever draws on a reduced picture must know how much of the image it stands for.
    region = (0, 0, seen.columns, seen.rows) if reduced else None
    return KeyImage(seen.uid, shown, caption, seen.frame, region)


def _gallery(package: ImagePackage, reading: Reading, views: Views) -> list[KeyImage]:
    plan, things = package.plan.pictures, reading.tally.things
    members = np.flatnonzero(np.isin(things.kind, plan.classes)) if plan.crops else np.zeros(0, np.intp)
    order = members[np.lexsort((members, -things.score[members]))][: plan.crops]
    values = words(package.plan, reading.values)
    crops: dict[int, KeyImage] = {}
    for i in sorted(order, key=lambda i: things.image[i]):  # each image is decoded once
        caption = {**values, "label": package.segment(int(things.kind[i])).label, "score": float(things.score[i])}
        crops[int(i)] = _crop(reading, views, things, int(i), plan.crop_side, wording.fill(plan.crop_caption, caption))
    return [crops[int(i)] for i in order]


def _crop(reading: Reading, views: Views, things: Objects, index: int, least: int, caption: str) -> KeyImage:
    image = int(things.image[index])
    seen = reading.tally.images[image]
    left, top, side = square(things.box[index], _AROUND, 0)
    if side < least:
        left, top, side = left - (least - side) // 2, top - (least - side) // 2, least
    side = min(side, seen.rows, seen.columns)
    part = (min(max(left, 0), seen.columns - side), min(max(top, 0), seen.rows - side), side, side)
    return KeyImage(seen.uid, views.view(reading.indices[image], part, LONGEST), caption, seen.frame, part)


def clipped(points: npt.NDArray[np.float64], rows: int, columns: int) -> npt.NDArray[np.float64]:
    """Points moved onto the image, where they lie beyond it (the rest of an object that the image cuts off)."""
    return np.asarray(np.clip(points, 0, (columns, rows)), np.float64)
