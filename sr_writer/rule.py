"""What a rule is: one check of one object, with its level, its reason and its source."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import (
    ColorSoftcopyPresentationStateStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MicroscopyBulkSimpleAnnotationsStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

LABELMAP: Final = "1.2.840.10008.5.1.4.1.1.66.7"  # Label Map Segmentation Storage; pydicom 3.0 does not know it
PIXELS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_SR_PREFIX: Final = "1.2.840.10008.5.1.4.1.1.88."
_COMPANIONS: Final = frozenset(
    {
        SecondaryCaptureImageStorage,
        GrayscaleSoftcopyPresentationStateStorage,
        ColorSoftcopyPresentationStateStorage,
        EncapsulatedPDFStorage,
        MicroscopyBulkSimpleAnnotationsStorage,
        KeyObjectSelectionDocumentStorage,
    }
)

Words = str | None
Headers = Sequence[Dataset]


class Level(StrEnum):
    """How bad it is to break a rule."""

    ERROR = "error"  # a viewer or archive fails or shows something wrong: an object of ours with one is never sent
    WARNING = "warning"  # some software shows less, or old versions of it do


@dataclass(frozen=True, slots=True)
class Broken:
    """One broken rule. ``words`` say what is wrong, without patient data."""

    rule: str
    words: str
    source: str
    level: Level = Level.ERROR


@dataclass
class Facts:
    """An object and the headers of the images it speaks about (empty: comparisons are skipped); its tree is read once."""

    dataset: Dataset
    headers: Headers = ()
    pixels: tuple[str, int] | None = None  # keyword and length of the pixel data, where it is not in the data set

    @cached_property
    def pixel_data(self) -> tuple[str, int] | None:
        """Keyword and length of the pixel data that is there."""
        if self.pixels is not None:
            return self.pixels
        return next(((k, len(self.dataset[k].value or b"")) for k in PIXELS if k in self.dataset), None)

    @cached_property
    def nodes(self) -> list["Node"]:
        """All items of the content tree, each before its children."""
        return list(_walk(self.root))[1:]

    @cached_property
    def root(self) -> "Node":
        """The document itself as a content item."""
        return Node.of(self.dataset, 0)

    @cached_property
    def groups(self) -> list["Node"]:
        """The measurement groups (TID 1500 row 9)."""
        return [group for top in self.root.named("126010") for group in top.named("125007")]


@dataclass
class Node:
    """One content item (PS3.3 C.17.3), its children read once."""

    item: Dataset
    value_type: str
    code: tuple[str, str]
    relationship: str
    depth: int

    @classmethod
    def of(cls, item: Dataset, depth: int) -> "Node":
        """Read the item; what is missing is empty."""
        names = item.get("ConceptNameCodeSequence")
        code = (str(names[0].get("CodeValue", "")), str(names[0].get("CodingSchemeDesignator", ""))) if names else ("", "")
        return cls(item, str(item.get("ValueType", "")), code, str(item.get("RelationshipType", "")), depth)

    @cached_property
    def children(self) -> list["Node"]:
        """Items of its Content Sequence."""
        return [Node.of(child, self.depth + 1) for child in self.item.get("ContentSequence") or ()]

    def named(self, value: str, scheme: str = "DCM") -> list["Node"]:
        """Children with this concept name."""
        return [child for child in self.children if child.code == (value, scheme)]

    @property
    def template(self) -> str:
        """Template Identifier, empty if none is named."""
        sequence = self.item.get("ContentTemplateSequence")
        return str(sequence[0].get("TemplateIdentifier", "")) if sequence else ""

    @cached_property
    def references(self) -> list[Dataset]:
        """Items of Referenced SOP Sequence (PS3.3 C.18.3)."""
        return list(self.item.get("ReferencedSOPSequence") or ())

    @property
    def graphics(self) -> list["Node"]:
        """Children that are coordinates on an image."""
        return [child for child in self.children if child.value_type == "SCOORD"]

    @cached_property
    def graphic_data(self) -> list[float]:
        """Graphic Data as numbers."""
        data = self.item.get("GraphicData")
        return [float(value) for value in data] if data else []


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as data; ``broken`` looks at an object and says what is wrong."""

    name: str
    applies: Callable[[Dataset], bool]
    broken: Callable[[Facts], Words]
    reason: str
    source: str
    level: Level = Level.ERROR


def on(look: Callable[[Dataset, Headers], Words]) -> Callable[[Facts], Words]:
    """A check of the data set and the headers alone."""
    return lambda facts: look(facts.dataset, facts.headers)


def some(wrong: Sequence[object], words: str) -> Words:
    """How many, and what of them; None for none."""
    return f"{len(wrong)} {words}" if wrong else None


def is_sr(ds: Dataset) -> bool:
    """A structured report; a key object selection has rules of its own."""
    uid = str(ds.get("SOPClassUID", ""))
    return uid.startswith(_SR_PREFIX) and uid != KeyObjectSelectionDocumentStorage


def is_seg(ds: Dataset) -> bool:
    """A Segmentation of any type."""
    return ds.get("SOPClassUID") in (SegmentationStorage, LABELMAP)


def is_map(ds: Dataset) -> bool:
    """A Parametric Map."""
    return bool(ds.get("SOPClassUID") == ParametricMapStorage)


def is_result(ds: Dataset) -> bool:
    """Anything that has rules."""
    return is_sr(ds) or is_seg(ds) or is_map(ds) or ds.get("SOPClassUID") in _COMPANIONS
