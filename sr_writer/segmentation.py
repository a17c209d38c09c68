"""The Segmentation (PS3.3 A.51): on the grid of the images, readable by every viewer that reads its type."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

import highdicom as hd
import numpy as np
import numpy.typing as npt
from highdicom.seg import SegmentationTypeValues as Type
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from domain.errors import PermanentError
from domain.results import Algorithm, Code, Segment
from sr_writer.codes import AI_FAMILY, concept
from sr_writer.content import FULL, Content
from sr_writer.document import Document
from sr_writer.fast_segmentation import streamed
from sr_writer.grid import Grid, Kind, Plane, grid_of
from sr_writer.heading import Heading, short
from sr_writer.measures import measure
from sr_writer.multiframe import derive_dimension, number_frames

_LABELS: Final = {Type.BINARY: "AI_SEGMENTS", Type.FRACTIONAL: "AI_PROBABILITY", Type.LABELMAP: "AI_LABELMAP"}
_WORDS: Final = {Type.BINARY: "segments", Type.FRACTIONAL: "probability", Type.LABELMAP: "label map"}


def segmentation(content: Content, headers: Sequence[Dataset], heading: Heading, fast: bool = True) -> tuple[Document, Dataset]:
    """The SEG, and what the rules look at: it, or it with one frame for each segment where all frames are made alike.

    ``fast`` lets highdicom describe one plane and renders the rest itself, which gives the same bytes (fast_segmentation.py).
    Raises PermanentError when pixels and images disagree.
    """
    grid = grid_of(content.uids, content.source_frames, headers, heading.context.study_uid, content.reduced)
    if content.shape != (len(grid.planes), *grid.shape):
        raise PermanentError("The segmented pixels are not of the size of the images.")
    if grid.kind is Kind.SLIDE or not (fast or _only_fast(grid)):
        dataset = _described(content, grid, grid.planes, content.array(), heading)
        if grid.kind is Kind.FRAMES:
            number_frames(dataset, grid)
        return Document(content.role, dataset), dataset
    return streamed(content, grid, _described(content, grid, grid.planes[:1], _token(content, grid), heading))


def _only_fast(grid: Grid) -> bool:
    """What highdicom cannot: several planes without frame of reference, and frames of several multi-frame images."""
    return (grid.kind is Kind.PLAIN and len(grid.planes) > 1) or (grid.kind is Kind.FRAMES and len(grid.images) > 1)


def _token(content: Content, grid: Grid) -> npt.NDArray[np.uint8]:
    """One plane with one pixel: highdicom writes no SEG without any."""
    token = np.zeros((1, *grid.shape), np.uint8)
    token[0, 0, 0] = min(content.segments)
    return token


def _described(
    content: Content, grid: Grid, planes: Sequence[Plane], array: npt.NDArray[np.generic], heading: Heading
) -> Dataset:
    slide = grid.kind is Kind.SLIDE
    algorithm, coded = (
        algorithm_identification(heading.algorithm),
        cache(concept),
    )  # the same for many segments: nobody changes them
    # TILED_SPARSE: what Slim shows and dciodvfy knows; tiles without a pixel are left out.
    tiled = hd.DimensionOrganizationTypeValues.TILED_SPARSE if slide else None
    dataset = hd.seg.Segmentation(
        source_images=grid.sources(planes),
        pixel_array=array,
        segmentation_type=content.type,
        segment_descriptions=[_segment(n, s, algorithm, heading, coded) for n, s in content.segments.items()],
        manufacturer_model_name=short(heading.algorithm.name),
        software_versions=short(heading.algorithm.version),
        device_serial_number=heading.algorithm.digest[:16] or "0",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label=_LABELS[content.type],
        content_description=short(heading.algorithm.disclaimer),
        max_fractional_value=FULL,
        omit_empty_frames=True,
        tile_pixel_array=slide,
        dimension_organization_type=tiled,
        pixel_measures=grid.measures,
        **heading.arguments(content.role),
    )
    _identify_frames(dataset)
    _no_background(dataset)
    _pad(dataset)
    derive_dimension(dataset, heading.uid(content.role + "/dimensions"))
    if grid.kind in (Kind.SLIDE, Kind.PLAIN):
        dataset.PatientOrientation = ""  # type 2C where there is no Image Orientation (Patient), PS3.3 C.7.6.1
    if grid.kind is Kind.PLAIN:
        measure(dataset, grid)
    heading.finish(dataset, heading.describe(_words(content)))
    return dataset


def _words(content: Content) -> str:
    nth = content.role.rpartition("-")[2]
    return f"{_WORDS[content.type]} {nth}" if nth.isdecimal() else _WORDS[content.type]


def _segment(
    number: int,
    segment: Segment,
    algorithm: hd.AlgorithmIdentificationSequence,
    heading: Heading,
    coded: Callable[[Code], hd.sr.CodedConcept],
) -> hd.seg.SegmentDescription:
    item = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=short(segment.label),
        segmented_property_category=coded(segment.category),
        segmented_property_type=coded(segment.type),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=heading.tracking_uid(segment.tracking_id),
        tracking_id=segment.tracking_id,
        display_color=hd.color.CIELabColor.from_rgb(*segment.colour),
    )
    if segment.site is not None:
        site = concept(segment.site)
        if segment.laterality is not None:
            site.AnatomicRegionModifierSequence = [concept(segment.laterality)]
        item.AnatomicRegionSequence = [site]
    if segment.description:
        item.SegmentDescription = segment.description
    return item


def algorithm_identification(algorithm: Algorithm) -> hd.AlgorithmIdentificationSequence:
    """Who segmented (PS3.3 table 10-19)."""
    return hd.AlgorithmIdentificationSequence(
        name=short(algorithm.name),
        family=concept(AI_FAMILY),
        version=short(algorithm.version),
        source=short(algorithm.manufacturer),
        parameters=dict(item.split("=", 1) for item in parameters(algorithm)),
    )


def parameters(algorithm: Algorithm) -> list[str]:
    """What else tells this algorithm from another: package, digest of the package, numeric precision."""
    told = [f"package={algorithm.package_id}", f"sha256={algorithm.digest}"]
    return [*told, f"precision={algorithm.precision}"] if algorithm.precision else told


def _identify_frames(dataset: Dataset) -> None:
    """Segment Identification stands in every frame's own group, where every viewer looks for it.

    highdicom 0.28 puts it into the shared group when there is one segment; Weasis reads it per frame only and shows
    nothing. Both places are allowed (PS3.3 table A.51-2). A TILED_FULL object has no groups of frames.
    """
    shared = dataset.SharedFunctionalGroupsSequence[0]
    if "SegmentIdentificationSequence" not in shared or "PerFrameFunctionalGroupsSequence" not in dataset:
        return
    number = int(shared.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
    del shared.SegmentIdentificationSequence
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        identification = Dataset()
        identification.ReferencedSegmentNumber = number
        frame.SegmentIdentificationSequence = [identification]


def _no_background(dataset: Dataset) -> None:
    """highdicom describes the background of a LABELMAP as segment 0, and OHIF then gives each segment its neighbour's colour."""
    described = [item for item in dataset.SegmentSequence if int(item.SegmentNumber) != 0]
    if len(described) < len(dataset.SegmentSequence):
        dataset.SegmentSequence = described


def _pad(dataset: Dataset) -> None:
    """The byte that makes the length even is 0 (PS3.5 section 8.1.1); highdicom 0.28 writes the digit."""
    bits = int(dataset.NumberOfFrames) * int(dataset.Rows) * int(dataset.Columns) * int(dataset.BitsAllocated)
    if -(-bits // 8) % 2:
        dataset.PixelData = dataset.PixelData[:-1] + b"\0"
