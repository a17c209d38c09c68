"""Rules for structured reports after TID 1500."""

from typing import Final

from sr_writer.rule import Facts, Level, Node, Rule, Words, is_sr, some
from sr_writer.source import extent

_RECTANGLE_VALUES: Final = (8, 10)  # numbers in Graphic Data: two a point
_CLOSED_VALUES: Final = 8  # of the smallest polygon
_SEGMENTS: Final = "1.2.840.10008.5.1.4.1.1.66."
# OHIF finds these by their words, not by their codes.
_MEANINGS: Final = {
    "126010": "Imaging Measurements",
    "125007": "Measurement Group",
    "112039": "Tracking Identifier",
    "112040": "Tracking Unique Identifier",
}
_HYDRATED: Final = "Cornerstone3DTools@"


def _root(facts: Facts) -> Words:
    right = facts.root.code == ("126000", "DCM") and facts.root.template == "1500"
    return None if right else "the root is not (126000, DCM) of template 1500"


def _content(facts: Facts) -> Words:
    return None if facts.root.children else "no content"


def _meanings(facts: Facts) -> Words:
    wrong = [node for node in facts.nodes if node.code[1] == "DCM" and _misnamed(node)]
    return some(wrong, "items of the measurements have another Code Meaning than the Standard's")


def _misnamed(node: Node) -> bool:
    expected = _MEANINGS.get(node.code[0])
    return expected is not None and str(node.item.ConceptNameCodeSequence[0].get("CodeMeaning", "")) != expected


def _procedure(facts: Facts) -> Words:
    return None if facts.root.named("121058") else "no Procedure Reported (121058, DCM)"


def _language(facts: Facts) -> Words:
    return None if facts.root.named("121049") else "no Language of Content Item (121049, DCM)"


def _device(facts: Facts) -> Words:
    return None if facts.root.named("121012") else "no Device Observer UID (121012, DCM)"


def _library(facts: Facts) -> Words:
    """A report without a single image has nothing to list."""
    pictured = any(node.value_type == "IMAGE" for node in facts.nodes)
    return "no Image Library (111028, DCM)" if pictured and not facts.root.named("111028") else None


def _answered(facts: Facts) -> Words:
    """Somewhere an overall statement: TID 1500 rows 12 to 14, or a group with the CAD summary as its finding."""
    overall = facts.root.named("C0034375", "UMLS") or facts.root.named("111017")
    summaries = [e for g in facts.groups for e in g.children if e.code == ("111017", "DCM") or _coded(e) == "111017"]
    return None if overall or summaries else "no overall statement"


def _coded(node: Node) -> str:
    values = node.item.get("ConceptCodeSequence")
    return str(values[0].get("CodeValue", "")) if values else ""


def _tracked(facts: Facts) -> Words:
    wrong = [g for g in facts.groups if not (g.named("112039") and g.named("112040"))]
    return some(wrong, "measurement groups lack a tracking identifier (112039) or its UID (112040)")


def _tracked_once(facts: Facts) -> Words:
    uids = [str(node.item.get("UID")) for g in facts.groups for node in g.named("112040")]
    return some(uids[len(set(uids)) :], "tracking UIDs are used by more than one group")


def _tracking_first(facts: Facts) -> Words:
    firsts = [next((c for c in g.children if c.value_type == "UIDREF"), None) for g in facts.groups]
    return some([f for f in firsts if f is not None and f.code[0] != "112040"], "groups have another UID before 112040")


def _not_hydrated(facts: Facts) -> Words:
    names = [str(node.item.get("TextValue", "")) for g in facts.groups for node in g.named("112039")]
    return some([name for name in names if name.startswith(_HYDRATED)], "groups are named as tools of OHIF are")


def _found(facts: Facts) -> Words:
    wrong = [g for g in facts.groups if not g.named("121071")]
    return some(wrong, "measurement groups do not say what was found (121071, DCM)")


def _algorithm(facts: Facts) -> Words:
    wrong = [g for g in facts.groups if not (g.named("111001") and g.named("111003"))]
    return some(wrong, "measurement groups do not name algorithm and version (111001, 111003)")


def _units(facts: Facts) -> Words:
    wrong = [node for node in facts.nodes if node.value_type == "NUM" and not _has_ucum(node)]
    return some(wrong, "numbers lack a value or a UCUM unit")


def _has_ucum(node: Node) -> bool:
    measured = node.item.get("MeasuredValueSequence")
    units = measured[0].get("MeasurementUnitsCodeSequence") if measured else None
    if not units:
        return False
    return bool(units[0].get("CodeValue")) and units[0].get("CodingSchemeDesignator") == "UCUM"


