"""What OHIF shows of results on other images than a plain series: oblique, enhanced multi-frame, many segments, other scripts."""

from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from domain.results import Labels
from sr_writer.results import documents
from tests import peers
from tests.ct_series import Series, part10
from tests.ohif.test_ohif import pacs, screen  # noqa: F401 - fixtures
from tests.ohif.test_shipped_models import shows_outlines, shows_segments
from tests.ohif.viewer import Viewer
from tests.sr_writer import cases, grids
from tests.sr_writer.reading import saved
from tests.sr_writer.test_many_groups import findings, with_findings

pytestmark = pytest.mark.viewer


@dataclass(frozen=True)
class Study:
    """Images with their pixels, and the answer about them."""

    images: list[Dataset]
    case: cases.Case


def oblique() -> Study:
    series = Series(orientation=(0.8, 0.6, 0.0, -0.48, 0.64, 0.6), seed="oblique")
    return Study(series.datasets(), cases.positive(series, numbers=(3,)))


def chinese() -> Study:
    series = Series(tags={"SpecificCharacterSet": "GB18030", "PatientName": "Wang^XiaoDong=王^小东"}, seed="chinese")
    images = [pydicom.dcmread(BytesIO(part10(image))) for image in series.datasets()]
    case = cases.positive(series, numbers=(3,), language="zh")
    return Study(images, replace(case, headers=images))


def enhanced() -> Study:
    (image,) = grids.enhanced(6, 64, 64, seed="enhanced")
    labels = np.zeros((1, 6, 64, 64), np.uint8)
    labels[0, 1:5, 10:30, 10:30], labels[0, 1:5, 35:60, 35:60] = 1, 2
    held = Labels(labels, (str(image.SOPInstanceUID),) * 6, tuple(range(1, 7)))
    case = grids.case([image], held, outputs=("sr", "seg"))
    shown = Dataset()
    shown.update(image)
    shown.file_meta = image.file_meta
    shown.PixelData = np.tile(np.arange(64, dtype="<i2") * 10 - 600, (6, 64, 1)).tobytes()
    return Study([shown], with_findings(case, findings(case, 3, frame=4)))


def hundred() -> Study:
    """104 segments, and an outline on every image."""
    series = Series(seed="hundred")
    images = series.datasets()
    headers, (rows, columns) = cases.headers(series), images[0].pixel_array.shape
    labels = np.zeros((1, len(images), rows, columns), np.uint8)
    for number in range(1, 105):
        row, column = divmod(number - 1, 13)
        labels[0, 2:6, 4 * row : 4 * row + 3, 4 * column : 4 * column + 3] = number
    held = Labels(labels, tuple(str(image.SOPInstanceUID) for image in images))
    case = grids.case(headers, held, outputs=("sr", "seg"))
    return Study(images, with_findings(case, findings(case, 24)))


STUDIES = {"oblique": oblique, "chinese": chinese, "enhanced": enhanced, "hundred": hundred}


@pytest.mark.parametrize("kind", STUDIES)
def test_ohif_lists_and_draws_every_segment_and_outline(
    kind: str,
    screen: Viewer,  # noqa: F811
    pacs: peers.Orthanc,  # noqa: F811
) -> None:
    study = STUDIES[kind]()
    case = replace(study.case, context=replace(study.case.context, outputs=("sr", "seg")))
    made = {document.role: document for document in documents(*case.arguments)}
    for file in [*map(part10, study.images), *(saved(d) for role, d in made.items() if role != "sr-volumetric")]:
        pacs.post("/instances", file)
    with screen.study(case.context.study_uid) as shown:
        shows_segments(shown, made["seg"].dataset, 1)
        shows_outlines(shown, made["sr"].dataset)
        assert "Something went wrong" not in shown.text()
        assert shown.errors == []
