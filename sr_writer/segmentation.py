"""The Segmentation (PS3.3 A.51): BINARY, on the grid of the images, readable by every viewer that reads any."""

from collections.abc import Mapping, Sequence
from typing import Final

import highdicom as hd
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from domain.errors import PermanentError
from domain.results import Algorithm, Analysis, Labels, Segment
from sr_writer.codes import AI_FAMILY, concept
from sr_writer.heading import Heading, short
from sr_writer.source import by_uid, has_plane, stand_in

ROLE: Final = "seg"


def occupied(analysis: Analysis) -> dict[int, Segment]:
    """The segments that have voxels, by the number they get in the SEG: 1, 2, 3 ... (PS3.3 C.8.20.2).

    Viewers hang on a segment without a frame (OHIF issue 3991), so empty ones are not described at all.
    """
    if analysis.labels is None:
        return {}
    seen = set().union(*(np.flatnonzero(_histogram(layer)).tolist() for layer in analysis.labels.layers))
    present = sorted((s for s in analysis.segments if s.number in seen), key=lambda s: s.number)
    return dict(enumerate(present, 1))


def segmentation(
    analysis: Analysis, segments: Mapping[int, Segment], headers: Sequence[Dataset], heading: Heading
) -> Dataset | None:
    """The SEG of the occupied segments, or None where there are none.

    Raises PermanentError when labels and images disagree.
    """
    if analysis.labels is None or not segments:
        return None
    images = _images(analysis.labels, headers, heading.context.study_uid)
    dataset = hd.seg.Segmentation(
        source_images=images,
        pixel_array=_masks(analysis.labels, segments),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_described(n, s, heading) for n, s in segments.items()],
        manufacturer_model_name=short(heading.algorithm.name),
        software_versions=short(heading.algorithm.version),
        device_serial_number=heading.algorithm.digest[:16] or "0",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        content_label="AI_SEGMENTS",
        content_description=short(heading.algorithm.disclaimer),
        omit_empty_frames=True,
        **heading.arguments(ROLE),
    )
    _identify_frames(dataset)
    _derive_dimension(dataset, heading.uid(ROLE + "/dimensions"))
    heading.finish(dataset, heading.describe("segments"))
    return dataset


def _histogram(layer: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.intp]:
    """Voxels per label; slice by slice, so that no copy of the volume in a wider type is made."""
    total = np.zeros(int(layer.max(initial=0)) + 1, np.intp)
    for plane in layer:
        total += np.bincount(plane.ravel(), minlength=total.size)
    total[0] = 0
    return total


def _images(labels: Labels, headers: Sequence[Dataset], study_uid: str) -> list[Dataset]:
    known = by_uid(headers)
    wanted = list(dict.fromkeys(labels.sop_instance_uids))
    missing = [uid for uid in wanted if uid not in known or not has_plane(known[uid])]
    if missing:
        raise PermanentError(f"{len(missing)} of {len(wanted)} segmented images have no usable header.")
    return [stand_in(known[uid], study_uid) for uid in wanted]


def _masks(labels: Labels, segments: Mapping[int, Segment]) -> npt.NDArray[np.uint8]:
    """Segments as highdicom takes them: one label map where they exclude each other, else (slices, rows, columns, segments).

    The label map is a quarter of the memory, and highdicom finds empty frames in it faster.
    """
    if len(labels.layers) == 1 and len(segments) < 256:
        table = np.zeros(int(labels.layers.max(initial=0)) + 1, np.uint8)
        for number, segment in segments.items():
            table[segment.number] = number
        mapped: npt.NDArray[np.uint8] = table[labels.layers[0]]
        return mapped
    masks = np.zeros((len(segments), *labels.layers.shape[1:]), np.uint8)
    for number, segment in segments.items():
        for layer in labels.layers:
            masks[number - 1] |= layer == segment.number
    return np.moveaxis(masks, 0, -1)  # in memory each plane stays in one piece, which is how highdicom takes them


def _described(number: int, segment: Segment, heading: Heading) -> hd.seg.SegmentDescription:
    item = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=short(segment.label),
        segmented_property_category=concept(segment.category),
        segmented_property_type=concept(segment.type),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm_identification(heading.algorithm),
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
    nothing. Both places are allowed (PS3.3 table A.51-2).
    """
    shared = dataset.SharedFunctionalGroupsSequence[0]
    if "SegmentIdentificationSequence" not in shared:
        return
    number = int(shared.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
    del shared.SegmentIdentificationSequence
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        identification = Dataset()
        identification.ReferencedSegmentNumber = number
        frame.SegmentIdentificationSequence = [identification]


def _derive_dimension(dataset: Dataset, uid: str) -> None:
    """highdicom draws the Dimension Organization UID at random (PS3.3 C.7.6.17)."""
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