def _coordinates(facts: Facts) -> Words:
    wrong = [node for node in facts.nodes if node.value_type == "SCOORD" and not _is_complete(node)]
    return some(wrong, "SCOORD items lack a name, a closed outline or exactly one image")


def _is_complete(node: Node) -> bool:
    images = [child for child in node.children if child.value_type == "IMAGE" and child.references]
    data = node.graphic_data
    closed = (
        node.item.get("GraphicType") != "POLYLINE"
        or node.code[0] != "111030"
        or (len(data) >= _CLOSED_VALUES and data[:2] == data[-2:])
    )
    return bool(node.code[0]) and len(images) == 1 and closed


def _selected(facts: Facts) -> Words:
    images = [child for node in facts.nodes if node.value_type == "SCOORD" for child in node.children if child.references]
    wrong = [image for image in images if image.relationship != "SELECTED FROM" or image.code[0] == "121112"]
    return some(wrong, "images of coordinates are not SELECTED FROM, or called Source of Measurement")


def _one_frame(facts: Facts) -> Words:
    references = [r for node in facts.nodes if node.value_type == "IMAGE" for r in node.references]
    wrong = [r for r in references if "ReferencedFrameNumber" in r and r["ReferencedFrameNumber"].VM > 1]
    return some(wrong, "image references name more than one frame")


def _segment_or_frame(facts: Facts) -> Words:
    references = [reference for node in facts.nodes for reference in node.references]
    both = [r for r in references if r.get("ReferencedSegmentNumber") and r.get("ReferencedFrameNumber")]
    return some(both, "references name segment and frame together")


def _volumes_named(facts: Facts) -> Words:
    """A reference to a Segmentation without the number of the segment."""
    references = [r for g in facts.groups for node in g.named("121191") for r in node.references]
    wrong = [
        r for r in references
        if str(r.get("ReferencedSOPClassUID", "")).startswith(_SEGMENTS) and not r.get("ReferencedSegmentNumber")
    ]  # fmt: skip
    return some(wrong, "references to a Segmentation do not name the segment")


def _no_rectangle(facts: Facts) -> Words:
    polylines = [n for n in facts.nodes if n.value_type == "SCOORD" and n.item.get("GraphicType") == "POLYLINE"]
    wrong = [n for n in polylines if n.code[0] == "111030" and len(n.graphic_data) in _RECTANGLE_VALUES]
    return some(wrong, "outlines have four or five points")


def _planar_region(facts: Facts) -> Words:
    wrong = [g for g in facts.groups if g.template == "1410" and len([n for n in g.graphics if n.code[0] == "111030"]) != 1]
    return some(wrong, "planar groups lack their one Image Region (111030, DCM)")


def _drawable(facts: Facts) -> Words:
    wrong = [g for g in facts.groups if g.template != "1411" and not g.graphics]
    return some(wrong, "measurement groups have no coordinates on an image")


def _flat(facts: Facts) -> Words:
    return some([n for n in facts.nodes if n.value_type == "SCOORD3D"], "outlines are in space (SCOORD3D)")


def _volumetric_alone(facts: Facts) -> Words:
    kinds = {g.template for g in facts.groups}
    return "volumetric groups beside others" if "1411" in kinds and len(kinds) > 1 else None


def _inside(facts: Facts) -> Words:
    sizes = {}
    for h in facts.headers:
        if h.get("Rows") and h.get("Columns") and "SOPInstanceUID" in h:
            sizes[str(h.SOPInstanceUID)] = extent(h)
    wrong = [node for node in facts.nodes if node.value_type == "SCOORD" and not _fits(node, sizes)]
    return some(wrong, "outlines leave their image")


def _fits(node: Node, sizes: dict[str, tuple[int, int]]) -> bool:
    references = [reference for child in node.children for reference in child.references]
    size = sizes.get(str(references[0].get("ReferencedSOPInstanceUID"))) if references else None
    return size is None or all(0 <= value <= size[i % 2] for i, value in enumerate(node.graphic_data))


def _space(facts: Facts) -> Words:
    """Coordinates in space say in which one: no validator compares the value."""
    theirs = {str(h.FrameOfReferenceUID) for h in facts.headers if h.get("FrameOfReferenceUID")}
    ours = [str(n.item.get("ReferencedFrameOfReferenceUID", "")) for n in facts.nodes if n.value_type == "SCOORD3D"]
    wrong = [uid for uid in ours if not uid or (theirs and uid not in theirs)]
    return some(wrong, "outlines in space lie in another frame of reference")


