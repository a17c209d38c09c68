"""The SEG says voxel for voxel what the labels say, in the form every viewer reads."""

from dataclasses import replace

import highdicom as hd
import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset

from domain.errors import PermanentError
from domain.results import Labels
from sr_writer.results import documents
from sr_writer.segmentation import occupied
from tests.ct_series import Series
from tests.sr_writer import cases
from tests.sr_writer.reading import by_role

OBLIQUE = Series(orientation=(0.8, 0.6, 0.0, -0.48, 0.64, 0.6))


def seg_of(case: cases.Case) -> Dataset:
    return by_role(documents(*case.arguments))["seg"]


def masks(seg: Dataset, case: cases.Case) -> dict[str, npt.NDArray[np.bool_]]:
    """Masks by tracking ID on the grid of the labels, put together frame by frame with pydicom alone."""
    assert case.analysis.labels is not None
    index = {uid: i for i, uid in enumerate(case.analysis.labels.sop_instance_uids)}
    names = {int(s.SegmentNumber): str(s.TrackingID) for s in seg.SegmentSequence}
    shape = case.analysis.labels.layers.shape[1:]
    found = {name: np.zeros(shape, bool) for name in names.values()}
    pixels = seg.pixel_array.reshape(int(seg.NumberOfFrames), seg.Rows, seg.Columns)
    for frame, plane in zip(seg.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        number = int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        found[names[number]][index[source]] = plane
    return found


@pytest.mark.parametrize(
    "case",
    [cases.positive(), cases.positive(numbers=(3,)), cases.positive(OBLIQUE), cases.positive(Series(size=61, slices=17))],
    ids=["four overlapping", "one", "oblique", "odd size"],
)
def test_every_voxel_comes_back_on_its_own_source_image(case: cases.Case) -> None:
    assert case.analysis.labels is not None
    found = masks(seg_of(case), case)
    assert set(found) == {s.tracking_id for s in case.analysis.segments}
    for segment in case.analysis.segments:
        np.testing.assert_array_equal(found[segment.tracking_id], case.analysis.labels.mask(segment.number))
        assert found[segment.tracking_id].any()


@pytest.mark.parametrize("case", [cases.positive(), cases.positive(OBLIQUE)], ids=["axial", "oblique"])
def test_highdicom_reads_the_same_volume_at_the_same_place(case: cases.Case) -> None:
    assert case.analysis.labels is not None
    seg = hd.seg.Segmentation.from_dataset(seg_of(case))
    volume = seg.get_volume(combine_segments=False)
    first = np.array([float(v) for v in case.headers[0].ImagePositionPatient])
    last = np.array([float(v) for v in case.headers[-1].ImagePositionPatient])
    for number, segment in occupied(case.analysis).items():
        mask = case.analysis.labels.mask(segment.number)
        voxel = np.argwhere(volume.array[..., number - 1] > 0)
        there = volume.map_indices_to_reference(voxel)
        along = (there - first) @ (last - first) / np.linalg.norm(last - first) / case_spacing(case)
        assert len(voxel) == mask.sum()
        np.testing.assert_array_equal(np.unique(along.round(3)), np.flatnonzero(mask.any(axis=(1, 2))))


def case_spacing(case: cases.Case) -> float:
    positions = np.array([[float(v) for v in h.ImagePositionPatient] for h in case.headers[:2]])
    return float(np.linalg.norm(positions[1] - positions[0]))


def test_segments_without_voxels_are_neither_described_nor_referred_to() -> None:
    case = cases.positive()
    assert case.analysis.labels is not None
    layers = case.analysis.labels.layers.copy()
    layers[layers == 2] = 0
    emptied = replace(case.analysis, labels=replace(case.analysis.labels, layers=layers))
    made = by_role(documents(emptied, *case.arguments[1:]))
    assert [(int(s.SegmentNumber), s.SegmentLabel) for s in made["seg"].SegmentSequence] == [
        (1, "Left lung"), (2, "Opacity left"), (3, "Opacity right"),
    ]  # fmt: skip
    used = {int(f.SegmentIdentificationSequence[0].ReferencedSegmentNumber) for f in made["seg"].PerFrameFunctionalGroupsSequence}
    assert used == {1, 2, 3}


def test_labels_without_any_voxel_make_no_seg() -> None:
    case = cases.positive()
    assert case.analysis.labels is not None
    nothing = replace(case.analysis.labels, layers=np.zeros_like(case.analysis.labels.layers))
    assert list(by_role(documents(replace(case.analysis, labels=nothing), *case.arguments[1:]))) == ["sr"]


@pytest.mark.parametrize("numbers", [(1, 2, 3, 5), (3,)], ids=["several", "one"])
def test_each_frame_says_itself_which_segment_it_is_and_none_is_empty(numbers: tuple[int, ...]) -> None:
    seg = seg_of(cases.positive(numbers=numbers))
    assert all(len(f.SegmentIdentificationSequence) == 1 for f in seg.PerFrameFunctionalGroupsSequence)
    assert "SegmentIdentificationSequence" not in seg.SharedFunctionalGroupsSequence[0]
    assert seg.pixel_array.reshape(int(seg.NumberOfFrames), -1).any(axis=1).all()


def test_grid_frame_of_reference_and_series_are_those_of_the_images() -> None:
    case = cases.positive()
    seg, source = seg_of(case), case.headers[0]
    for keyword in ("FrameOfReferenceUID", "Rows", "Columns", "StudyInstanceUID"):
        assert seg[keyword].value == source[keyword].value
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert seg.SegmentationType == "BINARY"
    assert seg.SpecificCharacterSet == source.SpecificCharacterSet


def test_a_segment_is_described_by_colour_codes_place_and_algorithm() -> None:
    case = cases.positive()
    seg = seg_of(case)
    for described, segment in zip(seg.SegmentSequence, case.analysis.segments, strict=True):
        colour = hd.color.CIELabColor.from_dicom_value(tuple(described.RecommendedDisplayCIELabValue))
        assert np.abs(np.array(colour.to_rgb()) - segment.colour).max() <= 1
        region = described.AnatomicRegionSequence[0]
        assert region.CodeValue == "39607008"
        assert segment.laterality is not None
        assert region.AnatomicRegionModifierSequence[0].CodeValue == segment.laterality.value
        algorithm = described.SegmentationAlgorithmIdentificationSequence[0]
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == (case.algorithm.name, case.algorithm.version)
        assert case.algorithm.digest in algorithm.AlgorithmParameters and "int8" in algorithm.AlgorithmParameters
        assert described.SegmentAlgorithmType == "AUTOMATIC"


def test_headers_may_come_in_any_order_and_hold_more_than_was_analysed() -> None:
    case = cases.positive()
    assert case.analysis.labels is not None
    part = slice(3, 20)
    labels = Labels(case.analysis.labels.layers[:, part], case.analysis.labels.sop_instance_uids[part])
    shuffled = [case.headers[i] for i in np.random.default_rng(1).permutation(len(case.headers))]
    changed = replace(case, analysis=replace(case.analysis, labels=labels), headers=shuffled)
    found = masks(seg_of(changed), changed)
    for segment in case.analysis.segments:
        np.testing.assert_array_equal(found[segment.tracking_id], labels.mask(segment.number))


def test_labels_in_reverse_order_of_the_slices_still_land_on_their_own_images() -> None:
    case = cases.positive()
    assert case.analysis.labels is not None
    labels = Labels(case.analysis.labels.layers[:, ::-1], case.analysis.labels.sop_instance_uids[::-1])
    changed = replace(case, analysis=replace(case.analysis, labels=labels))
    found = masks(seg_of(changed), changed)
    for segment in case.analysis.segments:
        np.testing.assert_array_equal(found[segment.tracking_id], labels.mask(segment.number))


def test_labels_on_images_nobody_has_are_an_error() -> None:
    case = cases.positive()
    with pytest.raises(PermanentError, match="1 of 24"):
        documents(case.analysis, case.algorithm, case.headers[1:], case.context)


def test_three_hundred_segments_fit() -> None:
    case = cases.positive(numbers=(1,))
    layers = np.zeros((1, 24, 64, 64), np.uint16)
    layers.reshape(-1)[: 300 * 100] = np.repeat(np.arange(1, 301), 100)
    segment = case.analysis.segments[0]
    segments = tuple(replace(segment, number=n, tracking_id=f"chest-demo/part/{n}") for n in range(1, 301))
    assert case.analysis.labels is not None
    analysis = replace(case.analysis, segments=segments, labels=replace(case.analysis.labels, layers=layers), findings=())
    made = replace(case, analysis=analysis)
    found = masks(seg_of(made), made)
    assert len(found) == 300 and all(mask.sum() == 100 for mask in found.values())
