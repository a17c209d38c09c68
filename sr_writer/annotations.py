"""Microscopy Bulk Simple Annotations (PS3.3 A.87): thousands of small things on one image, as arrays instead of objects.

Written without a library: highdicom looks at each point in turn, which takes seconds for ten thousand of them.
"""

from collections.abc import Mapping
from typing import Final

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import MicroscopyBulkSimpleAnnotationsStorage

from domain.errors import PermanentError
from domain.results import Analysis, Marks
from sr_writer import codes
from sr_writer.capture import reference
from sr_writer.heading import Heading, short
from sr_writer.identity import tracking_uid
from sr_writer.segmentation import algorithm_identification
from sr_writer.telling import DISCLAIMER

ROLE: Final = "ann"
_SHAPES: Final = {1: "POINT", 4: "RECTANGLE"}


def annotations(analysis: Analysis, images: Mapping[str, Dataset], heading: Heading, words: str) -> list[tuple[str, Dataset]]:
    """One object per marked image (or frame of it), as role ("ann-1", ...) and data set; its groups are the kinds of marks.

    Raises PermanentError when marks lie on an image that is not there or have coordinates that are no numbers.
    """
    by_image: dict[tuple[str, int | None], list[Marks]] = {}
    for marks in analysis.marks:
        if len(marks.points):
            by_image.setdefault((marks.sop_instance_uid, marks.frame), []).append(marks)
    if not {uid for uid, _ in by_image} <= images.keys():
        raise PermanentError("Marks lie on an image that is not among the images analysed.")
    return [
        (f"{ROLE}-{number}", _bulk(images[uid], frame, kinds, number, heading, words))
        for number, ((uid, frame), kinds) in enumerate(by_image.items(), 1)
    ]


def _bulk(image: Dataset, frame: int | None, kinds: list[Marks], number: int, heading: Heading, words: str) -> Dataset:
    dataset = heading.begin(MicroscopyBulkSimpleAnnotationsStorage, "ANN", ROLE, number)
    dataset.ContentLabel, dataset.ContentDescription, dataset.ContentCreatorName = "AI_MARKS", DISCLAIMER, ""
    dataset.AnnotationCoordinateType = "2D"
    tiled = bool(image.get("TotalPixelMatrixColumns"))
    dataset.PixelOriginInterpretation = "VOLUME" if tiled else "FRAME"  # from which corner is counted (PS3.3 C.37.1.2)
    dataset.ReferencedImageSequence = [reference(image, None if tiled else frame)]
    series = Dataset()
    series.SeriesInstanceUID = image.SeriesInstanceUID
    series.ReferencedInstanceSequence = [reference(image)]
    dataset.ReferencedSeriesSequence = [series]
    dataset.AnnotationGroupSequence = [_group(index, marks, heading) for index, marks in enumerate(kinds, 1)]
    heading.finish(dataset, heading.describe(words))
    return dataset


def _group(index: int, marks: Marks, heading: Heading) -> Dataset:
    """Annotation Group (PS3.3 C.37.1.2)."""
    points = np.asarray(marks.points, np.float32)
    if points.ndim != 3 or points.shape[2] != 2 or not np.isfinite(points).all():
        raise PermanentError("Marks need a finite column and row for each corner.")
    item = Dataset()
    item.AnnotationGroupNumber = index
    item.AnnotationGroupUID = tracking_uid(heading.context.study_uid, marks.tracking_id)
    item.AnnotationGroupLabel = short(marks.label)
    item.AnnotationGroupDescription = DISCLAIMER
    item.AnnotationGroupGenerationType = "AUTOMATIC"
    item.AnnotationGroupAlgorithmIdentificationSequence = algorithm_identification(heading.algorithm)
    item.AnnotationPropertyCategoryCodeSequence = [codes.concept(marks.category)]
    item.AnnotationPropertyTypeCodeSequence = [codes.concept(marks.type)]
    item.NumberOfAnnotations = len(points)
    item.GraphicType = _SHAPES.get(points.shape[1], "POLYLINE")
    item.AnnotationAppliesToAllOpticalPaths = "YES"
    item.RecommendedDisplayCIELabValue = list(hd.color.CIELabColor.from_rgb(*marks.colour).value)
    item.PointCoordinatesData = points.astype("<f4").tobytes()
    if item.GraphicType == "POLYLINE":  # where each begins, counted in numbers from 1
        starts = np.arange(len(points), dtype=np.uint32) * points.shape[1] * 2 + 1
        item.LongPrimitivePointIndexList = starts.astype("<u4").tobytes()
    if marks.scores is not None:
        item.MeasurementsSequence = [_scores(marks)]
    return item


def _scores(marks: Marks) -> Dataset:
    """One number for each mark: how sure the model is (PS3.3 C.37.1.2.4)."""
    assert marks.scores is not None
    scores = np.asarray(marks.scores, np.float32)
    if scores.shape != (len(marks.points),) or not np.isfinite(scores).all():
        raise PermanentError("Marks have not one finite score each.")
    values = Dataset()
    values.FloatingPointValues = scores.astype("<f4").tobytes()
    item = Dataset()
    item.ConceptNameCodeSequence = [codes.concept(codes.PROBABILITY)]
    item.MeasurementUnitsCodeSequence = [codes.concept(codes.NO_UNITS)]
    item.MeasurementValuesSequence = [values]
    return item
