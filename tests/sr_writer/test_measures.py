"""A Segmentation of images that lie nowhere says how large a pixel is when the images say it, all of them the same."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from domain.results import Labels
from sr_writer.results import documents
from tests.sr_writer import grids
from tests.sr_writer.reading import by_role


def region(delta_x: float = 0.01, delta_y: float = 0.02, unit: int = 3) -> Dataset:
    item = Dataset()
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = unit
    item.PhysicalDeltaX, item.PhysicalDeltaY = delta_x, delta_y
    return item


def shared(*regions: list[Dataset]) -> Dataset:
    """The shared groups of the SEG of stills with these calibrated regions."""
    images = grids.stills(len(regions), 24, 32)
    for image, found in zip(images, regions, strict=True):
        image.pop("PixelSpacing", None)
        image.SequenceOfUltrasoundRegions = found
    labels = Labels(np.ones((1, len(images), 24, 32), np.uint8), tuple(str(image.SOPInstanceUID) for image in images))
    seg = by_role(documents(*grids.case(images, labels, outputs=("seg",)).arguments))["seg"]
    assert "FrameOfReferenceUID" not in seg
    return seg.SharedFunctionalGroupsSequence[0]


def test_calibrated_regions_give_the_spacing_and_the_axes_of_the_pixels_themselves() -> None:
    groups = shared([region()], [region(-0.01, 0.02)])
    assert list(groups.PixelMeasuresSequence[0].PixelSpacing) == [0.2, 0.1]
    assert list(groups.PlaneOrientationSequence[0].ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    "regions",
    [([region()], [region(0.02, 0.02)]), ([region()], []), ([region(unit=4)],), ([region(delta_x=0.0)],)],
    ids=["different", "one without", "not a length", "no size"],
)
def test_without_one_spacing_for_all_nothing_is_claimed(regions: tuple[list[Dataset], ...]) -> None:
    groups = shared(*regions)
    assert "PixelMeasuresSequence" not in groups and "PlaneOrientationSequence" not in groups
