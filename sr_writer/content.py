"""What one Segmentation holds: its segments, which frames it has and their pixels, in the three types of PS3.3 C.8.20.2."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from highdicom.seg import SegmentationTypeValues as Type

from domain.errors import PermanentError
from domain.results import Analysis, Field, Labels, Segment
from sr_writer.survey import Survey, overlapping, survey

FULL: Final = 255  # Maximum Fractional Value: what probability 1 is stored as

Pixels = npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True, slots=True)
class Content:
    """One SEG to be written.

    ``segments`` by the number they get in it: 1, 2, 3 ... (PS3.3 C.8.20.2). ``frames`` is (frames, 4): number of the segment
    (0 in a LABELMAP), plane, first and last row that are not empty. ``pixels(segment, plane, first row, end row)`` are stored
    values. ``array()`` is all of it as highdicom takes it, from planes, rows and columns of ``shape``. ``uids`` and
    ``source_frames`` name the source of each plane.
    """

    role: str
    type: Type
    segments: Mapping[int, Segment]
    frames: npt.NDArray[np.intp]
    pixels: Callable[[int, int, int, int], Pixels]
    array: Callable[[], npt.NDArray[np.generic]]
    shape: tuple[int, ...]
    uids: tuple[str, ...]
    source_frames: tuple[int, ...]
    reduced: int = 1  # of a slide, see domain.results.Labels


def contents(analysis: Analysis, outputs: tuple[str, ...]) -> list[Content]:
    """Every SEG that is asked for, main ones first. Segments without voxels are not in any: viewers hang on them."""
    made: list[Content] = []
    if analysis.labels is not None and {"seg", "labelmap"} & set(outputs):
        parts = _parts(analysis, analysis.labels)
        for role, kind in (("seg", Type.BINARY), ("labelmap", Type.LABELMAP)):
            if role in outputs:
                made += [_labelled(_nth(role, n), kind, analysis.labels, part) for n, part in enumerate(parts, 1)]
    return made + (_fractional(analysis) if "fractional" in outputs else [])


@dataclass(frozen=True, slots=True)
class _Part:
    segments: Mapping[int, Segment]
    lines: Survey


def _parts(analysis: Analysis, labels: Labels) -> list[_Part]:
    """Where segments overlap, one part for each layer, else one for all.

    OHIF 3.13 spreads overlapping segments over two volumes and then shows half of their size (docs/dicom-results.md).
    """
    lines = survey(labels)
    apart = overlapping(labels)
    parts = []
    for layers in [[n] for n in range(len(labels.layers))] if apart else [list(range(len(labels.layers)))]:
        seen = set(lines.label[np.isin(lines.layer, layers)].tolist())
        present = sorted((s for s in analysis.segments if s.number in seen), key=lambda s: s.number)
        if present:
            parts.append(_Part(dict(enumerate(present, 1)), lines.of([s.number for s in present])))
    return parts


def _labelled(role: str, kind: Type, labels: Labels, part: _Part) -> Content:
    table = _table(labels, part.segments)
    numbers = table[part.lines.label].astype(np.intp)

    def one(segment: int, plane: int, first: int, end: int) -> Pixels:
        mask = labels.layers[layer_of[segment], plane, first:end] == label_of[segment]
        return np.asarray(mask).view(np.uint8)

    def merged(_: int, plane: int, first: int, end: int) -> Pixels:
        if as_they_are:
            return labels.layers[layers[0], plane, first:end]
        planes = (table[labels.layers[layer, plane, first:end]] for layer in layers)
        return np.asarray(np.bitwise_or.reduce(list(planes)))  # one of them at most is not 0

    layers = sorted(set(part.lines.layer.tolist()))
    # Numbers equal to the labels need no table: looking up every pixel is most of the time of a label map.
    as_they_are = len(layers) == 1 and bool(np.array_equal(table, np.arange(len(table)))) and table.dtype == labels.layers.dtype
    label_of = {number: segment.number for number, segment in part.segments.items()}
    layer_of = dict(zip(numbers.tolist(), part.lines.layer.tolist(), strict=True))
    columns = (numbers, part.lines.plane, part.lines.first, part.lines.last)
    frames = np.column_stack(columns)
    return Content(
        role,
        kind,
        part.segments,
        _by_plane(frames) if kind is Type.LABELMAP else frames,
        merged if kind is Type.LABELMAP else one,
        lambda: np.stack([merged(0, plane, 0, labels.layers.shape[2]) for plane in range(labels.layers.shape[1])]),
        labels.layers.shape[1:],
        labels.sop_instance_uids,
        labels.frames,
        labels.reduced,
    )


def _table(labels: Labels, segments: Mapping[int, Segment]) -> Pixels:
    """From labels to segment numbers, in the smallest type that holds the numbers, as LABELMAP is stored."""
    if len(segments) > np.iinfo(np.uint16).max:
        raise PermanentError("A Segmentation holds 65535 segments at most.")
    size = max(int(labels.layers.max(initial=0)), *(s.number for s in segments.values())) + 1
    table: Pixels = np.zeros(size, np.uint8 if len(segments) < 256 else np.uint16)
    for number, segment in segments.items():
        table[segment.number] = number
    return table


def _by_plane(frames: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """One frame for each plane, from the first to the last row of anything in it."""
    ordered = frames[np.argsort(frames[:, 1], kind="stable")]
    planes, heads = np.unique(ordered[:, 1], return_index=True)
    firsts, lasts = np.minimum.reduceat(ordered[:, 2], heads), np.maximum.reduceat(ordered[:, 3], heads)
    return np.column_stack([np.zeros_like(planes), planes, firsts, lasts])


def _fractional(analysis: Analysis) -> list[Content]:
    """The probabilities of all segments that have a map, on one grid."""
    described = {segment.number: segment for segment in analysis.segments}
    maps = [each for each in analysis.fields if each.segment in described and _stored(each.values).any()]
    maps = sorted(maps, key=lambda each: each.segment)
    if not maps:
        return []
    if len({(each.sop_instance_uids, each.frames, each.values.shape, each.reduced) for each in maps}) > 1:
        raise PermanentError("The probability maps of the segments lie on different grids.")
    by_number = dict(enumerate(maps, 1))

    def pixels(segment: int, plane: int, first: int, end: int) -> Pixels:
        return _stored(by_number[segment].values[plane, first:end])

    return [
        Content(
            "fractional",
            Type.FRACTIONAL,
            {number: described[each.segment] for number, each in by_number.items()},
            np.array([(n, *line) for n, each in by_number.items() for line in _filled(each)], np.intp),
            pixels,
            lambda: np.moveaxis(np.stack([_stored(each.values) / np.float32(FULL) for each in maps]), 0, -1),
            maps[0].values.shape,
            maps[0].sop_instance_uids,
            maps[0].frames,
            maps[0].reduced,
        )
    ]


def _stored(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Stored values of probabilities. Raises PermanentError for what is none."""
    if not ((values >= 0) & (values <= 1)).all():
        raise PermanentError("A probability map has values outside 0 to 1.")
    return np.around(values * float(FULL)).astype(np.uint8)


def _filled(field: Field) -> list[tuple[int, int, int]]:
    """(plane, first row, last row) of what is stored as more than nothing."""
    lines = []
    for plane, values in enumerate(field.values):
        rows = np.flatnonzero(_stored(values).any(axis=1))
        if len(rows):
            lines.append((plane, int(rows[0]), int(rows[-1])))
    return lines


def _nth(role: str, number: int) -> str:
    return role if number == 1 else f"{role}-{number}"
