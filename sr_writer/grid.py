"""Where the planes of a result lie: image, frame and position of each, whatever kind of image they come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import Any, Final

import highdicom as hd
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag
from pydicom.uid import SecondaryCaptureImageStorage
from pydicom.valuerep import format_number_as_ds, is_valid_ds

from domain.errors import PermanentError
from sr_writer.source import by_uid, has_plane, is_image, stand_in, value

_CLASS, _UID, _FRAMES = Tag("SOPClassUID"), Tag("SOPInstanceUID"), Tag("NumberOfFrames")
_GROUPS: Final = Tag("PerFrameFunctionalGroupsSequence")
_POSITION, _ORIENTATION = Tag("ImagePositionPatient"), Tag("ImageOrientationPatient")
_COMMON: Final = tuple(Tag(keyword) for keyword in ("Rows", "Columns", "FrameOfReferenceUID", "SeriesInstanceUID"))
SLIDE: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"  # VL Whole Slide Microscopy Image Storage


class Kind(Enum):
    """What the planes are."""

    SERIES = auto()  # single-frame images in a frame of reference
    FRAMES = auto()  # frames of one multi-frame image in a frame of reference
    PLAIN = auto()  # images or frames that lie nowhere (ultrasound, projection X-ray)
    SLIDE = auto()  # the total pixel matrix of one level of a slide


@dataclass(frozen=True, slots=True)
class Plane:
    """One source plane. ``frame`` is 1-based, None for single-frame images; ``position`` is Image Position (Patient) as it is
    written, empty where there is none."""

    header: Dataset
    sop_class_uid: str
    sop_instance_uid: str
    frame: int | None
    position: tuple[str, ...] = ()
    orientation: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Grid:
    """The planes of a result in the order of its arrays; all have the same rows, columns, orientation and frame of reference."""

    kind: Kind
    planes: tuple[Plane, ...]
    study_uid: str
    reduced: int = 1  # of a slide, see domain.results.Labels

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the arrays."""
        header = self.planes[0].header
        if self.kind is Kind.SLIDE:
            whole = int(header.TotalPixelMatrixRows), int(header.TotalPixelMatrixColumns)
            return -(-whole[0] // self.reduced), -(-whole[1] // self.reduced)
        return int(header.Rows), int(header.Columns)

    @property
    def measures(self) -> hd.PixelMeasuresSequence | None:
        """Spacing of the pixels where it is not the images' own: that of the level times ``reduced``."""
        if self.reduced == 1:
            return None
        item = Dataset()
        item.update(self.planes[0].header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0])
        spacing = [format_number_as_ds(float(v) * self.reduced) for v in item.PixelSpacing]
        del item.PixelSpacing  # the element belongs to the header: a new one is made
        item.PixelSpacing = spacing
        return hd.PixelMeasuresSequence.from_sequence(Items([item]))

    @property
    def series_uid(self) -> str:
        """The series segmented."""
        return str(self.planes[0].header.SeriesInstanceUID)

    @property
    def images(self) -> list[Dataset]:
        """The headers of the images, each once."""
        return list({id(plane.header): plane.header for plane in self.planes}.values())

    @property
    def references(self) -> list[tuple[str, str]]:
        """SOP Class and Instance UID of the images, each once."""
        return list({id(plane.header): (plane.sop_class_uid, plane.sop_instance_uid) for plane in self.planes}.values())

    @property
    def orientation(self) -> list[float]:
        """Image Orientation (Patient)."""
        return list(self.planes[0].orientation)

    @property
    def positions(self) -> npt.NDArray[np.float64]:
        """Image Position (Patient) as numbers, (planes, 3)."""
        return np.array([[float(value) for value in plane.position] for plane in self.planes])

    def sources(self, planes: Sequence[Plane]) -> list[Dataset]:
        """These planes as highdicom takes images: one for each plane, or one multi-frame image."""
        if self.kind is Kind.FRAMES:
            return [_enhanced(planes, self.study_uid)]
        images = [stand_in(plane.header, self.study_uid) for plane in planes]
        return [_single(image) for image in images] if self.kind is Kind.PLAIN else images


def grid_of(uids: Sequence[str], frames: Sequence[int], headers: Sequence[Dataset], study_uid: str, reduced: int = 1) -> Grid:
    """The grid of arrays whose planes are named so (see domain.results.Labels).

    Raises PermanentError when an image is not there, or when they do not fit together.
    """
    known = by_uid(headers)
    missing = {uid for uid in uids if uid not in known or not is_image(known[uid])}
    if missing or not uids:
        raise PermanentError(f"{len(missing)} of {len(set(uids))} segmented images have no usable header.")
    first = known[uids[0]]
    if first.SOPClassUID == SLIDE:
        _check_place(first)
        return Grid(Kind.SLIDE, (Plane(first, SLIDE, uids[0], None),), study_uid, max(1, reduced))
    if reduced != 1:
        raise PermanentError("Only maps of slides may be reduced.")
    numbers: Sequence[int | None] = [
        frame if _multi(known[uid]) else None for uid, frame in zip(uids, frames or [1] * len(uids), strict=True)
    ]
    kind = _kind(first)
    planes = tuple(_plane(kind, known[uid], number) for uid, number in zip(uids, numbers, strict=True))
    _uniform(kind, planes)
    return Grid(kind, planes, study_uid)


