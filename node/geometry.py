"""Slices that a regular stack lacks, from the headers of one series alone."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.filereader import read_partial

from node.broken import BROKEN

FEWEST: Final = 5  # slices that make a stack
_MOST_SHARE: Final = 0.2  # a stack that lacks more is not a stack with a hole but two of them
_UNEVEN: Final = 0.1  # of the typical distance
_ALIKE: Final = 0.01  # between direction cosines
_HEAD: Final = 1 << 17  # bytes
_LAST: Final = 0x00200037  # Image Orientation (Patient)
_WANTED: Final = [0x00080008, 0x00200032, _LAST]  # Image Type, Image Position (Patient)


@dataclass(frozen=True, slots=True)
class Gap:
    """So many slices of so many that the stack would have without holes."""

    missing: int
    complete: int


def plane(part10: memoryview) -> Dataset | None:
    """Type, position and orientation of one image, read from its first bytes; None where these cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they would quote values
            return read_partial(io.BytesIO(part10[:_HEAD]), lambda tag, _vr, _length: tag > _LAST, specific_tags=_WANTED)
    except BROKEN:
        return None


def gap(headers: Sequence[Dataset | None]) -> Gap | None:
    """The holes in a stack of parallel slices at even distances; None where there are none, or where it is no such stack."""
    planes = [_plane(header) for header in headers if header is not None and not _is_localizer(header)]
    good = [found for found in planes if found]
    if len(good) < FEWEST or len(good) != len(planes):
        return None
    first = good[0][1]
    if any(abs(a - b) > _ALIKE for _, direction in good for a, b in zip(direction, first, strict=True)):
        return None
    return _hole(sorted(_along(position, first) for position, _ in good))


def _hole(places: Sequence[float]) -> Gap | None:
    distances = [after - before for before, after in pairwise(places)]
    typical = median(distances)
    if typical <= _ALIKE:
        return None  # several images at one position: more than one stack
    steps = [distance / typical for distance in distances]
    if any(round(step) < 1 or abs(step - round(step)) > _UNEVEN for step in steps):
        return None
    missing = sum(round(step) - 1 for step in steps)
    complete = len(places) + missing
    return Gap(missing, complete) if 0 < missing <= _MOST_SHARE * complete else None


def _plane(header: Dataset) -> tuple[list[float], list[float]] | None:
    position, direction = _numbers(header, "ImagePositionPatient", 3), _numbers(header, "ImageOrientationPatient", 6)
    return (position, direction) if position and direction else None


def _along(position: Sequence[float], direction: Sequence[float]) -> float:
    """The place of a slice along the normal of the stack, in mm."""
    (a, b, c), (d, e, f) = direction[:3], direction[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    return sum(p * n for p, n in zip(position, normal, strict=True))


def _is_localizer(header: Dataset) -> bool:
    try:
        return "LOCALIZER" in str(_value(header, "ImageType"))
    except BROKEN:
        return False


def _numbers(header: Dataset, keyword: str, count: int) -> list[float] | None:
    try:
        found = [float(value) for value in _value(header, keyword)]
    except (TypeError, ValueError):
        return None
    return found if len(found) == count and all(abs(value) < 1e7 for value in found) else None


def _value(header: Dataset, keyword: str) -> Any:
    try:
        return header.get(keyword)
    except BROKEN:
        return None
