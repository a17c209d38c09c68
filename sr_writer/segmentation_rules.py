"""Rules for Segmentations (BINARY, FRACTIONAL, LABELMAP) and Parametric Maps."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from sr_writer.rule import LABELMAP, Facts, Level, Rule, Words, is_map, is_seg, some

Matrix = tuple[tuple[int, int], tuple[float, ...], tuple[float, ...]]
_EQUIPMENT: Final = ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions")
_BITS: Final = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}


def _frames(ds: Dataset) -> Sequence[Dataset]:
    return ds.get("PerFrameFunctionalGroupsSequence") or ()


def _segments(ds: Dataset) -> Sequence[Dataset]:
    return ds.get("SegmentSequence") or ()


def _implied(ds: Dataset) -> bool:
    """A TILED_FULL object has no groups of frames: place and segment follow from the frame's number (PS3.3 C.7.6.17.3)."""
    return bool(ds.get("DimensionOrganizationType") == "TILED_FULL")


def _mapped(ds: Dataset) -> bool:
    return bool(ds.get("SOPClassUID") == LABELMAP) or bool(ds.get("SegmentationType") == "LABELMAP")


def _identified(facts: Facts) -> Words:
    ds = facts.dataset
    if _implied(ds) or _mapped(ds):
        return None
    wrong = [f for f in _frames(ds) if not f.get("SegmentIdentificationSequence")]
    return some(wrong, "frames lack a Segment Identification of their own") or (None if _frames(ds) else "no frames")


def _coloured(facts: Facts) -> Words:
    wrong = [s for s in _segments(facts.dataset) if not s.get("RecommendedDisplayCIELabValue")]
    return some(wrong, "segments lack Recommended Display CIELab Value")


def _filled(facts: Facts) -> Words:
    """Frames name their segment; in a LABELMAP the pixels do, and in TILED_FULL every segment has all its tiles."""
    ds = facts.dataset
    if not _segments(ds):
        return "no segments"
    if _implied(ds) or _mapped(ds):
        return None
    groups = [*_frames(ds), *(ds.get("SharedFunctionalGroupsSequence") or ())]
    named = [g.SegmentIdentificationSequence[0] for g in groups if g.get("SegmentIdentificationSequence")]
    used = {int(item.get("ReferencedSegmentNumber") or 0) for item in named}
    return some([s for s in _segments(ds) if int(s.get("SegmentNumber") or 0) not in used], "segments have no frame")


def _numbered(facts: Facts) -> Words:
    """1, 2, 3 ... without gaps; a LABELMAP may leave some out."""
    ds = facts.dataset
    numbers = [int(s.get("SegmentNumber") or 0) for s in _segments(ds)]
    right = numbers == list(range(1, len(numbers) + 1)) or (_mapped(ds) and len(set(numbers)) == len(numbers))
    return None if right else "segment numbers are not 1, 2, 3 ..."


def _background(facts: Facts) -> Words:
    zero = [s for s in _segments(facts.dataset) if s.get("SegmentNumber") == 0]
    return "the background is described as segment 0" if zero else None


def _binary(facts: Facts) -> Words:
    ds = facts.dataset
    return None if ds.get("SegmentationType") == "BINARY" and ds.get("BitsAllocated") == 1 else "not BINARY with one bit"


def _whole_bytes(facts: Facts) -> Words:
    ds = facts.dataset
    one_bit = ds.get("BitsAllocated") == 1
    return "Columns is no multiple of 8" if one_bit and int(ds.get("Columns") or 0) % 8 else None


def _apart(facts: Facts) -> Words:
    return "segments overlap" if facts.dataset.get("SegmentsOverlap") == "YES" else None


def _blank_in_slim(facts: Facts) -> Words:
    ds = facts.dataset
    blank = ds.get("SegmentationType") == "FRACTIONAL" and _implied(ds) and len(_segments(ds)) > 1
    return "FRACTIONAL, TILED_FULL and several segments" if blank else None


def _series(facts: Facts) -> Words:
    return None if facts.dataset.get("ReferencedSeriesSequence") else "no Referenced Series Sequence"


