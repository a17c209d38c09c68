"""Reads ``segments.json``: the segmentAttributes of a dcmqi meta file, the outer list of which are the layers."""

from domain.errors import PackageError
from domain.results import Code, Segment
from inference.keys import Table

_NAMES = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")


def read_segments(data: object) -> tuple[tuple[Segment, ...], dict[int, int]]:
    """The segments in order of number, and the layer of each; tracking identifiers are still empty; raises PackageError."""
    table = Table(data, "segments.json")
    layers = table.take("segmentAttributes")
    table.done()
    if not isinstance(layers, list) or not layers or not all(isinstance(layer, list) and layer for layer in layers):
        raise table.wrong("segmentAttributes", "a list of lists of segments")
    found, layer_of = [], {}
    for number, layer in enumerate(layers):
        for i, item in enumerate(layer):
            segment = _segment(Table(item, f"segments.json: segmentAttributes[{number}][{i}]"))
            found.append(segment)
            layer_of[segment.number] = number
    segments = tuple(sorted(found, key=lambda segment: segment.number))
    if [segment.number for segment in segments] != list(range(1, len(segments) + 1)):
        raise PackageError("segments.json: 'labelID' must count 1, 2, 3 ... without gaps or repetitions")
    if len({segment.label for segment in segments}) != len(segments):
        raise PackageError("segments.json: every 'SegmentLabel' must be different")
    return segments, layer_of


def _segment(table: Table) -> Segment:
    table.choice("SegmentAlgorithmType", ("AUTOMATIC",), "AUTOMATIC")
    table.take("SegmentAlgorithmName", None)
    red, green, blue = table.integers("recommendedDisplayRGBValue", 3, 3, 0, 255)
    number = table.integer("labelID", 1, 255)
    segment = Segment(
        number=number,
        label=table.text("SegmentLabel", 64),
        category=_required(table, "SegmentedPropertyCategoryCodeSequence"),
        type=_required(table, "SegmentedPropertyTypeCodeSequence"),
        colour=(red, green, blue),
        tracking_id="",
        site=table.code("AnatomicRegionSequence", optional=True, names=_NAMES),
        laterality=_laterality(table),
        description=table.text("SegmentDescription", 1024, ""),
    )
    table.done()
    return segment


def _required(table: Table, key: str) -> Code:
    code = table.code(key, names=_NAMES)
    assert code is not None
    return code


def _laterality(table: Table) -> Code | None:
    of_type = table.code("SegmentedPropertyTypeModifierCodeSequence", optional=True, names=_NAMES)
    return of_type or table.code("AnatomicRegionModifierSequence", optional=True, names=_NAMES)