def _evidence(facts: Facts) -> Words:
    listed = {
        str(instance.get("ReferencedSOPInstanceUID"))
        for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in facts.dataset.get(keyword) or ()
        for series in study.get("ReferencedSeriesSequence") or ()
        for instance in series.get("ReferencedSOPSequence") or ()
    }
    used = {str(r.get("ReferencedSOPInstanceUID")) for node in facts.nodes for r in node.references}
    return some(sorted(used - listed), "referenced instances are not listed as evidence")


def _status(facts: Facts) -> Words:
    right = facts.dataset.get("CompletionFlag") == "COMPLETE" and facts.dataset.get("VerificationFlag") == "UNVERIFIED"
    return None if right else "not COMPLETE and UNVERIFIED"


_OHIF: Final = "OHIF 3.13 extensions/cornerstone-dicom-sr"
_RECTANGLE: Final = "cornerstone3D adapters, RectangleROI; OHIF isRehydratable"
_AIR: Final = "IHE RAD AI Results, Evidence Creator"

REPORT_RULES: Final = (
    Rule("root", is_sr, _root, "OHIF takes no other root for a measurement report", _OHIF),
    Rule("content", is_sr, _content, "a report without content crashed OHIF", "OHIF pull request 6139"),
    Rule("meanings", is_sr, _meanings, "OHIF looks for these words, not for the codes", _OHIF),
    Rule("procedure-reported", is_sr, _procedure, "no validator asks for it", "PS3.16 TID 1500 row 4"),
    Rule("language", is_sr, _language, "voice and translation need it; TID 1500 demands it", "PS3.16 TID 1204", Level.WARNING),
    Rule("device-observer", is_sr, _device, "a reader must see that a machine speaks", f"PS3.16 TID 1004; {_AIR}"),
    Rule("image-library", is_sr, _library, "older OHIF reads the images from it", f"{_OHIF}; PS3.16 TID 1600", Level.WARNING),
    Rule("answer", is_sr, _answered, "a list of findings does not say whether the analysis was complete", _AIR, Level.WARNING),
    Rule("tracked", is_sr, _tracked, "OHIF throws the whole report away if one group lacks either", _OHIF),
    Rule("tracked-once", is_sr, _tracked_once, "OHIF merges groups of equal tracking UID", _OHIF),
    Rule("tracking-first", is_sr, _tracking_first, "OHIF takes the first UIDREF of a group for the tracking UID", _OHIF),
    Rule("not-hydrated", is_sr, _not_hydrated, "OHIF makes them editable measurements of its own", _RECTANGLE, Level.WARNING),
    Rule("finding", is_sr, _found, "viewers list a group by its finding", f"PS3.16 TID 1501 row 4; {_AIR}", Level.WARNING),
    Rule("algorithm", is_sr, _algorithm, "which model said so, group by group", f"PS3.16 TID 4019; {_AIR}", Level.WARNING),
    Rule("units", is_sr, _units, "OHIF reads the unit of every number; validators only warn", f"{_OHIF}; TID 300"),
    Rule("coordinates", is_sr, _coordinates, "coordinates without name or image cannot be drawn", _OHIF),
    Rule("selected-from", is_sr, _selected, "highdicom accepts other relations, dciodvfy and viewers do not", "PS3.16 TID 320"),
    Rule("one-frame", is_sr, _one_frame, "OHIF draws on the first frame only", _OHIF, Level.WARNING),
    Rule("segment-or-frame", is_sr, _segment_or_frame, "dciodvfy refuses both together", "PS3.3 C.18.4"),
    Rule("segment-named", is_sr, _volumes_named, "without it the volume is that of all segments", "PS3.16 TID 1411 row 7"),
    Rule("no-rectangle", is_sr, _no_rectangle, "OHIF makes the report editable and drops its other groups", _RECTANGLE),
    Rule("planar-region", is_sr, _planar_region, "validators take such a group for TID 1501", "PS3.16 TID 1410 row 5"),
    Rule("drawable", is_sr, _drawable, "OHIF 3.13 blanks its viewport on a group without SCOORD", _OHIF),
    Rule("flat", is_sr, _flat, "OHIF does not draw SCOORD3D", _OHIF, Level.WARNING),
    Rule("volumetric-alone", is_sr, _volumetric_alone, "PixelMed's validator takes the others for broken ones", "PixelMed 2022"),
    Rule("inside", is_sr, _inside, "an outline beside its image is wrong whatever it says", "PS3.3 C.18.6.1.1"),
    Rule("space", is_sr, _space, "no validator compares the value", "PS3.3 C.18.9"),
    Rule("evidence", is_sr, _evidence, "archives fetch by this list", "PS3.3 C.17.2.3"),
    Rule("status", is_sr, _status, "nobody has verified it, and nothing is to follow", "PS3.3 C.17.2"),
)
