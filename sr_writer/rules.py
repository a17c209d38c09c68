"""What viewers and archives need beyond the Standard, one small check per rule, each with its reason and source."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import (
    ColorSoftcopyPresentationStateStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MicroscopyBulkSimpleAnnotationsStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from sr_writer.source import extent

_SR_PREFIX: Final = "1.2.840.10008.5.1.4.1.1.88."
COMPANIONS: Final = frozenset(
    {
        SecondaryCaptureImageStorage,
        GrayscaleSoftcopyPresentationStateStorage,
        ColorSoftcopyPresentationStateStorage,
        EncapsulatedPDFStorage,
        MicroscopyBulkSimpleAnnotationsStorage,
        KeyObjectSelectionDocumentStorage,
    }
)
_MAX_DESCRIPTION: Final = 64
_RECTANGLE_VALUES: Final = (8, 10)  # numbers in Graphic Data: two a point

Words = str | None
Headers = Sequence[Dataset]


@dataclass(frozen=True, slots=True)
class Broken:
    """One broken rule. ``words`` say what is wrong, without patient data."""

    rule: str
    words: str
    source: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as data; ``broken`` looks at an object (and the images it speaks about, if given) and says what is wrong."""

    name: str
    applies: Callable[[Dataset], bool]
    broken: Callable[[Dataset, Headers], Words]
    reason: str
    source: str


def check(dataset: Dataset, headers: Headers = (), more: Sequence["Rule"] = ()) -> list[Broken]:
    """Run every rule that applies. ``headers`` are those of the images the object speaks about; empty skips comparisons.

    ``more``: rules beside those of reports and segmentations.
    """
    found = []
    for rule in (*RULES, *more):
        words = rule.broken(dataset, headers) if rule.applies(dataset) else None
        if words:
            found.append(Broken(rule.name, words, rule.source))
    return found


def _is_sr(ds: Dataset) -> bool:
    uid = str(ds.get("SOPClassUID", ""))
    return uid.startswith(_SR_PREFIX) and uid != KeyObjectSelectionDocumentStorage


def _is_seg(ds: Dataset) -> bool:
    return bool(ds.get("SOPClassUID") == SegmentationStorage)


def _any(ds: Dataset) -> bool:
    return _is_sr(ds) or _is_seg(ds) or ds.get("SOPClassUID") in COMPANIONS


# reading a content tree


def _items(ds: Dataset) -> list[Dataset]:
    return list(ds.get("ContentSequence") or ())


def _walk(ds: Dataset) -> Iterator[Dataset]:
    for item in _items(ds):
        yield item
        yield from _walk(item)


def _code(item: Dataset) -> tuple[str, str]:
    names = item.get("ConceptNameCodeSequence")
    return (str(names[0].get("CodeValue", "")), str(names[0].get("CodingSchemeDesignator", ""))) if names else ("", "")


def _named(items: Iterable[Dataset], value: str, scheme: str = "DCM") -> list[Dataset]:
    return [item for item in items if _code(item) == (value, scheme)]


def _groups(ds: Dataset) -> list[Dataset]:
    return [group for top in _named(_items(ds), "126010") for group in _named(_items(top), "125007")]


def _graphics(group: Dataset) -> list[Dataset]:
    return [item for item in _items(group) if item.get("ValueType") == "SCOORD"]


def _template(ds: Dataset) -> str:
    sequence = ds.get("ContentTemplateSequence")
    return str(sequence[0].get("TemplateIdentifier", "")) if sequence else ""


def _some(wrong: Sequence[object], words: str) -> Words:
    return f"{len(wrong)} {words}" if wrong else None


# reports


def _root(ds: Dataset, _: Headers) -> Words:
    right = _code(ds) == ("126000", "DCM") and _template(ds) == "1500"
    return None if right else "the root is not (126000, DCM) of template 1500"


def _procedure(ds: Dataset, _: Headers) -> Words:
    return None if _named(_items(ds), "121058") else "no Procedure Reported (121058, DCM)"


def _device(ds: Dataset, _: Headers) -> Words:
    return None if _named(_items(ds), "121012") else "no Device Observer UID (121012, DCM)"


