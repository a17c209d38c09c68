"""Analyses made by hand: what a model would have found in the series of tests/ct_series.py."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from domain.errors import Reason
from domain.jobs import Outcome
from domain.results import (
    Algorithm,
    Analysis,
    Code,
    Evaluation,
    Finding,
    KeyImage,
    Labels,
    Measurement,
    Outline,
    Segment,
    Statement,
)
from sr_writer.context import Context
from tests.ct_series import Series

STARTED = datetime(2026, 3, 4, 9, 30, 15, 250000, tzinfo=timezone(timedelta(hours=1)))

ALGORITHM = Algorithm(
    package_id="chest-demo",
    name="Chest CT opacities",
    version="1.2.0",
    digest="0123456789abcdef" * 4,
    manufacturer="Ancilla",
    disclaimer="AI result, research use, not for primary diagnosis",
    procedure=Code("25045-6", "LN", "CT unspecified body region"),
    precision="int8",
)

MM3 = Code("mm3", "UCUM", "cubic millimeter")
MM2 = Code("mm2", "UCUM", "square millimeter")
PERCENT = Code("%", "UCUM", "percent")
HOUNSFIELD = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
VOLUME = Code("118565006", "SCT", "Volume")
AREA = Code("42798000", "SCT", "Area")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
MEAN = Code("373098007", "SCT", "Mean")
LUNG = Code("39607008", "SCT", "Lung")
LEFT = Code("7771000", "SCT", "Left")
RIGHT = Code("24028007", "SCT", "Right")
ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
OPACITY = Code("128477000", "SCT", "Abscess")
SEVERITY = Code("SEVERITY", "99DEMO", "Severity")
MILD = Code("MILD", "99DEMO", "Mild")
AFFECTED = Code("AFFECTED", "99DEMO", "Part of the lung affected")
RATIO = Code("118586006", "SCT", "Ratio")

SEGMENTS = (
    Segment(1, "Left lung", ANATOMY, LUNG, (90, 160, 230), "chest-demo/left-lung/1", LUNG, LEFT),
    Segment(2, "Right lung", ANATOMY, LUNG, (90, 200, 180), "chest-demo/right-lung/1", LUNG, RIGHT),
    Segment(3, "Opacity left", ABNORMAL, OPACITY, (230, 80, 60), "chest-demo/opacity/1", LUNG, LEFT, "lies in the lung"),
    Segment(5, "Opacity right", ABNORMAL, OPACITY, (240, 170, 40), "chest-demo/opacity/2", LUNG, RIGHT),
)


@dataclass(frozen=True)
class Case:
    """Everything ``documents`` wants."""

    analysis: Analysis
    algorithm: Algorithm
    headers: list[Dataset]
    context: Context

    @property
    def arguments(self) -> tuple[Analysis, Algorithm, list[Dataset], Context]:
        return self.analysis, self.algorithm, self.headers, self.context


def headers(series: Series) -> list[Dataset]:
    """The data sets without pixels, as the node hands them over."""
    found = series.datasets()
    for ds in found:
        del ds.PixelData
    return found


def context(images: list[Dataset], **changes: object) -> Context:
    made = Context(
        study_uid=str(images[0].StudyInstanceUID),
        revision=1,
        input_digest="ab" * 32,
        package_digest=ALGORITHM.digest,
        started_at=STARTED,
        institution="General Hospital",
        device_uid="2.25.1234567890",
        slot=2,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def layers(series: Series) -> npt.NDArray[np.uint8]:
    """Lungs in the first layer, an opacity in each in the second: they overlap."""
    hu = series.hu()
    lungs = np.where(hu == -850, np.where(np.arange(series.size) < series.size // 2, 2, 1), 0).astype(np.uint8)
    third = series.size // 3
    opacities = np.zeros_like(lungs)
    middle = slice(series.slices // 3, series.slices // 2)
    opacities[middle, third : 2 * third, : series.size // 2] = 5
    opacities[middle, third : 2 * third, series.size // 2 :] = 3
    opacities[lungs == 0] = 0
    return np.stack([lungs, opacities])


def outline(mask: npt.NDArray[np.bool_], uid: str) -> Outline:
    """The box around a mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    points = np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]], np.float64)
    return Outline(uid, points)


