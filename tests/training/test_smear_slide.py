"""The smear package reads a slide as it reads fields: the same fields, photographed or scanned, give the same bacilli."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless

from domain.jobs import Outcome
from domain.results import Analysis
from inference.images.analyse import ImageAnalyser
from inference.images.package import ImagePackage
from inference.package import load
from inference.source import open_source
from tests import image_objects as objects
from tests.ct_series import part10
from training.tb_smear_afb import synthetic

PACKAGE = Path(__file__).resolve().parents[2] / "models" / "tb-smear-afb"
FIELDS = ((9101, 7, 2), (9103, 12, 3), (9104, 1, 0), (9105, 5, 1))  # seed, single bacilli, clusters
ROWS, COLUMNS, UM = 960, 1280, 0.1


@pytest.fixture(scope="module")
def analyser() -> ImageAnalyser:
    package = load(PACKAGE)
    assert isinstance(package, ImagePackage)
    return ImageAnalyser(package, threads=1)


def told(answer: Analysis) -> dict[str, float]:
    assert answer.outcome is Outcome.POSITIVE
    return {m.name.meaning: float(m.value) for m in answer.statements[0].measurements}


@pytest.mark.parametrize("coarser", [1, 2], ids=["as fine as the network", "at 0.2 micrometres"])
def test_a_slide_of_four_fields_has_the_bacilli_of_the_four_fields(coarser: int, analyser: ImageAnalyser) -> None:
    fields = [synthetic.field(*each).pixels for each in FIELDS]
    slide = np.vstack([np.hstack(fields[:2]), np.hstack(fields[2:])])
    small = slide.reshape(2 * ROWS // coarser, coarser, 2 * COLUMNS // coarser, coarser, 3).mean((1, 3)).round().astype(np.uint8)
    scanned = told(analyser.analyse([open_source(part10(objects.level(small, 256, UM * coarser, syntax=JPEG2000Lossless)))]))
    photographed = told(analyser.analyse([open_source(part10(objects.capture(f, n))) for n, f in enumerate(fields, 1)]))
    assert photographed["Fields examined"] == 4
    counted, expected = (answer["Acid-fast bacilli counted"] for answer in (scanned, photographed))
    assert expected > 20
    assert abs(counted - expected) <= 0.25 * expected  # on the slide, fields of two colours meet at seams and in tiles
    area = 4 * ROWS * COLUMNS * (UM / 1000) ** 2
    assert scanned["Fields examined"] == pytest.approx(area / 0.025, rel=0.01)
    per_field = "Acid-fast bacilli per field"
    assert scanned[per_field] == pytest.approx(counted / scanned["Fields examined"], rel=0.01)