def _one_series(facts: Facts) -> Words:
    count = len(facts.dataset.get("ReferencedSeriesSequence") or ())
    return f"{count} series are referenced" if count > 1 else None


def _derived(facts: Facts) -> Words:
    """Tiles of a slide lie on the level as a whole, not on single frames of it."""
    if not _frames(facts.dataset) and not _implied(facts.dataset):
        return "no functional groups of frames"
    frames = [f for f in _frames(facts.dataset) if not f.get("PlanePositionSlideSequence")]
    return some([f for f in frames if not _sources(f)], "frames do not name their source image")


def _sources(frame: Dataset) -> Sequence[Dataset]:
    derivation = frame.get("DerivationImageSequence")
    return (derivation[0].get("SourceImageSequence") or ()) if derivation else ()


def _listed(facts: Facts) -> Words:
    """Source images of the frames are among those of Referenced Series Sequence (Common Instance Reference)."""
    used = {str(s.get("ReferencedSOPInstanceUID")) for f in _frames(facts.dataset) for s in _sources(f)}
    series = facts.dataset.get("ReferencedSeriesSequence") or ()
    listed = {str(i.get("ReferencedSOPInstanceUID")) for s in series for i in s.get("ReferencedInstanceSequence") or ()}
    return some(sorted(used - listed), "source images are not listed in Referenced Series Sequence") if series else None


def _frames_of_images(facts: Facts) -> Words:
    framed = [s for f in _frames(facts.dataset) for s in _sources(f) if s.get("ReferencedFrameNumber")]
    return some(framed, "source images are frames of a multi-frame image")


def _one_orientation(facts: Facts) -> Words:
    own = [f.PlaneOrientationSequence[0].get("ImageOrientationPatient") for f in _frames(facts.dataset)
           if f.get("PlaneOrientationSequence")]  # fmt: skip
    found = {tuple(float(v) for v in each) for each in own if each}
    return f"frames have {len(found)} orientations" if len(found) > 1 else None


def _tracked(facts: Facts) -> Words:
    wrong = [s for s in _segments(facts.dataset) if not (s.get("TrackingID") and s.get("TrackingUID"))]
    return some(wrong, "segments lack tracking ID or UID")


def _automatic(facts: Facts) -> Words:
    automatic = [s for s in _segments(facts.dataset) if s.get("SegmentAlgorithmType") in ("AUTOMATIC", "SEMIAUTOMATIC")]
    wrong = [s for s in automatic if not (s.get("SegmentAlgorithmName") and s.get("SegmentationAlgorithmIdentificationSequence"))]
    return some(wrong, "segments do not name the algorithm that made them")