def key_image(series: Series, uid: str, index: int) -> KeyImage:
    pixels = np.clip((series.hu()[index].astype(float) + 1000) / 1400 * 255, 0, 255).astype(np.uint8)
    return KeyImage(uid, pixels, "lung window")


def positive(series: Series | None = None, numbers: tuple[int, ...] = (1, 2, 3, 5), **changes: object) -> Case:
    """Up to four overlapping segments, each with its outline on the key image, and two statements."""
    series = series or Series()
    images = headers(series)
    labels = layers(series)
    labels[~np.isin(labels, numbers)] = 0
    uids = tuple(str(ds.SOPInstanceUID) for ds in images)
    key = series.slices * 5 // 12
    voxel = float(np.prod(series.spacing))
    segments = tuple(s for s in SEGMENTS if s.number in numbers)
    findings = []
    for segment in segments:
        mask = (labels == segment.number).any(axis=0)
        findings.append(
            Finding(
                tracking_id=segment.tracking_id,
                finding=segment.type,
                site=segment.site,
                laterality=segment.laterality,
                segment=segment.number,
                outline=outline(mask[key], uids[key]),
                measurements=(
                    Measurement(VOLUME, float(mask.sum()) * voxel, MM3),
                    Measurement(ATTENUATION, -612.5, HOUNSFIELD, derivation=MEAN),
                ),
                outline_measurements=(Measurement(AREA, float(mask[key].sum()) * 25, MM2),),
                evaluations=(Evaluation(SEVERITY, MILD),),
            )
        )
    statement = Statement("chest-demo/affected/1", AFFECTED, (Measurement(RATIO, 12.4, PERCENT),), (Evaluation(SEVERITY, MILD),))
    analysis = Analysis(
        outcome=Outcome.POSITIVE,
        summary="Opacities in both lungs, 12.4 % of the lung volume.",
        series_uid=str(images[0].SeriesInstanceUID),
        segments=segments,
        labels=Labels(labels if len(segments) > 1 else labels.max(axis=0, keepdims=True), uids),
        findings=tuple(findings),
        statements=(statement,),
        key_images=(key_image(series, uids[key], key),),
        notes=("2 of 24 slices are missing.",),
    )
    return Case(analysis, ALGORITHM, images, context(images, **changes))


def negative(series: Series | None = None, **changes: object) -> Case:
    """Nothing found, nothing segmented."""
    series = series or Series()
    images = headers(series)
    key = series.slices // 2
    analysis = Analysis(
        outcome=Outcome.NEGATIVE,
        summary="No opacity found.",
        series_uid=str(images[0].SeriesInstanceUID),
        statements=(Statement("chest-demo/affected/1", AFFECTED, (Measurement(RATIO, 0.0, PERCENT),)),),
        key_images=(key_image(series, str(images[key].SOPInstanceUID), key),),
    )
    return Case(analysis, ALGORITHM, images, context(images, **changes))


def not_analysed(series: Series | None = None, **changes: object) -> Case:
    images = headers(series or Series())
    summary = "Not analysed: slices are 7 mm apart, this model was validated up to 5 mm."
    analysis = Analysis(Outcome.NOT_ANALYSED, summary, str(images[0].SeriesInstanceUID), reason=Reason.SPACING)
    return Case(analysis, ALGORITHM, images, context(images, **changes))


def failed(series: Series | None = None, **changes: object) -> Case:
    images = headers(series or Series())
    summary = "The analysis failed three times; please read this study without it."
    return Case(
        Analysis(Outcome.FAILED, summary, str(images[0].SeriesInstanceUID)), ALGORITHM, images, context(images, **changes)
    )
