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
from sr_writer.survey import survey
from tests.ct_series import Series
from tests.sr_writer import cases
from tests.sr_writer.reading import by_role

OBLIQUE = Series(orientation=(0.8, 0.6, 0.0, -0.48, 0.64, 0.6))


def segs_of(case: cases.Case, kind: str = "seg") -> dict[str, Dataset]:
    """All Segmentations of one type: one, or one for each layer where layers overlap."""
    return {role: ds for role, ds in by_role(documents(*case.arguments)).items() if role.partition("-")[0] == kind}


def seg_of(case: cases.Case) -> Dataset:
    (seg,) = segs_of(case).values()
    return seg


def masks_of(case: cases.Case) -> dict[str, npt.NDArray[np.bool_]]:
    return {name: mask for seg in segs_of(case).values() for name, mask in masks(seg, case).items()}


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
    found = masks_of(case)
    assert set(found) == {s.tracking_id for s in case.analysis.segments}
    for segment in case.analysis.segments:
        np.testing.assert_array_equal(found[segment.tracking_id], case.analysis.labels.mask(segment.number))
        assert found[segment.tracking_id].any()


@pytest.mark.parametrize("case", [cases.positive(), cases.positive(OBLIQUE)], ids=["axial", "oblique"])
def test_highdicom_reads_the_same_volume_at_the_same_place(case: cases.Case) -> None:
    assert case.analysis.labels is not None
    first = np.array([float(v) for v in case.headers[0].ImagePositionPatient])
    last = np.array([float(v) for v in case.headers[-1].ImagePositionPatient])
    segments = {segment.tracking_id: segment for segment in case.analysis.segments}
    for dataset in segs_of(case).values():
        seg = hd.seg.Segmentation.from_dataset(dataset)
        volume = seg.get_volume(combine_segments=False)
        for item in seg.SegmentSequence:
            mask = case.analysis.labels.mask(segments.pop(str(item.TrackingID)).number)
            voxel = np.argwhere(volume.array[..., int(item.SegmentNumber) - 1] > 0)
            there = volume.map_indices_to_reference(voxel)
            along = (there - first) @ (last - first) / np.linalg.norm(last - first) / case_spacing(case)
            assert len(voxel) == mask.sum()
            np.testing.assert_array_equal(np.unique(along.round(3)), np.flatnonzero(mask.any(axis=(1, 2))))
    assert not segments


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
    assert {role: [(int(s.SegmentNumber), s.SegmentLabel) for s in made[role].SegmentSequence] for role in ("seg", "seg-2")} == {
        "seg": [(1, "Left lung")],
        "seg-2": [(1, "Opacity left"), (2, "Opacity right")],
    }
    frames = made["seg-2"].PerFrameFunctionalGroupsSequence
    assert {int(f.SegmentIdentificationSequence[0].ReferencedSegmentNumber) for f in frames} == {1, 2}


def test_segments_that_overlap_stand_in_one_segmentation_for_each_layer_each_in_its_own_series() -> None:
    case = cases.positive()
    made = by_role(documents(*case.arguments))
    assert list(made) == ["seg", "seg-2", "sr", "sr-volumetric"]
    assert [s.SegmentLabel for s in made["seg"].SegmentSequence] == ["Left lung", "Right lung"]
    assert [s.SegmentLabel for s in made["seg-2"].SegmentSequence] == ["Opacity left", "Opacity right"]
    assert {made[role].SegmentsOverlap for role in ("seg", "seg-2")} == {"NO"}
    assert (made["seg"].SeriesNumber, made["seg-2"].SeriesNumber) == (9021, 19021)
    assert len({ds.SeriesInstanceUID for ds in made.values()}) == 4
    assert made["seg-2"].SeriesDescription.startswith("AI segments 2: ")


def test_layers_that_do_not_overlap_stand_in_one_segmentation() -> None:
    case = cases.positive()
    assert case.analysis.labels is not None
    layers = case.analysis.labels.layers.copy()
    layers[0][layers[1] > 0] = 0
    apart = replace(case, analysis=replace(case.analysis, labels=replace(case.analysis.labels, layers=layers)))
    assert [int(s.SegmentNumber) for s in seg_of(apart).SegmentSequence] == [1, 2, 3, 4]
    found = masks_of(apart)
    for segment in case.analysis.segments:
        np.testing.assert_array_equal(found[segment.tracking_id], (layers == segment.number).any(axis=0))


