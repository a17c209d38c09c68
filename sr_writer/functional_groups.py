"""Per-frame functional groups (PS3.3 C.7.6.16) as bytes: what belongs to a plane is rendered once, a frame joins its parts."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from sr_writer import explicit
from sr_writer.grid import Grid, Kind, Plane

_PURPOSE: Final = explicit.code(0x0040A170, "121322", "DCM", "Source image for image processing operation")
_DERIVATION: Final = explicit.code(0x00089215, "113076", "DCM", "Segmentation")
_PRESERVED: Final = explicit.text(0x0028135A, "CS", "YES")  # Spatial Locations Preserved


def frame_groups(grid: Grid, frames: npt.NDArray[np.intp], rank: Mapping[int, int]) -> list[bytes]:
    """One item of the Per-Frame Functional Groups Sequence for each line of ``frames`` (see content.Content).

    ``rank`` is the dimension index of each plane that has a frame; of planes in a stack it is their place there.
    """
    derivations = {plane: _derivation(grid.planes[plane]) for plane in rank}
    positions = {plane: _position(grid.planes[plane]) for plane in rank}
    identified = {number: _identification(number) for number in set(frames[:, 0].tolist())}
    stacked = grid.kind is Kind.PLAIN and len(grid.planes) > 1
    indexed = grid.kind is not Kind.PLAIN or stacked
    groups = []
    for number, plane in frames[:, :2].tolist():
        index = [*([number] if number else []), *([plane + 1 if stacked else rank[plane]] if indexed else [])]
        content = _content(index, plane + 1 if stacked else 0)
        groups.append(explicit.item(derivations[plane], content, positions[plane], identified[number]))
    return groups


def stack_dimension(head: Dataset) -> None:
    """Frames that lie nowhere are told apart by their place in a stack (PS3.3 C.7.6.16.2.2)."""
    index = Dataset()
    index.DimensionOrganizationUID = head.DimensionOrganizationSequence[0].DimensionOrganizationUID
    index.DimensionIndexPointer = 0x00209057  # In-Stack Position Number
    index.FunctionalGroupPointer = 0x00209111  # Frame Content Sequence
    index.DimensionDescriptionLabel = "In-Stack Position Number"
    head.DimensionIndexSequence = [
        item for item in head.DimensionIndexSequence if item.DimensionIndexPointer == 0x0062000B
    ] + [index]  # fmt: skip


def _derivation(plane: Plane) -> bytes:
    source = [
        explicit.text(0x00081150, "UI", plane.sop_class_uid),
        explicit.text(0x00081155, "UI", plane.sop_instance_uid),
        *([explicit.text(0x00081160, "IS", str(plane.frame))] if plane.frame else []),
        _PRESERVED,
        _PURPOSE,
    ]
    images = explicit.sequence(0x00082112, [explicit.item(*source)])
    return explicit.sequence(0x00089124, [explicit.item(images, _DERIVATION)])


def _position(plane: Plane) -> bytes:
    if not plane.position:
        return b""
    return explicit.sequence(0x00209113, [explicit.item(explicit.text(0x00200032, "DS", "\\".join(plane.position)))])


def _content(index: list[int], in_stack: int) -> bytes:
    """Frame Content: Stack ID and In-Stack Position Number for what has no position, Dimension Index Values."""
    stack = [explicit.text(0x00209056, "SH", "1"), explicit.unsigned(0x00209057, "UL", [in_stack])] if in_stack else []
    return explicit.sequence(0x00209111, [explicit.item(*stack, explicit.unsigned(0x00209157, "UL", index))])


def _identification(number: int) -> bytes:
    """Segment Identification; a LABELMAP has none."""
    if number == 0:
        return b""
    return explicit.sequence(0x0062000A, [explicit.item(explicit.unsigned(0x0062000B, "US", [number]))])
