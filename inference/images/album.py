"""The images of an analysis: chosen from a study, each known by its header, decoded when it is asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from domain.errors import Reason, UnsuitableError
from inference.images import pixels
from inference.images.calibration import Region, regions
from inference.images.contract import Contract
from inference.images.fit import resized
from inference.images.frames import FrameIndex
from inference.source import Source, integer, items, text

RGB = npt.NDArray[np.uint8]
Part = tuple[int, int, int, int]
WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"  # VL Whole Slide Microscopy Image Storage


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of an image before it is decoded; ``frame`` counts from 1 in multi-frame objects; ``group``: the object."""

    uid: str
    series_uid: str
    frame: int | None
    group: int
    rows: int
    columns: int
    calibrated: tuple[Region, ...]


class Album(Protocol):
    """Images by their position."""

    @property
    def heads(self) -> Sequence[Head]:
        """One for each image."""

    def pixels(self, index: int) -> RGB:
        """The image, uint8 (rows, columns, 3); raises UnsuitableError."""


class Views(Protocol):
    """Pictures of images for people."""

    def view(self, index: int, part: Part | None, longest: int) -> RGB:
        """An image, or a part of it (left, top, columns, rows), with at most ``longest`` pixels on its longer side."""


def shown(image: RGB, part: Part | None, longest: int) -> RGB:
    """The same of an image in memory."""
    if part is not None:
        left, top, columns, rows = part
        image = image[top : top + rows, left : left + columns]
    factor = min(1.0, longest / max(image.shape[:2]))
    return resized(np.ascontiguousarray(image), *(max(1, round(side * factor)) for side in image.shape[:2]))


class StudyAlbum:
    """Images and frames of objects that fit a contract, in the order of series, instance number and frame."""

    def __init__(self, members: Sequence[tuple[Source, pixels.Layout]]) -> None:
        self._members, self.heads = members, tuple(_heads(members))
        self._indices: dict[int, FrameIndex] = {}
        self._last: tuple[int, RGB] = (-1, np.zeros((0, 0, 3), np.uint8))

    def pixels(self, index: int) -> RGB:
        """Decoded anew each time: a study may be larger than the memory."""
        head = self.heads[index]
        source, layout = self._members[head.group]
        if head.group not in self._indices:
            self._indices[head.group] = FrameIndex(source, layout.frames, layout.frame_bytes)
        return pixels.read_rgb(source, layout, self._indices[head.group], (head.frame or 1) - 1)

    def view(self, index: int, part: Part | None, longest: int) -> RGB:
        """For people; the last image stays in memory, because the next view is often of the same."""
        if self._last[0] != index:
            self._last = (index, self.pixels(index))
        return shown(self._last[1], part, longest)


def _heads(members: Sequence[tuple[Source, pixels.Layout]]) -> Iterator[Head]:
    for group, (source, layout) in enumerate(members):
        calibrated = regions(source.header, layout.rows, layout.columns)
        for frame in range(1, layout.frames + 1):
            number = frame if layout.frames > 1 or "NumberOfFrames" in source.header else None
            yield Head(source.uid, source.series_uid, number, group, layout.rows, layout.columns, calibrated)


def choose(sources: Sequence[Source], contract: Contract) -> tuple[str, StudyAlbum | UnsuitableError]:
    """The series (the one with the most images) and the images to analyse, or why there are none."""
    if not sources:
        return "", UnsuitableError(Reason.NO_IMAGES, "There are no images.")
    good: list[tuple[Source, pixels.Layout]] = []
    reasons: list[tuple[Source, UnsuitableError]] = []
    for source in sorted(sources, key=_order):
        try:
            good.append((source, fits(source, contract)))
        except UnsuitableError as error:
            reasons.append((source, error))
    if not good:
        nearest, why = min(reasons, key=lambda pair: pair[1].reason is Reason.MODALITY)  # the image that came nearest
        return nearest.series_uid, why
    frames: dict[str, int] = {}
    for source, layout in good:
        frames[source.series_uid] = frames.get(source.series_uid, 0) + layout.frames
    series = min(frames, key=lambda uid: (-frames[uid], uid))
    chosen = [pair for pair in good if contract.scope == "study" or pair[0].series_uid == series]
    return series, _enough(chosen, contract)


def _enough(chosen: list[tuple[Source, pixels.Layout]], contract: Contract) -> StudyAlbum | UnsuitableError:
    count = sum(layout.frames for _, layout in chosen)
    if count < contract.min_images:
        words = f"There are {count} images; this model needs at least {contract.min_images}."
        return UnsuitableError(Reason.TOO_FEW_SLICES, words)
    if count > contract.max_images:
        return UnsuitableError(Reason.TOO_LARGE, f"There are {count} images; this model takes at most {contract.max_images}.")
    return StudyAlbum(chosen)


def _order(source: Source) -> tuple[int, str, int, str]:
    number, series = integer(source.header, "InstanceNumber"), integer(source.header, "SeriesNumber")
    return (series or 0, source.series_uid, number or 0, source.uid)


def fits(source: Source, contract: Contract) -> pixels.Layout:
    """How the pixels of an image are stored, when it meets the contract; raises UnsuitableError."""
    if source.fault:
        raise UnsuitableError(Reason.DECODE, source.fault[0].upper() + source.fault[1:] + ".")
    modality = text(source.header, "Modality").strip()
    if modality not in contract.modalities or text(source.header, "SOPClassUID") == WHOLE_SLIDE or made_here(source):
        wanted = ", ".join(contract.modalities)
        raise UnsuitableError(Reason.MODALITY, f"There are no images of the kind this model reads ({wanted}).")
    layout = pixels.layout(source, contract.max_pixels)
    if layout.rows < contract.min_rows or layout.columns < contract.min_columns:
        words = f"An image has {layout.columns} x {layout.rows} pixels; this model needs at least"
        raise UnsuitableError(Reason.GEOMETRY, f"{words} {contract.min_columns} x {contract.min_rows}.")
    if contract.colour == "rgb" and layout.photometric in pixels.GRAY:
        raise UnsuitableError(Reason.MODALITY, "The images have no colour; this model was made for colour images.")
    if layout.frames > contract.max_images:
        words = f"An image says it has {layout.frames} frames; this model takes at most {contract.max_images}."
        raise UnsuitableError(Reason.TOO_LARGE, words)
    return layout


def made_here(source: Source) -> bool:
    """Whether the image is a result of this product that came back from the archive: its contributing equipment says so."""
    equipment = items(source.header, "ContributingEquipmentSequence", 16)
    return any(text(item, "ContributionDescription").startswith("AI result") for item in equipment)
