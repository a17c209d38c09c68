"""Series to volume: what is put in order, and what is declined with which reason."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from pydicom.dataset import Dataset

from domain.errors import Reason, UnsuitableError
from inference.package import Package
from inference.series import Stack, stack
from inference.source import Source, open_source
from inference.volume import read_volume
from tests.ct_series import Series, part10


def sources(series: Series, keep: Callable[[int], bool] = lambda i: True) -> list[Source]:
    return [open_source(part10(ds)) for i, ds in enumerate(series.datasets()) if keep(i)]


def declined(found: list[Source], package: Package) -> tuple[Reason, str]:
    with pytest.raises(UnsuitableError) as error:
        stack(found, package.contract)
    return error.value.reason, str(error.value)


def stacked(found: list[Source], package: Package) -> Stack:
    return stack(found, package.contract)


def test_the_order_of_arrival_does_not_matter(package: Package) -> None:
    series = Series(slices=8)
    shuffled = sources(series)
    random.Random(1).shuffle(shuffled)
    for number, source in enumerate(shuffled):
        source.header.InstanceNumber = number
    found = stacked(shuffled, package)
    assert np.array_equal(read_volume(found).hu, np.maximum(series.hu(), -1024))
    assert found.spacing == (5.0, 5.0, 5.0)
    assert list(found.positions) == sorted(found.positions)


def test_slices_always_go_to_the_head(package: Package) -> None:
    series = Series(slices=8, orientation=(1, 0, 0, 0, -1, 0))  # its normal points to the feet
    found = stacked(sources(series), package)
    volume = read_volume(found)
    assert np.array_equal(volume.hu, np.maximum(series.hu(), -1024)[::-1])
    assert found.flips == (True, False)


@pytest.mark.parametrize(
    "orientation",
    [(a, 0, 0, 0, b, 0) for a in (1, -1) for b in (1, -1)] + [(0, a, 0, b, 0, 0) for a in (1, -1) for b in (1, -1)],
)
def test_the_network_sees_rows_to_the_back_and_columns_to_the_left(package: Package, orientation: tuple[float, ...]) -> None:
    found = stacked(sources(Series(slices=5, size=16, orientation=orientation)), package)
    volume = read_volume(found)
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    r, c = np.meshgrid(np.arange(16.0), np.arange(16.0), indexing="ij")
    left, back = c * row[0] + r * column[0], c * row[1] + r * column[1]
    assert (np.diff(volume.seen(left), axis=1) > 0).all()
    assert (np.diff(volume.seen(back), axis=0) > 0).all()
    assert np.array_equal(volume.unseen(volume.seen(left)), left)


@pytest.mark.parametrize(("orientation", "name"), [((1, 0, 0, 0, 0, -1), "coronal"), ((0, 1, 0, 0, 0, -1), "sagittal")])
def test_other_planes_are_declined(package: Package, orientation: tuple[float, ...], name: str) -> None:
    reason, words = declined(sources(Series(slices=6, orientation=orientation)), package)
    assert (reason, words) == (Reason.ORIENTATION, f"The slices are {name}; this model needs axial slices.")


def tilted(degrees: float) -> tuple[float, ...]:
    angle = np.radians(degrees)
    return (1, 0, 0, 0, float(np.cos(angle)), float(np.sin(angle)))


def test_a_tilt_within_tolerance_is_noted_and_more_is_declined(package: Package) -> None:
    assert stacked(sources(Series(slices=6, orientation=tilted(12))), package).notes == ("Slices tilted by 12 degrees",)
    reason, words = declined(sources(Series(slices=6, orientation=tilted(25))), package)
    assert reason is Reason.ORIENTATION and "25 degrees" in words


def test_a_sheared_stack_keeps_the_distance_along_the_normal(package: Package) -> None:
    def shear(ds: Dataset) -> None:
        x, y, z = (float(v) for v in ds.ImagePositionPatient)
        ds.ImagePositionPatient = [x, y + z * np.tan(np.radians(10)), z]

    found = stacked(sources(Series(slices=6, change=shear)), package)
    assert found.spacing[0] == pytest.approx(5.0)
    assert found.notes == ("Slices tilted by 10 degrees",)


def test_a_few_missing_slices_are_noted_and_more_are_declined(package: Package) -> None:
    series = Series(slices=20)
    assert stacked(sources(series, lambda i: i not in (5, 12)), package).notes == ("2 of 20 slices are missing",)
    assert declined(sources(series, lambda i: i not in (5, 6, 12)), package) == (Reason.GAP, "3 of 20 slices are missing.")


def test_two_images_at_one_place_are_declined(package: Package) -> None:
    again = sources(Series(slices=6, seed="second phase"))
    reason, words = declined([*sources(Series(slices=6)), *again], package)
    assert reason is Reason.DUPLICATE_POSITION and words.startswith("6 of 12 images")
    assert declined([*sources(Series(slices=8)), again[2]], package)[0] is Reason.DUPLICATE_POSITION


def test_images_that_all_lie_at_one_place_are_declined(package: Package) -> None:
    series = Series(slices=6, tags={"ImagePositionPatient": ["0", "0", "0"]})
    assert declined(sources(series), package)[0] is Reason.DUPLICATE_POSITION


def test_uneven_and_wrong_distances_are_declined(package: Package) -> None:
    def uneven(ds: Dataset) -> None:
        if ds.InstanceNumber % 2:
            ds.ImagePositionPatient[2] += 1.0

    assert declined(sources(Series(slices=8, change=uneven)), package)[0] is Reason.SPACING
    reason, words = declined(sources(Series(slices=6, spacing=(10.0, 5.0, 5.0))), package)
    assert (reason, words) == (Reason.SPACING, "The slices are 10.0 mm apart; this model was validated for 0.4 to 7.5 mm.")


def test_localizers_are_left_out_and_a_series_of_them_is_declined(package: Package) -> None:
    scout = Series(
        slices=2, orientation=(1, 0, 0, 0, 0, -1), seed="scout", tags={"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    )
    found = stacked([*sources(scout), *sources(Series(slices=6))], package)
    assert (len(found.sources), found.notes) == (6, ("2 localizer images left out",))
    assert declined(sources(scout), package)[0] is Reason.LOCALIZER


CASES: list[tuple[dict[str, object], Reason]] = [
    ({"Modality": "MR"}, Reason.MODALITY),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, Reason.NO_IMAGES),
    ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.1"}, Reason.GEOMETRY),
    ({"NumberOfFrames": "5"}, Reason.OTHER),
    ({"Rows": 60000, "Columns": 60000}, Reason.TOO_LARGE),
    ({"Rows": 1, "Columns": 1}, Reason.GEOMETRY),
    ({"Rows": None}, Reason.GEOMETRY),
    ({"PixelSpacing": None}, Reason.GEOMETRY),
    ({"PixelSpacing": ["0", "0"]}, Reason.GEOMETRY),
    ({"PixelSpacing": ["900", "900"]}, Reason.GEOMETRY),
    ({"ImagePositionPatient": None}, Reason.GEOMETRY),
    ({"ImageOrientationPatient": None}, Reason.GEOMETRY),
    ({"ImageOrientationPatient": ["0"] * 6}, Reason.GEOMETRY),
    ({"ImageOrientationPatient": ["1", "0", "0", "1", "0", "0"]}, Reason.GEOMETRY),
]


@pytest.mark.parametrize(("tags", "reason"), CASES)
def test_a_series_that_makes_no_volume_is_declined_with_a_reason(
    package: Package, tags: dict[str, object], reason: Reason
) -> None:
    found, words = declined(sources(Series(slices=6, tags=tags)), package)
    assert found is reason
    assert words.endswith(".") and "TEST-1" not in words and "Synthetic" not in words


def test_too_few_slices_are_declined(package: Package) -> None:
    reason, words = declined(sources(Series(slices=3)), package)
    assert (reason, words) == (Reason.TOO_FEW_SLICES, "The series has 3 slices; this model needs at least 4.")
    assert declined([], package)[0] is Reason.NO_IMAGES


def test_images_that_differ_from_each_other_are_declined(package: Package) -> None:
    def differ(keyword: str, value: object) -> list[Source]:
        found = sources(Series(slices=6))
        setattr(found[3].header, keyword, value)
        return found

    assert declined(differ("Rows", 32), package)[0] is Reason.GEOMETRY
    assert declined(differ("PixelSpacing", ["4", "4"]), package)[0] is Reason.GEOMETRY
    assert declined(differ("ImageOrientationPatient", ["1", "0", "0", "0", "0", "-1"]), package)[0] is Reason.MIXED_ORIENTATION


def test_bytes_that_are_no_dicom_are_a_fault_and_not_an_exception(package: Package) -> None:
    for hostile in (b"", b"DICM", bytes(132) + b"DICM" + b"\xff" * 40, b"\0" * 5000):
        source = open_source(hostile)
        if source.fault:
            assert declined([source, *sources(Series(slices=6))], package)[0] is Reason.DECODE
        else:
            assert source.series_uid == ""