def test_a_segment_in_two_layers_is_an_error() -> None:
    case = cases.positive()
    assert case.analysis.labels is not None
    layers = case.analysis.labels.layers.copy()
    layers[1, 0, 0, 0] = 1
    with pytest.raises(PermanentError, match="two layers"):
        documents(replace(case.analysis, labels=replace(case.analysis.labels, layers=layers)), *case.arguments[1:])


def test_labels_without_any_voxel_make_no_seg() -> None:
    case = cases.positive()
    assert case.analysis.labels is not None
    nothing = replace(case.analysis.labels, layers=np.zeros_like(case.analysis.labels.layers))
    assert list(by_role(documents(replace(case.analysis, labels=nothing), *case.arguments[1:]))) == ["sr"]


@pytest.mark.parametrize("numbers", [(1, 2, 3, 5), (3,)], ids=["several", "one"])
def test_each_frame_says_itself_which_segment_it_is_and_none_is_empty(numbers: tuple[int, ...]) -> None:
    for seg in segs_of(cases.positive(numbers=numbers)).values():
        assert all(len(f.SegmentIdentificationSequence) == 1 for f in seg.PerFrameFunctionalGroupsSequence)
        assert "SegmentIdentificationSequence" not in seg.SharedFunctionalGroupsSequence[0]
        assert seg.pixel_array.reshape(int(seg.NumberOfFrames), -1).any(axis=1).all()


def test_grid_frame_of_reference_and_series_are_those_of_the_images() -> None:
    case = cases.positive(numbers=(1, 2))
    seg, source = seg_of(case), case.headers[0]
    for keyword in ("FrameOfReferenceUID", "Rows", "Columns", "StudyInstanceUID"):
        assert seg[keyword].value == source[keyword].value
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.SeriesInstanceUID
    assert seg.SegmentationType == "BINARY"
    assert seg.SpecificCharacterSet == source.SpecificCharacterSet


def test_a_segment_is_described_by_colour_codes_place_and_algorithm() -> None:
    case = cases.positive()
    items = [item for seg in segs_of(case).values() for item in seg.SegmentSequence]
    for described, segment in zip(items, case.analysis.segments, strict=True):
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
    found = masks_of(changed)
    for segment in case.analysis.segments:
        np.testing.assert_array_equal(found[segment.tracking_id], labels.mask(segment.number))


def test_labels_in_reverse_order_of_the_slices_still_land_on_their_own_images() -> None:
    case = cases.positive()
    assert case.analysis.labels is not None
    labels = Labels(case.analysis.labels.layers[:, ::-1], case.analysis.labels.sop_instance_uids[::-1])
    changed = replace(case, analysis=replace(case.analysis, labels=labels))
    found = masks_of(changed)
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
    found = masks_of(made)
    assert len(found) == 300 and all(mask.sum() == 100 for mask in found.values())


def test_the_survey_names_exactly_the_rows_that_each_label_stands_in() -> None:
    volume = np.random.default_rng(5).choice(np.array([0, 0, 0, 0, 1, 2, 7], np.uint8), (6, 9, 16))
    volume[:, :, ::2] *= volume[:, :, 1::2] > 1  # runs of unequal length; some rows without a label
    volume[2], volume[:, :2], volume[3, 4, 0] = 0, 0, 9  # an empty plane, empty rows, a run that begins a row
    found = survey(Labels(volume[np.newaxis], tuple("123456")))
    lines = zip(found.plane.tolist(), found.label.tolist(), found.first.tolist(), found.last.tolist(), strict=True)
    expected = set()
    for plane in range(len(volume)):
        for label in set(np.unique(volume[plane]).tolist()) - {0}:
            rows = np.flatnonzero((volume[plane] == label).any(axis=1))
            expected.add((plane, label, int(rows[0]), int(rows[-1])))
    assert set(lines) == expected
