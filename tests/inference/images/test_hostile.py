"""Headers with bytes thrown at them: every study gets an answer, and nobody raises anything."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEGBaseline8Bit

from domain.results import Analysis
from inference.images.analyse import ImageAnalyser
from inference.source import open_source
from tests import image_objects as objects
from tests.ct_series import part10
from tests.inference import image_package
from tests.inference.image_package import field, scan
from tests.inference.images.conftest import loaded

CINE = objects.ultrasound(np.stack([scan((60, 60, 20, 15))] * 2), [objects.region((0, 0, 191, 127), (0.02, 0.02))])
SMEAR = objects.field(field([(30, 30), (100, 90)]))
SLIDE = objects.level(field([(30, 30)], 150, 200), 64, 0.5, syntax=JPEGBaseline8Bit, order=[0, 3, 5, 7, 1])


@pytest.fixture(scope="module")
def any_kind(tmp_path_factory: pytest.TempPathFactory) -> ImageAnalyser:
    folder = tmp_path_factory.mktemp("any") / "package"
    toml = image_package.SLIDE_TOML.replace('kind = "slide"', 'kind = "any"')
    return ImageAnalyser(loaded(image_package.sealed(image_package.write_spots(folder, toml))), threads=1)


@pytest.mark.parametrize(("dataset", "seed"), [(CINE, 1), (SMEAR, 2), (SLIDE, 3)], ids=["cine", "smear", "slide"])
@pytest.mark.parametrize("how", ["bytes", "zeros", "lengths"])
def test_a_damaged_header_is_answered(
    dataset: Dataset, seed: int, how: str, blob: ImageAnalyser, any_kind: ImageAnalyser
) -> None:
    whole, rng = part10(dataset), np.random.default_rng(seed)
    header = len(whole) - len(bytes(dataset.PixelData))
    for _ in range(12):
        damaged = bytearray(whole)
        for at in rng.integers(200, header, 6):
            span = {"bytes": 1, "zeros": 8, "lengths": 2}[how]
            value = {"bytes": rng.bytes(1), "zeros": bytes(8), "lengths": b"\xff\xff"}[how]
            damaged[at : at + span] = value
        for analyser in (blob, any_kind):
            assert isinstance(analyser.analyse([open_source(bytes(damaged))]), Analysis)


def test_a_slide_is_read_where_there_are_no_images(any_kind: ImageAnalyser) -> None:
    both = [open_source(part10(ds)) for ds in (SLIDE, SMEAR)]
    assert any_kind.analyse(both).marks[0].sop_instance_uid == SMEAR.SOPInstanceUID
    assert any_kind.analyse(both[:1]).marks[0].sop_instance_uid == SLIDE.SOPInstanceUID
