"""Reports of thousands of findings: highdicom makes one measurement group of each shape, the others are rendered from it.

Two findings have the same shape when their groups differ in nothing but tracking identifier, outline, image and values. highdicom
and pydicom need 25 ms for a group, this needs a tenth of one. The result is the file that highdicom alone would have given, byte
for byte (tests/sr_writer/test_many_groups.py).
"""

import struct
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.tag import Tag
from pydicom.valuerep import DS

from domain.errors import PermanentError
from domain.results import Finding, Measurement, Outline
from sr_writer import explicit
from sr_writer.codes import IMAGE_REGION, IMAGING_MEASUREMENTS
from sr_writer.groups import polygon
from sr_writer.heading import Heading
from sr_writer.source import extent

_CONTENT: Final = 0x0040A730
_MOST_POINTS: Final = 4000  # 64 KB of coordinates, closed and with middles, is the most that VR FL holds
_TIME_POINT_ORDER: Final = "126073"  # TID 1502: a number that belongs to the shape
_FEW: Final = 50  # below, highdicom alone is quick enough

Outlined = tuple[Finding, Outline]
Charset = str | list[str]
Filler = Callable[["_Values"], bytes]


@dataclass(frozen=True, slots=True)
class Many:
    """The outlined findings of a report: those that highdicom describes, and all of them in order."""

    described: tuple[Outlined, ...]
    all: tuple[Outlined, ...]
    heading: Heading
    images: Mapping[str, Dataset]

    def extend(self, dataset: Dataset, *sharing: Dataset) -> None:
        """Give a finished report, which has the groups of ``described`` last, those of all in their place. ``sharing`` are
        reports with the same content, not a copy of it.

        Raises PermanentError for an outline outside its image, or an identifier that is used twice.
        """
        if len(self.described) == len(self.all):
            return
        self._look()
        container = _measurements(dataset)
        items = list(container.ContentSequence)
        first = len(items) - len(self.described)
        charset = dataset.get("SpecificCharacterSet", "iso8859")
        shapes = {
            self._shape(*outlined): _template(item, charset) for outlined, item in zip(self.described, items[first:], strict=True)
        }
        groups = [b"".join(_pieces(_item(item, charset), None)) for item in items[:first]]
        groups += [b"".join(_pieces(shapes[self._shape(*each)], self._values(*each))) for each in self.all]
        content = b"".join(groups)
        container[Tag(_CONTENT)] = RawDataElement(Tag(_CONTENT), "SQ", len(content), content, 0, False, True)
        for each in (container, dataset, *sharing):  # so that pydicom writes the finished bytes as they are
            each.set_original_encoding(False, True, each._character_set)

    def _shape(self, finding: Finding, outline: Outline) -> Hashable:
        return _shape(finding, outline, self.heading)

    def _values(self, finding: Finding, outline: Outline) -> "_Values":
        image = self.images[outline.sop_instance_uid]
        return _Values(
            finding.tracking_id,
            self.heading.tracking_uid(finding.tracking_id),
            polygon(outline.points).astype("<f4").tobytes(),
            str(image.SOPClassUID),
            outline.sop_instance_uid,
            outline.frame,
            [float(m.value) for m in (*finding.outline_measurements, *finding.measurements)],
        )

    def _look(self) -> None:
        """What the rules "tracked-once" and "inside" look at, for the groups they do not see."""
        if len({finding.tracking_id for finding, _ in self.all}) != len(self.all):
            raise PermanentError("The sr breaks a rule: tracked-once: tracking identifiers are used by more than one finding")
        for _, outline in self.all:
            size = extent(self.images[outline.sop_instance_uid])
            if (outline.points < 0).any() or (outline.points > size).any():
                raise PermanentError("The sr breaks a rule: inside: outlines leave their image")


def many(outlined: Sequence[Outlined], images: Mapping[str, Dataset], heading: Heading) -> Many:
    """Which of these findings highdicom is to describe: the first of each shape, or all when they are few.

    Raises PermanentError when an outline lies on an image that is not there, or a value is no finite number.
    """
    whole = tuple(outlined)
    if not heading.context.fast or len(whole) <= _FEW or not all(_is_plain(f, o, images) for f, o in whole):
        return Many(whole, whole, heading, images)
    first: dict[Hashable, Outlined] = {}
    for finding, outline in whole:
        first.setdefault(_shape(finding, outline, heading), (finding, outline))
    return Many(tuple(first.values()), whole, heading, images)


def _is_plain(finding: Finding, outline: Outline, images: Mapping[str, Dataset]) -> bool:
    """Whether the group can be rendered; what cannot, highdicom describes or refuses."""
    values = [m.value for m in (*finding.outline_measurements, *finding.measurements)]
    known = outline.sop_instance_uid in images and len(outline.points) <= _MOST_POINTS
    return known and finding.tracking_id.isascii() and bool(np.isfinite(values).all())