def _in_space(facts: Facts) -> Words:
    ds = facts.dataset
    shared = (ds.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    measured = shared.get("PixelMeasuresSequence") and shared.get("PlaneOrientationSequence")
    return None if ds.get("FrameOfReferenceUID") or measured else "neither Frame of Reference nor Pixel Measures and orientation"


def _same_space(facts: Facts) -> Words:
    theirs = {str(h.FrameOfReferenceUID) for h in _referenced(facts) if h.get("FrameOfReferenceUID")}
    same = not theirs or theirs == {str(facts.dataset.get("FrameOfReferenceUID"))}
    return None if same else "Frame of Reference UID is not the images'"


def _same_grid(facts: Facts) -> Words:
    ds = facts.dataset
    if ds.get("TotalPixelMatrixRows"):
        return _same_slide(facts)
    keywords = ("Rows", "Columns")
    theirs = {tuple(int(h.get(k) or 0) for k in keywords) for h in _referenced(facts) if h.get("Rows")}
    ours = tuple(int(ds.get(k) or 0) for k in keywords)
    return None if not theirs or theirs == {ours} else "Rows and Columns are not the images'"


def _same_slide(facts: Facts) -> Words:
    """The total pixel matrix of the level referred to, or one with larger pixels from the same place on, as large to a pixel."""
    ours = _matrix(facts.dataset)
    theirs = [_matrix(h) for h in _referenced(facts) if h.get("TotalPixelMatrixRows")]
    return (
        None if not theirs or any(_covers(ours, each) for each in theirs) else "the total pixel matrix is not that of the images"
    )


def _matrix(ds: Dataset) -> Matrix:
    """Rows and columns, spacing and origin (x, y) of a total pixel matrix, mm; empty where they are not said."""
    size = int(ds.get("TotalPixelMatrixRows") or 0), int(ds.get("TotalPixelMatrixColumns") or 0)
    shared = (ds.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    measures = (shared.get("PixelMeasuresSequence") or [Dataset()])[0]
    origin = (ds.get("TotalPixelMatrixOriginSequence") or [Dataset()])[0]
    place = [origin.get(f"{axis}OffsetInSlideCoordinateSystem") for axis in "XY"]
    spacing = tuple(float(v) for v in measures.get("PixelSpacing") or ())
    return size, spacing, tuple(float(v) for v in place if v is not None)


def _covers(ours: Matrix, theirs: Matrix) -> bool:
    if ours[0] == theirs[0]:
        return True
    if len(ours[1]) != 2 or len(theirs[1]) != 2 or not np.allclose(ours[2], theirs[2], atol=1e-4):
        return False
    long = [(a * s, b * t, s) for a, s, b, t in zip(ours[0], ours[1], theirs[0], theirs[1], strict=True)]
    return all(-1e-4 * there < here - there < pixel * 1.001 for here, there, pixel in long)


def _referenced(facts: Facts) -> list[Dataset]:
    sequences = facts.dataset.get("ReferencedSeriesSequence") or ()
    used = {str(i.get("ReferencedSOPInstanceUID")) for s in sequences for i in s.get("ReferencedInstanceSequence") or ()}
    return [h for h in facts.headers if str(h.get("SOPInstanceUID")) in used]


def _complete(facts: Facts) -> Words:
    """Native pixel data holds exactly the frames that are announced."""
    ds = facts.dataset
    if facts.pixel_data is None or _encapsulated(ds):
        return None
    keyword, there = facts.pixel_data
    size = int(ds.get("NumberOfFrames") or 1) * int(ds.get("Rows") or 0) * int(ds.get("Columns") or 0)
    length = -(-size * (_BITS.get(keyword) or int(ds.get("BitsAllocated") or 0)) // 8)
    return None if there == length + length % 2 else f"{there} bytes of pixels instead of {length + length % 2}"


def _encapsulated(ds: Dataset) -> bool:
    syntax = getattr(getattr(ds, "file_meta", None), "TransferSyntaxUID", None)
    return syntax is not None and bool(syntax.is_encapsulated)


def _equipped(facts: Facts) -> Words:
    return some([k for k in _EQUIPMENT if not facts.dataset.get(k)], "attributes of Enhanced General Equipment are missing")


def _creator(facts: Facts) -> Words:
    return None if "ContentCreatorName" in facts.dataset else "no Content Creator's Name, not even an empty one"


def _mappings(ds: Dataset) -> list[Dataset]:
    groups = [*_frames(ds), *(ds.get("SharedFunctionalGroupsSequence") or ())]
    return [m for g in groups for m in g.get("RealWorldValueMappingSequence") or ()]


def _mapped_values(facts: Facts) -> Words:
    return None if _mappings(facts.dataset) else "no Real World Value Mapping"


def _map_units(facts: Facts) -> Words:
    units = [m.get("MeasurementUnitsCodeSequence") for m in _mappings(facts.dataset)]
    wrong = [u for u in units if not u or u[0].get("CodingSchemeDesignator") != "UCUM" or not u[0].get("CodeValue")]
    return some(wrong, "value mappings lack a UCUM unit")


def _quantity(facts: Facts) -> Words:
    wrong = [m for m in _mappings(facts.dataset) if not m.get("QuantityDefinitionSequence")]
    return some(wrong, "value mappings do not say what is measured")


def _float(facts: Facts) -> Words:
    pixels = facts.pixel_data
    right = facts.dataset.get("BitsAllocated") == 32 and pixels is not None and pixels[0] == "FloatPixelData"
    return None if right else "not 32-bit floating point values"


def _image(ds: Dataset) -> bool:
    return is_seg(ds) or is_map(ds)


_CS3D: Final = "cornerstone3D adapters, Segmentation"
_AIR: Final = "IHE RAD AI Results, Evidence Creator"
_FROM: Final = "PS3.3 C.7.6.16.2.6"

SEGMENTATION_RULES: Final = (
    Rule("segment-per-frame", is_seg, _identified, "Weasis looks in the frame's own group only", "Weasis SegSpecialElement"),
    Rule("colour", is_seg, _coloured, "OHIF hangs without (OHIF issue 3939)", _CS3D),
    Rule("no-empty-segment", is_seg, _filled, "OHIF hangs on one (OHIF issue 3991)", _CS3D),
    Rule("segments-numbered", is_seg, _numbered, "readers take the number for an index", "PS3.3 C.8.20.2"),
    Rule("background", is_seg, _background, "OHIF gives each segment its neighbour's colour", "OHIF 3.13, seen"),
    Rule(
        "binary", is_seg, _binary, "the one type that every viewer with SEG shows; OHIF hangs on FRACTIONAL", _CS3D, Level.WARNING
    ),
    Rule("whole-bytes", is_seg, _whole_bytes, "Weasis before 4.7 shows it sheared (issue 820)", "Weasis", Level.WARNING),
    Rule("apart", is_seg, _apart, "OHIF 3.13 shows half the volume of segments that overlap", "OHIF 3.13, seen", Level.WARNING),
    Rule("slim-fractional", is_seg, _blank_in_slim, "Slim shows nothing (issue 223)", "Slim 0.46", Level.WARNING),
    Rule("referenced-series", _image, _series, "OHIF finds the images by it (OHIF issue 4271)", _CS3D),
    Rule("one-series", _image, _one_series, "OHIF loads the first series only", _CS3D, Level.WARNING),
    Rule("derivation", _image, _derived, "Weasis matches frames to images by it (Weasis issue 693)", _FROM),
    Rule("source-listed", _image, _listed, "archives and viewers fetch by this list", "PS3.3 C.12.2"),
    Rule(
        "frames-of-images", is_seg, _frames_of_images, "OHIF and Weasis show some of them wrong (4645, 666)", _CS3D, Level.WARNING
    ),
    Rule("one-orientation", _image, _one_orientation, "OHIF shows planar segmentations only", _CS3D, Level.WARNING),
    Rule("segments-tracked", is_seg, _tracked, "ties a segment to its measurement group", f"PS3.3 C.8.20.2; {_AIR}"),
    Rule("segments-made-by", is_seg, _automatic, "which model drew it", "PS3.3 C.8.20.2", Level.WARNING),
    Rule(
        "in-space",
        is_seg,
        _in_space,
        "OHIF blanks its page without these (OHIF issue 4006)",
        "OHIF 3.13, seen",
        Level.WARNING,
    ),
    Rule("frame-of-reference", _image, _same_space, "no validator compares the value", "PS3.3 C.8.20.3"),
    Rule("grid", _image, _same_grid, "viewers overlay row by row", _CS3D),
    Rule("pixels-complete", _image, _complete, "viewers read beyond the end or shift the frames", "PS3.5 section 8.1.1"),
    Rule("equipment", _image, _equipped, "type 1: archives may refuse", "PS3.3 C.7.5.2"),
    Rule("content-creator", is_map, _creator, "type 2: dcmqi refuses without; highdicom leaves it out", "PS3.3 table 10-12"),
    Rule("mapping", is_map, _mapped_values, "without it the numbers mean nothing", "PS3.3 C.7.6.16.2.11"),
    Rule("mapping-units", is_map, _map_units, "no validator looks at the scheme", "PS3.3 C.7.6.16.2.11"),
    Rule(
        "mapping-quantity", is_map, _quantity, "a unit alone does not say what is measured", "PS3.3 C.7.6.16.2.11", Level.WARNING
    ),
    Rule("float", is_map, _float, "viewers read no other kind", "PS3.3 C.7.6.24"),
)
