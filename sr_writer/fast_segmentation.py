"""A SEG of any size from one that highdicom made of a single plane: whatever grows with planes and frames is rendered as bytes.

highdicom 0.28 builds an object for every attribute of every frame, which is most of its time. Here each plane's part of a
functional group is rendered once, the groups are joined from these parts, and the pixels are packed while they are written.
The result is the file that highdicom would have written, byte for byte (tests/sr_writer/test_fast_segmentation.py).
"""

from collections.abc import Sequence
from typing import Final

import highdicom as hd
import numpy as np
from highdicom.seg import SegmentationTypeValues as Type
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import correct_ambiguous_vr_element
from pydicom.tag import Tag
from pydicom.valuerep import AMBIGUOUS_VR, format_number_as_ds

from sr_writer import explicit
from sr_writer.content import Content
from sr_writer.document import Document
from sr_writer.functional_groups import frame_groups, stack_dimension
from sr_writer.grid import Grid, Kind
from sr_writer.packing import frames_of

_GROUPS: Final = 0x52009230  # Per-Frame Functional Groups Sequence
_NORMAL: Final = hd.PixelIndexDirections.D, hd.PixelIndexDirections.R  # highdicom sorts planes by this index convention


def streamed(content: Content, grid: Grid, described: Dataset) -> tuple[Document, Dataset]:
    """The SEG with its frames still to be made, and the same with the first frame of each segment alone, for the rules.

    ``described`` is the SEG of one plane of it. Raises PermanentError when it becomes larger than native Pixel Data can be.
    """
    order = _order(grid)
    filled = set(content.frames[:, 1].tolist())
    rank = {plane: number for number, plane in enumerate((p for p in order if p in filled), 1)}
    ranks = np.array([rank[plane] for plane in content.frames[:, 1].tolist()])
    frames = content.frames[np.lexsort((ranks, content.frames[:, 0]))]
    head = _head(content, grid, described, sorted(filled), len(frames))
    groups = frame_groups(grid, frames, rank)
    whole, sample = Dataset(), Dataset()
    _, firsts = np.unique(frames[:, 0], return_index=True)
    for dataset, chosen in ((whole, groups), (sample, [groups[n] for n in firsts])):
        dataset.update(head)
        _add_raw(dataset, _GROUPS, b"".join(chosen))
        dataset.file_meta, dataset.preamble = FileMetaDataset(described.file_meta), described.preamble
        dataset.set_original_encoding(False, True, dataset._character_set)  # so that pydicom writes raw elements as they are
    return Document(content.role, whole, frames_of(content, frames, grid.shape)), sample


def _order(grid: Grid) -> list[int]:
    """Planes along the normal, as highdicom sorts them; in their own order without frame of reference."""
    if grid.kind is Kind.PLAIN:
        return list(range(len(grid.planes)))
    normal = hd.spatial.get_normal_vector(grid.orientation, index_convention=_NORMAL)
    order: list[int] = np.unique((normal[None] @ grid.positions.T).squeeze(0), return_index=True)[1].tolist()
    return order


def _head(content: Content, grid: Grid, described: Dataset, filled: Sequence[int], count: int) -> Dataset:
    """All of the object that stands before the groups of the frames, with what one plane could not tell."""
    head = Dataset()
    head.update(described)
    for keyword in ("PerFrameFunctionalGroupsSequence", "PixelData", "ReferencedSeriesSequence", "SourceImageSequence"):
        del head[keyword]
    del head["NumberOfFrames"], head["SegmentsOverlap"]
    head.NumberOfFrames = count
    undefined = content.type is Type.FRACTIONAL and len(content.segments) > 1
    head.SegmentsOverlap = "UNDEFINED" if undefined else "NO"
    if grid.kind is not Kind.PLAIN:
        _space(head, grid)
        if _is_volume(content, grid, filled):
            head.DimensionOrganizationType = "3D"
    elif len(grid.planes) > 1:
        stack_dimension(head)
    for element in list(head.values()):  # those within sequences are corrected when they are written
        if element.VR in AMBIGUOUS_VR:
            correct_ambiguous_vr_element(element, head, True)
    images = [_reference(*image) for image in grid.references]
    series = explicit.sequence(0x0008114A, images) + explicit.text(0x0020000E, "UI", grid.series_uid)
    _add_raw(head, 0x00081115, explicit.item(series))
    _add_raw(head, 0x00082112, b"".join(images))
    return head


def _space(head: Dataset, grid: Grid) -> None:
    """Spacing Between Slices of all planes, where the images do not say it (highdicom took 1 mm for a single plane)."""
    measures = head.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    if _says_spacing(grid):
        return
    measures.pop("SpacingBetweenSlices", None)
    spacing, _ = hd.spatial.get_volume_positions(grid.positions.tolist(), grid.orientation)
    if spacing is not None:
        measures.SpacingBetweenSlices = format_number_as_ds(spacing)


def _says_spacing(grid: Grid) -> bool:
    source = grid.sources(grid.planes[:1])[0]
    if grid.kind is Kind.FRAMES:
        return "SpacingBetweenSlices" in source.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    return source.get("SpacingBetweenSlices") is not None


def _is_volume(content: Content, grid: Grid, filled: Sequence[int]) -> bool:
    """Whether highdicom calls the frames a volume (PS3.3 C.7.6.17): one channel, evenly spaced along the normal as given."""
    if len(filled) < 2 or (content.type is not Type.LABELMAP and len(content.segments) > 1):
        return False
    spacing, _ = hd.spatial.get_volume_positions(grid.positions[list(filled)].tolist(), grid.orientation, sort=False)
    return spacing is not None and spacing > 0


def _reference(sop_class_uid: str, sop_instance_uid: str) -> bytes:
    return explicit.item(explicit.text(0x00081150, "UI", sop_class_uid), explicit.text(0x00081155, "UI", sop_instance_uid))


def _add_raw(dataset: Dataset, tag: int, items: bytes) -> None:
    """A sequence of finished items, which pydicom reads only if somebody looks at it."""
    dataset[Tag(tag)] = RawDataElement(Tag(tag), "SQ", len(items), items, 0, False, True)
