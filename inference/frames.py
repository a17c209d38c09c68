"""Enhanced multi-frame CT and MR as single images: one per frame, of one stack and one moment, with what its groups say of it.

PS3.3 C.7.6.16 (functional groups), C.7.6.17 (dimensions).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
)

from domain.errors import Reason, UnsuitableError
from inference.pixels import is_compressed, pixel_data
from inference.source import Source, integer, numbers, text, words

ENHANCED = frozenset(
    (
        EnhancedCTImageStorage,
        EnhancedMRImageStorage,
        LegacyConvertedEnhancedCTImageStorage,
        LegacyConvertedEnhancedMRImageStorage,
    )
)
MOST_FRAMES = 20_000
# Functional group, and what of it a single image would have in its header.
_GROUPS = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
    "FrameContentSequence": ("StackID", "TemporalPositionIndex", "DimensionIndexValues"),
    "CTImageFrameTypeSequence": ("FrameType",),
    "MRImageFrameTypeSequence": ("FrameType",),
}
_SHARED = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "Rows", "Columns", "SamplesPerPixel", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "ImageType", "ImageOrientationPatient", "PixelSpacing",
)  # fmt: skip
# Dimensions along which a volume extends; any other one (time, echo, diffusion weighting ...) makes several volumes.
_ALONG = {tag_for_keyword(k) for k in ("InStackPositionNumber", "ImagePositionPatient", "StackID", "SliceLocation")}


def is_enhanced(source: Source) -> bool:
    """Whether this is a multi-frame image whose frames are slices."""
    return text(source.header, "SOPClassUID") in ENHANCED


def singles(sources: Sequence[Source]) -> tuple[list[Source], list[str]]:
    """The sources with every enhanced image replaced by its frames; and notes on what was left out. Raises UnsuitableError."""
    found = [source for source in sources if not is_enhanced(source)]
    frames = [frame for source in sources if is_enhanced(source) for frame in _frames(source)]
    kept, notes = _one_volume(frames)
    return found + [frame for frame, _ in kept], notes


def _frames(source: Source) -> list[tuple[Source, tuple[Any, ...]]]:
    """Each frame, and which volume of the image it belongs to."""
    header = source.header
    count = integer(header, "NumberOfFrames")
    per_frame, shared = header.get("PerFrameFunctionalGroupsSequence"), header.get("SharedFunctionalGroupsSequence")
    if count is None or not 1 <= count <= MOST_FRAMES or not isinstance(per_frame, Items) or len(per_frame) != count:
        raise UnsuitableError(Reason.GEOMETRY, "A multi-frame image does not say of every frame where it lies.")
    common = shared[0] if isinstance(shared, Items) and len(shared) else Dataset()
    pixels = _pixels(source, count)
    other = _other_dimensions(header)
    frames = []
    for index, own in enumerate(per_frame):
        single = _single(header, common, own)
        frames.append((replace(source, header=single, data=pixels[index], frame=index + 1), _volume_of(single, other)))
    return frames


def _single(header: Dataset, common: Dataset, own: Dataset) -> Dataset:
    """The header this frame would have as an image of its own."""
    single = Dataset()
    single.file_meta = header.file_meta
    for keyword in _SHARED:
        if keyword in header:
            single[keyword] = header[keyword]
    for group, keywords in _GROUPS.items():
        item = _item(own, group) or _item(common, group)
        for keyword in keywords:
            if item is not None and keyword in item:
                single[keyword] = item[keyword]
    if "FrameType" in single:
        single.ImageType = single.FrameType
    return single


def _item(groups: Dataset, keyword: str) -> Dataset | None:
    found = groups.get(keyword)
    return found[0] if isinstance(found, Items) and len(found) else None


def _pixels(source: Source, count: int) -> list[memoryview]:
    """The pixels of each frame: views of native ones, the code streams of compressed ones."""
    value, undefined = pixel_data(source)
    if undefined or is_compressed(source):
        try:
            streams = [memoryview(frame) for frame in generate_frames(bytes(value), number_of_frames=count)]
        except Exception as error:
            raise UnsuitableError(Reason.DECODE, "The compressed frames of an image cannot be told apart.") from error
        if len(streams) != count:
            raise UnsuitableError(Reason.DECODE, "A multi-frame image has fewer frames than it says.")
        return streams
    sizes = [integer(source.header, keyword) or 0 for keyword in ("Rows", "Columns", "BitsAllocated")]
    size = sizes[0] * sizes[1] * sizes[2] // 8
    if size <= 0 or len(value) < size * count:
        raise UnsuitableError(Reason.DECODE, "An image has fewer pixels than it says: it is cut off.")
    return [value[i * size : (i + 1) * size] for i in range(count)]


def _other_dimensions(header: Dataset) -> list[int]:
    """Places in Dimension Index Values that tell volumes apart, not slices of one."""
    found = header.get("DimensionIndexSequence")
    pointers = [item.get("DimensionIndexPointer") for item in found] if isinstance(found, Items) else []
    return [place for place, pointer in enumerate(pointers) if pointer not in _ALONG]


def _volume_of(single: Dataset, other: list[int]) -> tuple[Any, ...]:
    values = words(single, "DimensionIndexValues")
    orientation = numbers(single, "ImageOrientationPatient", 6) or ()
    dimensions = tuple(values[place] for place in other if place < len(values))
    about = (text(single, "StackID"), integer(single, "TemporalPositionIndex") or 0, dimensions)
    return (*about, tuple(np.round(orientation, 1)), words(single, "FrameType")[:3])


def _one_volume(
    frames: list[tuple[Source, tuple[Any, ...]]],
) -> tuple[list[tuple[Source, tuple[Any, ...]]], list[str]]:
    """The frames of the volume with the most of them, the first of equals."""
    volumes: dict[tuple[Any, ...], int] = {}
    for _, volume in frames:
        volumes[volume] = volumes.get(volume, 0) + 1
    if len(volumes) < 2:
        return frames, []
    best = max(volumes, key=lambda volume: volumes[volume])
    note = f"1 of {len(volumes)} stacks or phases of the multi-frame image analysed"
    return [frame for frame in frames if frame[1] == best], [note]