def _tracked(ds: Dataset, _: Headers) -> Words:
    wrong = [g for g in _groups(ds) if not (_named(_items(g), "112039") and _named(_items(g), "112040"))]
    return _some(wrong, "measurement groups lack a tracking identifier (112039) or its UID (112040)")


def _tracked_once(ds: Dataset, _: Headers) -> Words:
    uids = [str(item.get("UID")) for g in _groups(ds) for item in _named(_items(g), "112040")]
    return _some(uids[len(set(uids)) :], "tracking UIDs are used by more than one group")


def _tracking_first(ds: Dataset, _: Headers) -> Words:
    firsts = [next((i for i in _items(g) if i.get("ValueType") == "UIDREF"), None) for g in _groups(ds)]
    return _some([f for f in firsts if f is not None and _code(f)[0] != "112040"], "groups have another UID before 112040")


def _units(ds: Dataset, _: Headers) -> Words:
    wrong = [item for item in _walk(ds) if item.get("ValueType") == "NUM" and not _has_ucum(item)]
    return _some(wrong, "numbers lack a value or a UCUM unit")


def _has_ucum(item: Dataset) -> bool:
    measured = item.get("MeasuredValueSequence")
    units = measured[0].get("MeasurementUnitsCodeSequence") if measured else None
    if not units:
        return False
    return bool(units[0].get("CodeValue")) and units[0].get("CodingSchemeDesignator") == "UCUM"


def _coordinates_complete(ds: Dataset, _: Headers) -> Words:
    wrong = [item for item in _walk(ds) if item.get("ValueType") == "SCOORD" and not _is_complete(item)]
    return _some(wrong, "SCOORD items lack a name, a closed outline or exactly one image")


def _is_complete(item: Dataset) -> bool:
    images = [child for child in _items(item) if child.get("ValueType") == "IMAGE" and child.get("ReferencedSOPSequence")]
    data = [float(value) for value in item.get("GraphicData") or ()]
    closed = item.get("GraphicType") != "POLYLINE" or (len(data) >= 8 and data[:2] == data[-2:])
    return bool(_code(item)[0]) and len(images) == 1 and closed


def _no_rectangle(ds: Dataset, _: Headers) -> Words:
    polylines = [i for i in _walk(ds) if i.get("ValueType") == "SCOORD" and i.get("GraphicType") == "POLYLINE"]
    wrong = [i for i in polylines if len(i.get("GraphicData") or ()) in _RECTANGLE_VALUES]
    return _some(wrong, "outlines have four or five points")


def _planar_region(ds: Dataset, _: Headers) -> Words:
    wrong = [g for g in _groups(ds) if _template(g) == "1410" and len(_named(_graphics(g), "111030")) != 1]
    return _some(wrong, "planar groups lack their one Image Region (111030, DCM)")


def _drawable(ds: Dataset, _: Headers) -> Words:
    wrong = [g for g in _groups(ds) if _template(g) != "1411" and not _graphics(g)]
    return _some(wrong, "measurement groups have no coordinates on an image")


def _volumetric_alone(ds: Dataset, _: Headers) -> Words:
    kinds = {_template(g) for g in _groups(ds)}
    return "volumetric groups beside others" if "1411" in kinds and len(kinds) > 1 else None


def _inside(ds: Dataset, headers: Headers) -> Words:
    images = [h for h in headers if h.get("Rows") and "SOPInstanceUID" in h]
    sizes = {str(h.SOPInstanceUID): (float(extent(h)[0]), float(extent(h)[1])) for h in images}
    wrong = [item for item in _walk(ds) if item.get("ValueType") == "SCOORD" and not _fits(item, sizes)]
    return _some(wrong, "outlines leave their image")


def _fits(item: Dataset, sizes: dict[str, tuple[float, float]]) -> bool:
    references = [child.ReferencedSOPSequence[0] for child in _items(item) if child.get("ReferencedSOPSequence")]
    size = sizes.get(str(references[0].ReferencedSOPInstanceUID)) if references else None
    data = [float(value) for value in item.get("GraphicData") or ()]
    return size is None or all(0 <= value <= size[i % 2] for i, value in enumerate(data))


