"""The answer as a whole is drawn where a viewer had best look first: OHIF jumps to the first group of a report."""

from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from domain.results import KeyImage
from sr_writer.results import documents
from tests.ct_series import Series
from tests.sr_writer import cases, grids
from tests.sr_writer.reading import by_role, groups, walk
from tests.sr_writer.test_many_groups import findings, with_findings

PIXELS = np.zeros((8, 8), np.uint8)


def place(case: cases.Case) -> tuple[str, int | None]:
    """Image and frame of the first group."""
    first = groups(by_role(documents(*case.arguments))["sr"])[0]
    (image,) = (item for item in walk(first) if item.ValueType == "IMAGE")
    reference: Dataset = image.ReferencedSOPSequence[0]
    return str(reference.ReferencedSOPInstanceUID), reference.get("ReferencedFrameNumber")


def plain(images: list[Dataset]) -> cases.Case:
    return grids.case(images, outputs=("sr",))


@pytest.mark.parametrize("kind", ["series", "frames"])
def test_without_key_image_or_outline_it_is_the_middle(kind: str) -> None:
    images = grids.enhanced(6, 64, 64) if kind == "frames" else grids.series(7, 64, 64)
    where = place(plain(images))
    assert where == ((str(images[0].SOPInstanceUID), 4) if kind == "frames" else (str(images[3].SOPInstanceUID), None))


def test_the_first_outline_comes_before_the_middle() -> None:
    images = grids.enhanced(6, 64, 64)
    case = plain(images)
    assert place(with_findings(case, findings(case, 2, frame=5))) == (str(images[0].SOPInstanceUID), 5)
    many = grids.series(7, 64, 64)
    assert place(with_findings(plain(many), findings(plain(many), 2)))[0] == str(many[0].SOPInstanceUID)


def test_the_best_key_image_comes_first_with_its_frame() -> None:
    images = grids.enhanced(6, 64, 64)
    case = with_findings(plain(images), findings(plain(images), 2, frame=5))
    keys = (KeyImage("1.2.3", PIXELS), KeyImage(str(images[0].SOPInstanceUID), PIXELS, frame=2))
    assert place(replace(case, analysis=replace(case.analysis, key_images=keys))) == (str(images[0].SOPInstanceUID), 2)
    assert place(cases.positive(Series(), outputs=("sr",)))[1] is None
