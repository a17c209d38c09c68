"""The fast way of writing a SEG gives the file that highdicom gives, byte for byte, whatever is segmented on whatever images."""

import io
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from domain.errors import PermanentError
from domain.results import Field, Labels
from sr_writer.results import documents
from tests.sr_writer import cases, colour_cases, grids
from tests.sr_writer.reading import by_role, saved

OBLIQUE = (0.8, 0.6, 0.0, -0.48, 0.64, 0.6)
ORIENTATIONS = [(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (0.0, 1.0, 0.0, 0.0, 0.0, -1.0), OBLIQUE]


def files(case: cases.Case) -> dict[str, bytes]:
    return {document.role: saved(document) for document in documents(*case.arguments)}


def differences(fast: bytes, slow: bytes) -> list[str]:
    """The elements in which two objects differ, for a person to read."""
    one, other = (str(pydicom.dcmread(io.BytesIO(data))).splitlines() for data in (fast, slow))
    return [f"{a} <> {b}" for a, b in zip(one, other, strict=False) if a != b][:5]


def assert_equal_files(case: cases.Case) -> None:
    fast, slow = files(case), files(grids.slow(case))
    assert list(fast) == list(slow)
    for role in fast:
        assert fast[role] == slow[role], (role, differences(fast[role], slow[role]))


def noise(rng: np.random.Generator, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Probabilities inside a mask; many of them are stored as 0."""
    return np.where(mask, rng.random(mask.shape, np.float32) ** 9, 0).astype(np.float32)


@st.composite
def anything(draw: st.DrawFn) -> cases.Case:
    """Labels of any number, in one or two layers that may overlap, on a series or on frames of a multi-frame image."""
    planes, rows, columns = draw(st.integers(1, 6)), draw(st.integers(3, 19)), draw(st.integers(3, 19))
    numbers = draw(st.lists(st.integers(1, 300), min_size=1, max_size=5, unique=True))
    layers = draw(st.integers(1, 2))
    geometry = {
        "orientation": draw(st.sampled_from(ORIENTATIONS)),
        "spacing": (draw(st.sampled_from([0.7, 1.25, 5.0])), 0.683594, 0.683594),
        "origin": (-133.3333333, 12.0625, draw(st.sampled_from([-1000.1, 0.0]))),
    }
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["series", "frames", "per frame"]))
    outputs = tuple(draw(st.lists(st.sampled_from(["seg", "labelmap", "fractional"]), min_size=1, unique=True)))
    order = rng.permutation(planes) if draw(st.booleans()) else np.arange(planes)
    if kind == "series":
        images = grids.series(planes, rows, columns, **geometry)
        if draw(st.booleans()):
            for image in images:
                image.SpacingBetweenSlices = "3"
        uids, frames = tuple(str(images[n].SOPInstanceUID) for n in order), ()
    else:
        images = grids.enhanced(planes + 2, rows, columns, kind == "per frame", **geometry)
        uids, frames = (str(images[0].SOPInstanceUID),) * planes, tuple(int(n) + 2 for n in order)
    drawn = grids.blobs(rng, (layers, planes, rows, columns), numbers)
    maps = tuple(
        Field(grids.PROBABILITY, grids.UNIT, noise(rng, (drawn == n).any(axis=0)), uids, frames, n)
        for n in np.unique(drawn[drawn > 0]).tolist()
    )  # fmt: skip
    return grids.case(images, Labels(drawn, uids, frames), maps, outputs=outputs)


@settings(max_examples=25, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(anything())
def test_whatever_is_segmented_the_file_is_the_one_highdicom_writes(case: cases.Case) -> None:
    assert_equal_files(case)


@pytest.mark.parametrize("case", [cases.positive(), cases.positive(numbers=(3,)), cases.negative()], ids=["four", "one", "none"])
def test_a_whole_answer_is_the_same_written_fast_and_slowly(case: cases.Case) -> None:
    assert_equal_files(case)


def test_more_than_255_segments_are_a_label_map_of_two_bytes_in_both() -> None:
    images = grids.series(3, 20, 40)
    layers = np.zeros((1, 3, 20, 40), np.uint16)
    layers.reshape(-1)[:600] = np.repeat(np.arange(1, 301), 2)
    labels = Labels(layers, tuple(str(image.SOPInstanceUID) for image in images))
    case = grids.case(images, labels, outputs=("seg", "labelmap"))
    assert_equal_files(case)
    assert by_role(documents(*case.arguments))["labelmap"].BitsAllocated == 16


def sources(seg: Dataset) -> list[tuple[str, int | None]]:
    items = [frame.DerivationImageSequence[0].SourceImageSequence[0] for frame in seg.PerFrameFunctionalGroupsSequence]
    return [(str(i.ReferencedSOPInstanceUID), i.get("ReferencedFrameNumber")) for i in items]


def test_a_still_without_frame_of_reference_is_segmented_as_highdicom_does_it() -> None:
    (image,) = grids.stills(1, 24, 32)
    layers = np.zeros((1, 1, 24, 32), np.uint8)
    layers[0, 0, 4:9, 5:30] = 2
    case = grids.case([image], Labels(layers, (str(image.SOPInstanceUID),)), outputs=("seg",))
    assert_equal_files(case)
    seg = by_role(documents(*case.arguments))["seg"]
    assert "FrameOfReferenceUID" not in seg and seg.pixel_array.sum() == 125


def test_frames_without_frame_of_reference_are_told_apart_by_their_place_in_the_stack() -> None:
    case = colour_cases.without_pixels(colour_cases.loop(outputs=("seg",)))
    assert case.analysis.labels is not None
    layers = case.analysis.labels.layers.copy()
    layers[0, 2, 20:30, 30:50] = 3
    changed = replace(case, analysis=replace(case.analysis, labels=replace(case.analysis.labels, layers=layers)))
    seg = by_role(documents(*changed.arguments))["seg"]
    assert sources(seg) == [(str(case.headers[0].SOPInstanceUID), 2), (str(case.headers[0].SOPInstanceUID), 3)]
    contents = [frame.FrameContentSequence[0] for frame in seg.PerFrameFunctionalGroupsSequence]
    assert [(c.InStackPositionNumber, list(c.DimensionIndexValues)) for c in contents] == [(2, [1, 2]), (3, [1, 3])]
    assert [int(item.DimensionIndexPointer) for item in seg.DimensionIndexSequence] == [0x0062000B, 0x00209057]
    np.testing.assert_array_equal(seg.pixel_array.astype(bool), layers[0, 1:] == 3)


def test_a_slide_is_segmented_in_tiles_of_its_total_pixel_matrix() -> None:
    (image,) = grids.slide()
    layers = np.zeros((1, 1, 80, 112), np.uint8)
    layers[0, 0, 10:70, 20:100], layers[0, 0, 75:80, 100:112] = 1, 2
    case = grids.case([image], Labels(layers, (str(image.SOPInstanceUID),)), outputs=("seg",))
    seg = by_role(documents(*case.arguments))["seg"]
    assert (seg.DimensionOrganizationType, seg.TotalPixelMatrixRows, seg.TotalPixelMatrixColumns) == ("TILED_SPARSE", 80, 112)
    whole = np.zeros((3, 96, 128), bool)
    for frame, tile in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        place, number = frame.PlanePositionSlideSequence[0], frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        row, column = place.RowPositionInTotalImagePixelMatrix - 1, place.ColumnPositionInTotalImagePixelMatrix - 1
        assert tile.any()
        whole[number, row : row + 32, column : column + 32] = tile
    np.testing.assert_array_equal(whole[1, :80, :112], layers[0, 0] == 1)
    np.testing.assert_array_equal(whole[2, :80, :112], layers[0, 0] == 2)
    assert "FrameOfReferenceUID" in seg and seg.ContainerIdentifier == "C1"


@pytest.mark.parametrize("change", ["size", "position", "orientation", "series", "no position"])
def test_images_that_do_not_fit_together_are_an_error(change: str) -> None:
    images = grids.series(3, 8, 8)
    uids = tuple(str(image.SOPInstanceUID) for image in images)
    if change == "size":
        images[1].Rows = 9
    elif change == "position":
        images[1].ImagePositionPatient = images[0].ImagePositionPatient
    elif change == "orientation":
        images[1].ImageOrientationPatient = [0, 1, 0, 1, 0, 0]
    elif change == "series":
        images[1].SeriesInstanceUID = "1.2.3"
    else:
        del images[1].ImagePositionPatient
    case = grids.case(images, Labels(np.ones((1, 3, 8, 8), np.uint8), uids), outputs=("seg",))
    with pytest.raises(PermanentError):
        documents(*case.arguments)


def test_pixels_of_another_size_than_the_images_are_an_error() -> None:
    images = grids.series(2, 8, 8)
    labels = Labels(np.ones((1, 2, 8, 9), np.uint8), tuple(str(image.SOPInstanceUID) for image in images))
    with pytest.raises(PermanentError, match="size"):
        documents(*grids.case(images, labels).arguments)


def test_writing_again_gives_the_same_bytes_and_looking_at_the_object_does_not_change_them() -> None:
    document = next(iter(documents(*cases.positive().arguments)))
    first = saved(document)
    assert len(document.dataset.PerFrameFunctionalGroupsSequence) == document.dataset.NumberOfFrames
    assert document.dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert saved(document) == first