def _check_place(level: Dataset) -> None:
    """Raises PermanentError when a level of a slide does not say where its pixels lie."""
    try:
        origin = level.TotalPixelMatrixOriginSequence[0]
        places = [origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem, *level.ImageOrientationSlide]
        places += level.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
        known = len([float(place) for place in places]) == 10 and bool(level.FrameOfReferenceUID)
    except (AttributeError, IndexError, TypeError, ValueError):
        known = False
    if not known:
        raise PermanentError("The level of a slide does not say where its pixels lie.")


def _single(image: Dataset) -> Dataset:
    """A frame of a cine looks like an image of its own: highdicom takes no more of what lies nowhere, and planes name frames."""
    if "NumberOfFrames" in image:
        del image.NumberOfFrames, image.SOPClassUID  # the element belongs to the header: a new one is made
        image.SOPClassUID = SecondaryCaptureImageStorage
    return image


def _kind(header: Dataset) -> Kind:
    if not header.get("FrameOfReferenceUID"):
        return Kind.PLAIN
    if header.get("PerFrameFunctionalGroupsSequence"):
        return Kind.FRAMES
    return Kind.SERIES if has_plane(header) and not _multi(header) else Kind.PLAIN


def _multi(header: Dataset) -> bool:
    return int(value(header, _FRAMES) or 1) > 1 or bool(value(header, _GROUPS))


def _plane(kind: Kind, header: Dataset, frame: int | None) -> Plane:
    named = str(value(header, _CLASS)), str(value(header, _UID))
    if kind is Kind.PLAIN:
        return Plane(header, *named, frame)
    try:
        found = _geometry(header, frame)
        position, orientation = found["ImagePositionPatient"], found["ImageOrientationPatient"]
    except (KeyError, IndexError, AttributeError, TypeError) as error:
        raise PermanentError("A segmented image has no position, orientation or spacing.") from error
    # As highdicom writes them: those of single-frame images are formatted anew, those of frames are copied.
    written = tuple(str(number) if kind is Kind.FRAMES else _decimal(str(number)) for number in position)
    if len(written) != 3:
        raise PermanentError("A segmented image has no position of three numbers.")
    return Plane(header, *named, frame, written, tuple(float(number) for number in orientation))


@lru_cache(maxsize=4096)
def _decimal(number: str) -> str:
    """A number as Decimal String (PS3.5 section 6.2): as it stands where it may, else rounded to 16 characters."""
    return number if is_valid_ds(number) else format_number_as_ds(float(number))


def _geometry(header: Dataset, frame: int | None) -> dict[str, Any]:
    """Position, orientation and pixel measures of one plane, from wherever its header keeps them (PS3.3 C.7.6.2, C.7.6.16.2)."""
    if frame is None:
        return {"ImagePositionPatient": header[_POSITION].value, "ImageOrientationPatient": header[_ORIENTATION].value}
    own = header.PerFrameFunctionalGroupsSequence[frame - 1]
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]

    def macro(keyword: str) -> Dataset:
        found: Dataset = (own.get(keyword) or shared.get(keyword))[0]
        return found

    return {
        "ImagePositionPatient": macro("PlanePositionSequence").ImagePositionPatient,
        "ImageOrientationPatient": macro("PlaneOrientationSequence").ImageOrientationPatient,
        "measures": macro("PixelMeasuresSequence"),
    }


def _uniform(kind: Kind, planes: Sequence[Plane]) -> None:
    """Raises PermanentError when the planes cannot be those of one SEG (PS3.3 C.8.20.3, A.51)."""
    seen = set()
    for plane in planes:
        seen.add((*(str(value(plane.header, tag)) for tag in _COMMON), plane.orientation))
    if len(seen) != 1:
        raise PermanentError("The segmented images differ in size, orientation, frame of reference or series.")
    if len({(id(plane.header), plane.frame) for plane in planes}) != len(planes):
        raise PermanentError("A source image is named for two planes.")
    if kind is not Kind.PLAIN and len({plane.position for plane in planes}) != len(planes):
        raise PermanentError("Two segmented images lie at the same position.")


def _enhanced(planes: Sequence[Plane], study_uid: str) -> Dataset:
    """A multi-frame image of these frames alone, its geometry where highdicom looks for it."""
    image = stand_in(planes[0].header, study_uid)
    for keyword in ("NumberOfFrames", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        image.pop(keyword, None)  # or setting it would change the header, which shares the element
    image.NumberOfFrames = len(planes)
    geometries = [_geometry(plane.header, plane.frame) for plane in planes]
    shared, orientation = Dataset(), Dataset()
    orientation.ImageOrientationPatient = geometries[0]["ImageOrientationPatient"]
    shared.PixelMeasuresSequence = [geometries[0]["measures"]]
    shared.PlaneOrientationSequence = [orientation]
    image.SharedFunctionalGroupsSequence = [shared]
    image.PerFrameFunctionalGroupsSequence = []
    for geometry in geometries:
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = geometry["ImagePositionPatient"]
        frame.PlanePositionSequence = [position]
        image.PerFrameFunctionalGroupsSequence.append(frame)
    return image