def _shape(finding: Finding, outline: Outline, heading: Heading) -> Hashable:
    named = tuple(_named(m) for m in finding.outline_measurements), tuple(_named(m) for m in finding.measurements)
    codes = finding.finding, finding.site, finding.laterality, finding.evaluations
    return codes, named, outline.frame is None, heading.context.time_points.get(finding.tracking_id)


def _named(measurement: Measurement) -> Hashable:
    return measurement.name, measurement.unit, measurement.derivation, measurement.method


def _measurements(dataset: Dataset) -> Dataset:
    found: Dataset = next(
        item for item in dataset.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == IMAGING_MEASUREMENTS.value
    )
    return found


@dataclass(frozen=True, slots=True)
class _Values:
    """What tells a group from another of its shape."""

    identifier: str
    uid: str
    points: bytes
    sop_class: str
    image: str
    frame: int | None
    numbers: Sequence[float]


# A rendered item: finished bytes, what depends on the finding, and items that hold such parts.
_Part = Any
_Item = list[_Part]


def _pieces(item: _Item, values: _Values | None) -> Iterator[bytes]:
    yield explicit.item(*(_render(part, values) for part in item))


def _render(part: _Part, values: _Values | None) -> bytes:
    if isinstance(part, bytes):
        return part
    if callable(part):
        assert values is not None
        filled: bytes = part(values)
        return filled
    tag, items = part
    return explicit.sequence(tag, [b"".join(_pieces(item, values)) for item in items])


def _item(dataset: Dataset, charset: Charset) -> _Item:
    return [_bytes_of(dataset, charset)]


def _bytes_of(dataset: Dataset, charset: Charset) -> bytes:
    return b"".join(_element(element, charset) for element in dataset)


def _element(element: DataElement, charset: Charset) -> bytes:
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_data_element(stream, element, charset)
    data: bytes = stream.getvalue()
    return data


def _template(group: Dataset, charset: Charset) -> _Item:
    """The group with its variable parts left open."""
    numbers = iter(range(1_000_000))

    def opened(node: Dataset) -> _Item:
        fillers = _fillers(node, numbers)
        parts: _Item = []
        for element in node:
            if int(element.tag) in fillers:
                parts.append(fillers[int(element.tag)])
            elif int(element.tag) == _CONTENT:
                parts.append((_CONTENT, [opened(child) for child in element.value]))
            else:
                parts.append(_element(element, charset))
        return _joined(parts)

    return opened(group)


def _joined(parts: _Item) -> _Item:
    """Neighbouring finished bytes made one; a sequence without open parts is finished too."""
    joined: _Item = []
    for part in parts:
        if isinstance(part, tuple) and all(all(isinstance(each, bytes) for each in item) for item in part[1]):
            part = _render(part, None)
        if isinstance(part, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += part
        else:
            joined.append(part)
    return joined


def _fillers(node: Dataset, numbers: Iterator[int]) -> dict[int, _Part]:
    """The open parts of one content item by tag."""
    names = node.get("ConceptNameCodeSequence")
    code = str(names[0].get("CodeValue", "")) if names else ""
    if code == "112039":
        return {0x0040A160: lambda v: explicit.text(0x0040A160, "UT", v.identifier)}
    if code == "112040":
        return {0x0040A124: lambda v: explicit.text(0x0040A124, "UI", v.uid)}
    if node.ValueType == "NUM" and code != _TIME_POINT_ORDER:
        return {0x0040A300: _number(node, next(numbers))}
    if node.ValueType == "SCOORD" and code == IMAGE_REGION.value:
        return {0x00700022: lambda v: explicit.element(0x00700022, "FL", v.points)}
    if node.ValueType == "IMAGE" and node.RelationshipType == "SELECTED FROM":
        return {0x00081199: _reference}
    return {}


def _number(node: Dataset, index: int) -> _Part:
    """Measured Value Sequence: the value as text and as a double, the unit as it is."""
    (measured,) = node.MeasuredValueSequence
    units = _element(measured["MeasurementUnitsCodeSequence"], "iso8859")
    double = "FloatingPointValue" in measured

    def fill(values: _Values) -> bytes:
        value = values.numbers[index]
        floating = explicit.element(0x0040A161, "FD", struct.pack("<d", value)) if double else b""
        text = explicit.text(0x0040A30A, "DS", str(DS(value, auto_format=True)))
        return explicit.sequence(0x0040A300, [explicit.item(units, floating, text)])

    return fill


def _reference(values: "_Values") -> bytes:
    """Referenced SOP Sequence (PS3.3 C.18.3), with the frame where there is one."""
    frame = [explicit.text(0x00081160, "IS", str(values.frame))] if values.frame is not None else []
    uids = explicit.text(0x00081150, "UI", values.sop_class), explicit.text(0x00081155, "UI", values.image)
    return explicit.sequence(0x00081199, [explicit.item(*uids, *frame)])