def _evidence(ds: Dataset, _: Headers) -> Words:
    listed = {
        str(instance.ReferencedSOPInstanceUID)
        for study in ds.get("CurrentRequestedProcedureEvidenceSequence") or ()
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    used = {str(i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for i in _walk(ds) if i.get("ReferencedSOPSequence")}
    return _some(sorted(used - listed), "referenced instances are not listed as evidence")


def _status(ds: Dataset, _: Headers) -> Words:
    right = ds.get("CompletionFlag") == "COMPLETE" and ds.get("VerificationFlag") == "UNVERIFIED"
    return None if right else "not COMPLETE and UNVERIFIED"


# segmentations


def _identified(ds: Dataset, _: Headers) -> Words:
    frames = ds.get("PerFrameFunctionalGroupsSequence") or ()
    wrong = [f for f in frames if not f.get("SegmentIdentificationSequence")]
    return _some(wrong, "frames lack a Segment Identification of their own") or (None if frames else "no frames")


def _coloured(ds: Dataset, _: Headers) -> Words:
    wrong = [s for s in ds.get("SegmentSequence") or () if not s.get("RecommendedDisplayCIELabValue")]
    return _some(wrong, "segments lack Recommended Display CIELab Value")


def _filled(ds: Dataset, _: Headers) -> Words:
    used = {
        int(f.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        for f in ds.get("PerFrameFunctionalGroupsSequence") or ()
        if f.get("SegmentIdentificationSequence")
    }
    empty = [s for s in ds.get("SegmentSequence") or () if int(s.SegmentNumber) not in used]
    return _some(empty, "segments have no frame") or (None if ds.get("SegmentSequence") else "no segments")


def _binary(ds: Dataset, _: Headers) -> Words:
    return None if ds.get("SegmentationType") == "BINARY" and ds.get("BitsAllocated") == 1 else "not BINARY with one bit"


def _series(ds: Dataset, _: Headers) -> Words:
    return None if ds.get("ReferencedSeriesSequence") else "no Referenced Series Sequence"


def _derived(ds: Dataset, _: Headers) -> Words:
    wrong = [f for f in ds.get("PerFrameFunctionalGroupsSequence") or () if not _source_of(f)]
    return _some(wrong, "frames do not name their source image")


def _source_of(frame: Dataset) -> bool:
    derivation = frame.get("DerivationImageSequence")
    return bool(derivation) and bool(derivation[0].get("SourceImageSequence"))


def _segments_tracked(ds: Dataset, _: Headers) -> Words:
    wrong = [s for s in ds.get("SegmentSequence") or () if not (s.get("TrackingID") and s.get("TrackingUID"))]
    return _some(wrong, "segments lack tracking ID or UID")


def _same_frame_of_reference(ds: Dataset, headers: Headers) -> Words:
    theirs = {str(h.FrameOfReferenceUID) for h in _referenced(ds, headers) if h.get("FrameOfReferenceUID")}
    return None if not theirs or theirs == {str(ds.get("FrameOfReferenceUID"))} else "Frame of Reference UID is not the images'"


def _same_grid(ds: Dataset, headers: Headers) -> Words:
    theirs = {(int(h.Rows), int(h.Columns)) for h in _referenced(ds, headers) if h.get("Rows")}
    return None if not theirs or theirs == {(ds.get("Rows"), ds.get("Columns"))} else "Rows and Columns are not the images'"


def _referenced(ds: Dataset, headers: Headers) -> list[Dataset]:
    series = {str(item.SeriesInstanceUID) for item in ds.get("ReferencedSeriesSequence") or ()}
    used = {
        str(i.ReferencedSOPInstanceUID)
        for item in ds.get("ReferencedSeriesSequence") or ()
        for i in item.get("ReferencedInstanceSequence") or ()
    }
    return [h for h in headers if h.get("SeriesInstanceUID") in series and str(h.get("SOPInstanceUID")) in used]


# every object


def _series_named(ds: Dataset, _: Headers) -> Words:
    text = str(ds.get("SeriesDescription", ""))
    right = text.startswith("AI") and len(text) <= _MAX_DESCRIPTION
    return None if right else 'Series Description does not start with "AI" or is too long'


def _same_study(ds: Dataset, headers: Headers) -> Words:
    studies = {str(h.StudyInstanceUID) for h in headers if h.get("StudyInstanceUID")}
    return None if not studies or str(ds.get("StudyInstanceUID")) in studies else "another study than the images"


def _contributed(ds: Dataset, _: Headers) -> Words:
    items = ds.get("ContributingEquipmentSequence") or ()
    purposes = {str(i.PurposeOfReferenceCodeSequence[0].CodeValue) for i in items if i.get("PurposeOfReferenceCodeSequence")}
    return None if "109102" in purposes else "no Processing Equipment (109102, DCM) in Contributing Equipment Sequence"


_OHIF_SR: Final = "OHIF 3.13 extensions/cornerstone-dicom-sr"
_RECTANGLE_SOURCE: Final = "cornerstone3D adapters, RectangleROI; OHIF isRehydratable"
_CS3D_SEG: Final = "cornerstone3D adapters, Segmentation"
_AIR: Final = "IHE RAD AI Results, Evidence Creator"

RULES: Final = (
    Rule("root", _is_sr, _root, "OHIF takes no other root for a measurement report", _OHIF_SR),
    Rule("procedure-reported", _is_sr, _procedure, "no validator asks for it", "PS3.16 TID 1500 row 4"),
    Rule("device-observer", _is_sr, _device, "a reader must see that a machine speaks", f"PS3.16 TID 1004; {_AIR}"),
    Rule("tracked", _is_sr, _tracked, "OHIF throws the whole report away if one group lacks either", _OHIF_SR),
    Rule("tracked-once", _is_sr, _tracked_once, "OHIF merges groups of equal tracking UID", _OHIF_SR),
    Rule("tracking-first", _is_sr, _tracking_first, "OHIF takes the first UIDREF of a group for the tracking UID", _OHIF_SR),
    Rule("units", _is_sr, _units, "OHIF reads the unit of every number; validators only warn", f"{_OHIF_SR}; TID 300"),
    Rule("coordinates", _is_sr, _coordinates_complete, "coordinates without name or image cannot be drawn", _OHIF_SR),
    Rule("no-rectangle", _is_sr, _no_rectangle, "OHIF makes the report editable and drops its other groups", _RECTANGLE_SOURCE),
    Rule("planar-region", _is_sr, _planar_region, "validators take such a group for TID 1501", "PS3.16 TID 1410 row 5"),
    Rule("drawable", _is_sr, _drawable, "OHIF 3.13 blanks its viewport on a group without SCOORD", _OHIF_SR),
    Rule("volumetric-alone", _is_sr, _volumetric_alone, "PixelMed's validator takes the others for broken ones", "PixelMed 2022"),
    Rule("inside", _is_sr, _inside, "an outline beside its image is wrong whatever it says", "PS3.3 C.18.6.1.1"),
    Rule("evidence", _is_sr, _evidence, "archives fetch by this list", "PS3.3 C.17.2.3"),
    Rule("status", _is_sr, _status, "nobody has verified it, and nothing is to follow", "PS3.3 C.17.2"),
    Rule("segment-per-frame", _is_seg, _identified, "Weasis looks in the frame's own group only", "Weasis SegSpecialElement"),
    Rule("colour", _is_seg, _coloured, "OHIF hangs without (OHIF issue 3939)", _CS3D_SEG),
    Rule("no-empty-segment", _is_seg, _filled, "OHIF hangs on one (OHIF issue 3991)", _CS3D_SEG),
    Rule("binary", _is_seg, _binary, "the one type that every viewer with SEG shows", _CS3D_SEG),
    Rule("referenced-series", _is_seg, _series, "OHIF finds the images by it (OHIF issue 4271)", _CS3D_SEG),
    Rule("derivation", _is_seg, _derived, "Weasis matches frames to images by it (Weasis issue 693)", "PS3.3 C.7.6.16.2.6"),
    Rule("segments-tracked", _is_seg, _segments_tracked, "ties a segment to its measurement group", f"PS3.3 C.8.20.2; {_AIR}"),
    Rule("frame-of-reference", _is_seg, _same_frame_of_reference, "no validator compares the value", "PS3.3 C.8.20.3"),
    Rule("grid", _is_seg, _same_grid, "viewers overlay row by row", _CS3D_SEG),
    Rule("series-description", _any, _series_named, "the reader sees in the list that it is an AI result", _AIR),
    Rule("study", _any, _same_study, "a result belongs to the study of its images", "PS3.3 C.7.2.1"),
    Rule("contributing-equipment", _any, _contributed, "which algorithm, in which version", f"{_AIR} 6.5.3.1"),
)
