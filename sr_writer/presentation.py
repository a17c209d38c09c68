"""Softcopy Presentation States (PS3.3 A.33.1, A.33.2): outlines, axes, marks and names as graphics over the untouched images.

Grayscale states hold one Modality LUT for all their images and cannot refer to colour, so there is one state per kind of image.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import highdicom as hd
import numpy as np
import numpy.typing as npt
from PIL import ImageCms
from pydicom.dataset import Dataset
from pydicom.uid import ColorSoftcopyPresentationStateStorage, GrayscaleSoftcopyPresentationStateStorage

from domain.results import Analysis, Finding, KeyImage, Outline
from sr_writer.capture import reference
from sr_writer.contour import loops
from sr_writer.drawing import Colour, colour
from sr_writer.heading import Heading
from sr_writer.telling import DISCLAIMER, name, value_of

ROLE: Final = "gsps"
MOST_FINDINGS: Final = 2000  # the report has them all
MOST_CONTOURS: Final = 3000  # over all slices
MOST_PER_SLICE: Final = 20  # of one segment
MOST_MARKS: Final = 2000  # of one kind on one image; a viewer draws each as an object of its own
_LONGEST_TEXT: Final = 120  # characters beside an outline
_COLUMNS_OF_ALL: Final = 10  # first place for the words over the image, in pixels

Points = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class _Picture:
    """One image or one frame of it, with what is drawn on it by colour."""

    image: Dataset
    frame: int | None
    window: tuple[float, float] | None = None
    graphics: dict[Colour, list[Dataset]] = field(default_factory=dict)
    texts: dict[Colour, list[Dataset]] = field(default_factory=dict)


def states(analysis: Analysis, images: Mapping[str, Dataset], heading: Heading, words: str) -> list[tuple[str, Dataset]]:
    """One object per kind of image, as role ("gsps-1", ...) and data set; none where there is nothing to look at."""
    kinds: dict[tuple[str, ...], list[_Picture]] = {}
    for picture in _pictures(analysis, images):
        kinds.setdefault(_kind(picture.image), []).append(picture)
    found = []
    for number, (kind, pictures) in enumerate(sorted(kinds.items()), 1):
        found.append((f"{ROLE}-{number}", _state(kind[0] == "colour", pictures, number, heading, words)))
    return found


def _kind(image: Dataset) -> tuple[str, ...]:
    """What the images of one state have in common."""
    if int(image.get("SamplesPerPixel") or 1) > 1:
        return ("colour",)
    rescale = (str(image.get(keyword, "")) for keyword in ("RescaleIntercept", "RescaleSlope", "RescaleType"))
    return ("gray", str(image.get("PhotometricInterpretation", "")), *rescale)


def _pictures(analysis: Analysis, images: Mapping[str, Dataset]) -> list[_Picture]:
    """Key images first, then whatever else carries an outline, an axis or marks."""
    found: dict[tuple[str, int], _Picture] = {}
    for key in analysis.key_images:
        _at(found, images, key.sop_instance_uid, key.frame, key)
    for number, finding in enumerate(analysis.findings[:MOST_FINDINGS], 1):
        ink = colour(analysis, finding)
        for uid, frame, points in _lines(finding):
            if (picture := _at(found, images, uid, frame)) is not None:
                picture.graphics.setdefault(ink, []).append(_graphic(points, picture.image))
        place = _place(finding)
        if place is not None and (picture := _at(found, images, *place[:2])) is not None:
            picture.texts.setdefault(ink, []).append(_text(_words(analysis, finding, number), place[2], picture.image))
    _add_contours(found, analysis, images)
    for marks in analysis.marks:
        if (picture := _at(found, images, marks.sop_instance_uid, marks.frame)) is not None:
            drawn = [_graphic(shape, picture.image) for shape in marks.points[:MOST_MARKS]]
            picture.graphics.setdefault(marks.colour, []).extend(drawn)
    return list(found.values())


def _add_contours(found: dict[tuple[str, int], _Picture], analysis: Analysis, images: Mapping[str, Dataset]) -> None:
    """Every slice of the segments that findings speak about, as far as MOST_CONTOURS goes; the largest of a slice first."""
    window = next((key.window for key in analysis.key_images if key.window is not None), None)
    left, outlined = MOST_CONTOURS, _outlined(analysis)
    for number, ink, uid, frame, mask in _slices(analysis):
        if left <= 0:
            break
        if (number, uid, frame) in outlined:
            continue
        image = images.get(uid)
        if image is None or mask.shape != (int(image.Rows), int(image.Columns)):
            continue
        drawn = loops(mask)[:MOST_PER_SLICE]
        left -= len(drawn)
        picture = found.setdefault((uid, frame or 1), _Picture(image, frame, window))
        picture.graphics.setdefault(ink, []).extend(_graphic(points, image) for points in drawn)


def _slices(analysis: Analysis) -> Iterator[tuple[int, Colour, str, int | None, npt.NDArray[np.bool_]]]:
    """The masks of the segments of findings, slice by slice, empty ones left out."""
    labels = analysis.labels
    if labels is None or labels.reduced != 1:  # the pixels are not the image's
        return
    numbers = {finding.segment: colour(analysis, finding) for finding in analysis.findings if finding.segment is not None}
    frames: Sequence[int | None] = labels.frames or (None,) * len(labels.sop_instance_uids)
    for index, (uid, frame) in enumerate(zip(labels.sop_instance_uids, frames, strict=True)):
        planes = labels.layers[:, index]
        present = set(np.flatnonzero(np.bincount(planes.ravel())).tolist())
        for number, ink in numbers.items():
            if number in present:
                yield number, ink, uid, frame, (planes == number).any(axis=0)


def _outlined(analysis: Analysis) -> set[tuple[int, str, int | None]]:
    """Where a finding brings its own outline of a segment."""
    outlines = [(finding.segment, finding.outline) for finding in analysis.findings]
    return {(number, o.sop_instance_uid, o.frame) for number, o in outlines if number is not None and o is not None}


def _at(
    found: dict[tuple[str, int], _Picture],
    images: Mapping[str, Dataset],
    uid: str,
    frame: int | None,
    key: KeyImage | None = None,
) -> _Picture | None:
    image = images.get(uid)
    if image is None:
        return None
    return found.setdefault((uid, frame or 1), _Picture(image, frame, key.window if key is not None else None))


def _lines(finding: Finding) -> Iterator[tuple[str, int | None, Points]]:
    if finding.outline is not None:
        yield finding.outline.sop_instance_uid, finding.outline.frame, _closed(finding.outline)
    for line in finding.lines:
        yield line.sop_instance_uid, line.frame, line.points


def _closed(outline: Outline) -> Points:
    points = outline.points
    return points if np.array_equal(points[0], points[-1]) else np.vstack([points, points[:1]])


def _place(finding: Finding) -> tuple[str, int | None, Points] | None:
    """Where its name stands: at the right end of what is drawn first."""
    for uid, frame, points in _lines(finding):
        right: Points = points[points[:, 0].argmax()]
        return uid, frame, right
    return None


def _words(analysis: Analysis, finding: Finding, number: int) -> str:
    """Name and main number."""
    numbers = (*finding.measurements, *finding.outline_measurements)
    main = f": {value_of(numbers[0])}" if numbers else ""
    head = f"{number} " if len(analysis.findings) > 1 else ""
    return (head + name(analysis, finding) + main)[:_LONGEST_TEXT]


def _units(image: Dataset) -> str:
    """Coordinates on a tiled image are those of its total pixel matrix (PS3.3 C.10.5.1.1)."""
    return "MATRIX" if image.get("TotalPixelMatrixColumns") else "PIXEL"


def _graphic(points: Points, image: Dataset) -> Dataset:
    """Graphic Object (PS3.3 C.10.5): a point or an open or closed polyline."""
    item = Dataset()
    item.GraphicAnnotationUnits, item.GraphicDimensions = _units(image), 2
    corners = np.vstack([points, points[:1]]) if len(points) > 2 and not np.array_equal(points[0], points[-1]) else points
    item.NumberOfGraphicPoints = len(corners)
    item.GraphicData = [float(v) for v in np.asarray(corners, np.float32).ravel()]
    item.GraphicType = "POINT" if len(corners) == 1 else "POLYLINE"
    if item.GraphicType == "POLYLINE" and np.array_equal(corners[0], corners[-1]):
        item.GraphicFilled = "N"
    return item


def _text(words: str, place: Points, image: Dataset) -> Dataset:
    """Text Object with an anchor (PS3.3 C.10.5.1.2)."""
    item = Dataset()
    item.AnchorPointAnnotationUnits = _units(image)
    item.UnformattedTextValue = words
    item.AnchorPoint = [float(np.float32(v)) for v in place]
    item.AnchorPointVisibility = "N"
    return item


def _state(in_colour: bool, pictures: Sequence[_Picture], number: int, heading: Heading, words: str) -> Dataset:
    uid = ColorSoftcopyPresentationStateStorage if in_colour else GrayscaleSoftcopyPresentationStateStorage
    dataset = heading.begin(uid, "PR", ROLE, number)
    dataset.ContentLabel = "AI_FINDINGS"
    dataset.ContentDescription = DISCLAIMER
    dataset.ContentCreatorName = ""
    dataset.ReferencedSeriesSequence = _references(pictures)
    dataset.DisplayedAreaSelectionSequence = _areas(pictures)
    layers = _layers(pictures)
    dataset.GraphicLayerSequence = list(layers.values())
    dataset.GraphicAnnotationSequence = [item for picture in pictures for item in _annotations(picture, layers)]
    if in_colour:
        dataset.ICCProfile = srgb_profile()
    else:
        _set_luts(dataset, pictures)
    heading.finish(dataset, heading.describe(words))
    dataset.PresentationCreationDate, dataset.PresentationCreationTime = dataset.ContentDate, dataset.ContentTime
    del dataset.ContentDate, dataset.ContentTime  # no attributes of a presentation state
    return dataset


def _references(pictures: Sequence[_Picture]) -> list[Dataset]:
    """Presentation State Relationship (PS3.3 C.11.11): every image once, by series."""
    series: dict[str, list[Dataset]] = {}
    for item in {str(p.image.SOPInstanceUID): p.image for p in pictures}.values():
        series.setdefault(str(item.SeriesInstanceUID), []).append(item)
    found = []
    for uid, images in series.items():
        entry = Dataset()
        entry.SeriesInstanceUID = uid
        entry.ReferencedImageSequence = [_frames(image, pictures) for image in images]
        found.append(entry)
    return found


def _frames(image: Dataset, pictures: Sequence[_Picture]) -> Dataset:
    item = reference(image)
    if int(image.get("NumberOfFrames") or 1) > 1 and not image.get("TotalPixelMatrixColumns"):
        item.ReferencedFrameNumber = sorted({p.frame or 1 for p in pictures if p.image is image})
    return item


def _areas(pictures: Sequence[_Picture]) -> list[Dataset]:
    """Displayed Area (PS3.3 C.10.4): all of each image, by size."""
    sizes: dict[tuple[int, ...], list[_Picture]] = {}
    for picture in pictures:
        image = picture.image
        columns, rows = image.get("TotalPixelMatrixColumns") or image.Columns, image.get("TotalPixelMatrixRows") or image.Rows
        sizes.setdefault((int(columns), int(rows), *_aspect(image)), []).append(picture)
    found = []
    for (columns, rows, *aspect), members in sizes.items():
        item = Dataset()
        item.ReferencedImageSequence = [_frames(image, members) for image in _images(members)]
        item.DisplayedAreaTopLeftHandCorner, item.DisplayedAreaBottomRightHandCorner = [1, 1], [columns, rows]
        item.PresentationSizeMode = "SCALE TO FIT"
        item.PresentationPixelAspectRatio = aspect
        found.append(item)
    return found


def _images(pictures: Sequence[_Picture]) -> list[Dataset]:
    return list({str(p.image.SOPInstanceUID): p.image for p in pictures}.values())


def _aspect(image: Dataset) -> tuple[int, int]:
    """Height and width of a pixel, as whole numbers."""
    spacing = image.get("PixelSpacing") or image.get("ImagerPixelSpacing") or image.get("PixelAspectRatio")
    if not spacing or float(spacing[0]) == float(spacing[1]) or min(map(float, spacing)) <= 0:
        return (1, 1)
    return (round(float(spacing[0]) * 1000), round(float(spacing[1]) * 1000))


def _layers(pictures: Sequence[_Picture]) -> dict[Colour, Dataset]:
    """Graphic Layers (PS3.3 C.10.7): one per colour, so that each can be hidden."""
    inks = list(dict.fromkeys(ink for picture in pictures for ink in (*picture.graphics, *picture.texts)))
    found = {}
    for number, ink in enumerate(inks, 1):
        item = Dataset()
        item.GraphicLayer, item.GraphicLayerOrder = f"AI_{number}", number
        item.GraphicLayerRecommendedDisplayGrayscaleValue = 65535
        item.GraphicLayerRecommendedDisplayCIELabValue = list(hd.color.CIELabColor.from_rgb(*ink).value)
        item.GraphicLayerDescription = "AI findings"
        found[ink] = item
    if not found:  # a state without findings still says so over the image
        return _layers([_Picture(pictures[0].image, None, None, {(255, 190, 60): []})])
    return found


def _annotations(picture: _Picture, layers: Mapping[Colour, Dataset]) -> Iterator[Dataset]:
    """Graphic Annotations of one image, and the kind of use in its corner."""
    first = next(iter(layers))
    for ink, layer in layers.items():
        item = Dataset()
        item.ReferencedImageSequence = [_frames(picture.image, [picture])]
        item.GraphicLayer = layer.GraphicLayer
        texts = list(picture.texts.get(ink, ()))
        if ink == first:
            texts.append(_text(DISCLAIMER, np.array([1.0, _COLUMNS_OF_ALL]), picture.image))
        if texts:
            item.TextObjectSequence = texts
        if picture.graphics.get(ink):
            item.GraphicObjectSequence = picture.graphics[ink]
        if texts or picture.graphics.get(ink):
            yield item


def _set_luts(dataset: Dataset, pictures: Sequence[_Picture]) -> None:
    """Modality LUT as in the images (PS3.3 C.11.1), window (C.11.8) and presentation LUT (C.11.6)."""
    image = pictures[0].image
    if image.get("RescaleSlope") not in (None, ""):
        dataset.RescaleIntercept, dataset.RescaleSlope = image.get("RescaleIntercept", 0), image.RescaleSlope
        dataset.RescaleType = image.get("RescaleType") or "US"
    windows = [(picture, window) for picture in pictures if (window := picture.window or _own_window(picture.image)) is not None]
    if windows:
        dataset.SoftcopyVOILUTSequence = [_voi(picture, window) for picture, window in windows]
    dataset.PresentationLUTShape = "IDENTITY"  # PHOTOMETRIC stays that of the image: MONOCHROME1 is inverted by the viewer


def _own_window(image: Dataset) -> tuple[float, float] | None:
    """The first window of the image itself; None where it has none that can be used."""
    centre, width = image.get("WindowCenter"), image.get("WindowWidth")
    if centre in (None, "") or width in (None, ""):
        return None
    first = [float(v[0] if hasattr(v, "__len__") and not isinstance(v, str) else v) for v in (centre, width)]
    return (first[0], first[1]) if first[1] >= 1 else None


def _voi(picture: _Picture, window: tuple[float, float]) -> Dataset:
    item = Dataset()
    item.ReferencedImageSequence = [_frames(picture.image, [picture])]
    item.WindowCenter, item.WindowWidth = (f"{value:g}" for value in window)
    return item


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """An ICC profile of sRGB (PS3.3 C.11.15). The date in it is that of nobody: LittleCMS writes the time of day there."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = b"\x07\xd0\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00"  # 2000-01-01
    return bytes(profile)
