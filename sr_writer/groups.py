"""Measurement groups of TID 1500: what is said about one finding, or about the study, with the place it is true of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

import highdicom as hd
import numpy as np
import numpy.typing as npt
from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    FindingSite,
    GraphicTypeValues,
    ImageRegion,
    MeasurementsAndQualitativeEvaluations,
    PixelOriginInterpretationValues,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    ScoordContentItem,
    SourceImageForRegion,
    SourceSeriesForSegmentation,
    TimePointContext,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from domain.errors import PermanentError
from domain.results import Code, Evaluation, Finding, Measurement, Outline, Statement
from sr_writer.codes import AI_FAMILY, IMAGE_REGION, WHOLE_FINDING, WHOLE_STUDY, concept
from sr_writer.heading import Heading
from sr_writer.segmentation import parameters
from sr_writer.source import extent

Group = (
    PlanarROIMeasurementsAndQualitativeEvaluations
    | VolumetricROIMeasurementsAndQualitativeEvaluations
    | MeasurementsAndQualitativeEvaluations
)

_CLOSED: Final = 3  # a polygon of fewer distinct corners has no inside
_RECTANGLE: Final = 5  # points of a closed rectangle


@dataclass(frozen=True, slots=True)
class Place:
    """Where a SEG keeps a finding: instance, number of the segment in it, series of the images segmented."""

    sop_instance_uid: str
    segment: int
    series_uid: str


def planar(finding: Finding, outline: Outline, images: Mapping[str, Dataset], heading: Heading) -> Group:
    """TID 1410: the finding as outlined on one image, with the numbers that are true of that outline.

    Numbers of the whole finding stand beside them and say so in their Measurement Method: this is the only group that
    common viewers show, and a volume is what the reader looks for.
    """
    whole = [_measured(m, WHOLE_FINDING) for m in finding.measurements]
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        referenced_region=ImageRegion(
            graphic_type=GraphicTypeValues.POLYLINE,
            graphic_data=polygon(outline.points),
            source_image=_region_source(images, outline.sop_instance_uid, outline.frame),
        ),
        measurements=[*(_measured(m) for m in finding.outline_measurements), *whole],
        **_said(finding, heading),
    )


def volumetric(finding: Finding, place: Place, heading: Heading) -> Group:
    """TID 1411: the finding as a segment of a SEG, with the numbers that are true of all of it."""
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=ReferencedSegment(
            sop_class_uid=SegmentationStorage,
            sop_instance_uid=place.sop_instance_uid,
            segment_number=place.segment,
            source_series=SourceSeriesForSegmentation(place.series_uid),
        ),
        measurements=[_measured(m) for m in finding.measurements],
        **_said(finding, heading),
    )


def whole_image(statement: Statement | Finding, image: Dataset | None, heading: Heading, frame: int = 1) -> Group:
    """TID 1501: what is said about the study as a whole, drawn around one image of it.

    The frame around the image (TID 1501 row 10c) is there because viewers derived from Cornerstone3D fail on a group
    without coordinates (OHIF 3.13 blanks its viewport); it says nothing about any part of the image.
    """
    scope = WHOLE_STUDY if isinstance(statement, Statement) else WHOLE_FINDING
    group = MeasurementsAndQualitativeEvaluations(
        measurements=[_measured(m, scope) for m in statement.measurements],
        **_said(statement, heading),
    )
    if image is not None:
        group[0].ContentSequence.append(_frame(image, frame))
    return group


def _said(said: Finding | Statement, heading: Heading) -> dict[str, Any]:
    """What all kinds of group have in common."""
    site = said.site if isinstance(said, Finding) else None
    laterality = said.laterality if isinstance(said, Finding) else None
    return {
        "tracking_identifier": TrackingIdentifier(uid=heading.tracking_uid(said.tracking_id), identifier=said.tracking_id),
        "finding_type": concept(said.finding),
        "finding_sites": None if site is None else [FindingSite(concept(site), _maybe(laterality))],
        "algorithm_id": hd.sr.AlgorithmIdentification(
            name=heading.algorithm.name,
            version=heading.algorithm.version,
            parameters=parameters(heading.algorithm),
            family=concept(AI_FAMILY),
        ),
        "time_point_context": _time_point(heading.context.time_points.get(said.tracking_id)),
        "qualitative_evaluations": [_evaluated(e) for e in said.evaluations],
    }


def _time_point(point: tuple[str, int] | None) -> TimePointContext | None:
    """TID 1502, for what was compared with an earlier result."""
    if point is None:
        return None
    date, order = point
    return TimePointContext(time_point=date, time_point_order=order, subject_time_point_identifier=f"{order}")


def _evaluated(evaluation: Evaluation) -> QualitativeEvaluation:
    return QualitativeEvaluation(name=concept(evaluation.name), value=concept(evaluation.value))


def _measured(measurement: Measurement, scope: Code | None = None) -> hd.sr.Measurement:
    """TID 300; a number that is true of more than the region beside it says so, unless it has a method of its own."""
    if not isfinite(measurement.value):
        raise PermanentError(f"The measurement {measurement.name.meaning} is not a finite number.")
    return hd.sr.Measurement(
        name=concept(measurement.name),
        value=float(measurement.value),
        unit=concept(measurement.unit),
        derivation=_maybe(measurement.derivation),
        method=_maybe(measurement.method or scope),
    )


def _maybe(code: Code | None) -> CodedConcept | None:
    return None if code is None else concept(code)


def polygon(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A closed polygon (PS3.3 C.18.6.1.2). Raises PermanentError for one without an inside or off the numbers.

    One of four or five points gets the middles of its edges as well: OHIF takes such a polyline for its own rectangle
    tool, turns the report into editable rectangles and drops every other group.
    """
    corners = np.asarray(points, np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or not np.isfinite(corners).all() or len(corners) < _CLOSED:
        raise PermanentError("An outline needs at least three corners, each a column and a row.")
    closed = corners if np.array_equal(corners[0], corners[-1]) else np.vstack([corners, corners[:1]])
    while len(closed) <= _RECTANGLE:
        middles = (closed[:-1] + closed[1:]) / 2
        closed = np.vstack([np.stack([closed[:-1], middles], axis=1).reshape(-1, 2), closed[-1:]])
    return closed


def _region_source(images: Mapping[str, Dataset], uid: str, frame: int | None) -> SourceImageForRegion:
    if uid not in images:
        raise PermanentError("An outline lies on an image that is not among the images analysed.")
    frames: Sequence[int] | None = None if frame is None else [frame]
    return SourceImageForRegion(str(images[uid].SOPClassUID), uid, frames)


def _origin(image: Dataset) -> PixelOriginInterpretationValues | None:
    """Coordinates on a slide count from the corner of the total pixel matrix, not of a tile (PS3.3 C.18.6.1.1)."""
    return PixelOriginInterpretationValues.VOLUME if image.get("TotalPixelMatrixColumns") else None


def _frame(image: Dataset, frame: int) -> ScoordContentItem:
    columns, rows = extent(image)
    origin = _origin(image)
    item = ScoordContentItem(
        name=concept(IMAGE_REGION),
        graphic_type=GraphicTypeValues.POLYLINE,
        graphic_data=polygon(np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float64)),
        pixel_origin_interpretation=origin,
        relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
    )
    frames = [frame] if int(image.get("NumberOfFrames") or 1) > 1 and origin is None else None
    item.ContentSequence = hd.sr.ContentSequence(
        [SourceImageForRegion(str(image.SOPClassUID), str(image.SOPInstanceUID), frames)]
    )
    return item


def overall(evaluations: Sequence[Evaluation]) -> list[CodeContentItem]:
    """The evaluations as items of a list of their own (TID 1500 row 13)."""
    return [CodeContentItem(concept(e.name), concept(e.value), hd.sr.RelationshipTypeValues.CONTAINS) for e in evaluations]
