"""Every rule lets good objects pass and catches the fault it is there for."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from domain.results import Field, Labels
from sr_writer import results
from sr_writer.companion_rules import COMPANION_RULES
from sr_writer.results import documents
from sr_writer.rules import RULES, Broken, check, check_foreign, errors
from tests.sr_writer import cases, grids
from tests.sr_writer.reading import by_role, groups, named

HEAT = cases.Code("130402", "DCM", "Class activation")


def everything() -> cases.Case:
    """An answer with every kind of Segmentation, a map and both reports."""
    case = cases.positive(outputs=("sr", "seg", "labelmap", "fractional", "pm"))
    labels = case.analysis.labels
    assert labels is not None
    uids = labels.sop_instance_uids
    left, right = ((labels.layers == number).any(axis=0).astype(np.float32) for number in (3, 5))
    fields = (
        Field(grids.PROBABILITY, grids.UNIT, left * np.float32(0.8), uids, segment=3),
        Field(grids.PROBABILITY, grids.UNIT, right * np.float32(0.5), uids, segment=5),
        Field(HEAT, grids.UNIT, left * 7 - 2, uids),
    )
    return replace(case, analysis=replace(case.analysis, fields=fields))


CASE = everything()
GOOD = by_role(documents(*CASE.arguments))


def last(ds: Dataset) -> Dataset:
    return groups(ds)[-1]


def drop(item: Dataset, code: str) -> None:
    item.ContentSequence = [i for i in item.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue != code]


def rename_root(ds: Dataset) -> None:
    ds.ConceptNameCodeSequence[0].CodeValue = "126001"


def share_tracking(ds: Dataset) -> None:
    named(groups(ds)[1], "112040")[0].UID = named(groups(ds)[0], "112040")[0].UID


def foreign_uid_first(ds: Dataset) -> None:
    other = deepcopy(named(ds, "121012")[0])
    last(ds).ContentSequence.insert(0, other)


def empty_unit(ds: Dataset) -> None:
    named(last(ds), "42798000")[0].MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodingSchemeDesignator = "SCT"


def no_number(ds: Dataset) -> None:
    del named(last(ds), "42798000")[0].MeasuredValueSequence


def region(ds: Dataset) -> Dataset:
    return named(last(ds), "111030")[0]


def open_outline(ds: Dataset) -> None:
    region(ds).GraphicData = [1, 1, 9, 1, 9, 9, 1, 9, 1, 5, 1, 3]


def region_without_image(ds: Dataset) -> None:
    del region(ds).ContentSequence


def second_region(ds: Dataset) -> None:
    last(ds).ContentSequence.append(deepcopy(region(ds)))


def rectangle(ds: Dataset) -> None:
    region(ds).GraphicData = [1, 1, 9, 1, 9, 9, 1, 9, 1, 1]


def outside(ds: Dataset) -> None:
    region(ds).GraphicData = [1, 1, 9, 1, 9, 99, 5, 9, 1, 9, 1, 1]


def volume_beside_outline(ds: Dataset) -> None:
    last(ds).ContentTemplateSequence[0].TemplateIdentifier = "1411"


def unlisted(ds: Dataset) -> None:
    del ds.CurrentRequestedProcedureEvidenceSequence


def partial(ds: Dataset) -> None:
    ds.CompletionFlag = "PARTIAL"


def shared_identification(ds: Dataset) -> None:
    ds.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence = ds.PerFrameFunctionalGroupsSequence[
        0
    ].SegmentIdentificationSequence
    for frame in ds.PerFrameFunctionalGroupsSequence:
        del frame.SegmentIdentificationSequence


def colourless(ds: Dataset) -> None:
    del ds.SegmentSequence[1].RecommendedDisplayCIELabValue


def empty_segment(ds: Dataset) -> None:
    extra = deepcopy(ds.SegmentSequence[-1])
    extra.SegmentNumber = 9
    ds.SegmentSequence.append(extra)


def fractional(ds: Dataset) -> None:
    ds.SegmentationType = "FRACTIONAL"


def no_series(ds: Dataset) -> None:
    del ds.ReferencedSeriesSequence


def no_source(ds: Dataset) -> None:
    del ds.PerFrameFunctionalGroupsSequence[3].DerivationImageSequence


def nowhere(ds: Dataset) -> None:
    del ds.FrameOfReferenceUID, ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence


def untracked_segment(ds: Dataset) -> None:
    del ds.SegmentSequence[0].TrackingUID


def other_frame_of_reference(ds: Dataset) -> None:
    ds.FrameOfReferenceUID = "1.2.3"


def other_grid(ds: Dataset) -> None:
    ds.Rows = 32


def nameless_series(ds: Dataset) -> None:
    ds.SeriesDescription = "Lung segmentation"


def other_study(ds: Dataset) -> None:
    ds.StudyInstanceUID = "1.2.3"


def no_processing(ds: Dataset) -> None:
    ds.ContributingEquipmentSequence = ds.ContributingEquipmentSequence[:1]


def other_meaning(ds: Dataset) -> None:
    last(ds).ConceptNameCodeSequence[0].CodeMeaning = "Measurement group"


def hydrated(ds: Dataset) -> None:
    named(last(ds), "112039")[0].TextValue = "Cornerstone3DTools@^0.1.0:Length"


def no_answer(ds: Dataset) -> None:
    drop(ds, "C0034375")
    for group in groups(ds):
        drop(group, "111017")
        for item in named(group, "121071"):
            item.ConceptCodeSequence[0].CodeValue = "1"


def inferred(ds: Dataset) -> None:
    region(ds).ContentSequence[0].RelationshipType = "INFERRED FROM"


def two_frames(ds: Dataset) -> None:
    region(ds).ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber = [1, 2]


def segment_reference(ds: Dataset) -> Dataset:
    found: Dataset = named(last(ds), "121191")[0].ReferencedSOPSequence[0]
    return found


def segment_and_frame(ds: Dataset) -> None:
    segment_reference(ds).ReferencedFrameNumber = 1


def segment_unnamed(ds: Dataset) -> None:
    del segment_reference(ds).ReferencedSegmentNumber


def in_space(ds: Dataset) -> None:
    region(ds).ValueType = "SCOORD3D"


def elsewhere(ds: Dataset) -> None:
    in_space(ds)
    region(ds).ReferencedFrameOfReferenceUID = "1.2.3"


def without(*keywords: str) -> Callable[[Dataset], None]:
    def spoil(ds: Dataset) -> None:
        for keyword in keywords:
            del ds[keyword]

    return spoil


def numbered_from_two(ds: Dataset) -> None:
    ds.SegmentSequence[0].SegmentNumber = 7


def background(ds: Dataset) -> None:
    extra = deepcopy(ds.SegmentSequence[0])
    extra.SegmentNumber = 0
    ds.SegmentSequence.insert(0, extra)


def second_series(ds: Dataset) -> None:
    ds.ReferencedSeriesSequence.append(deepcopy(ds.ReferencedSeriesSequence[0]))


def unlisted_source(ds: Dataset) -> None:
    del ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence[:]


def framed(ds: Dataset) -> None:
    ds.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber = 3


def turned(ds: Dataset) -> None:
    for frame, first in zip(ds.PerFrameFunctionalGroupsSequence, (1.0, 0.8), strict=False):
        orientation = Dataset()
        orientation.ImageOrientationPatient = [first, 0, 0, 0, 1, 0]
        frame.PlaneOrientationSequence = [orientation]


def overlap(ds: Dataset) -> None:
    ds.SegmentsOverlap = "YES"


def tiled(ds: Dataset) -> None:
    ds.DimensionOrganizationType = "TILED_FULL"


def narrow(ds: Dataset) -> None:
    ds.Columns = 61


def cut(ds: Dataset) -> None:
    ds.PixelData = ds.PixelData[:-2]


def nobody(ds: Dataset) -> None:
    ds.SegmentSequence[0].SegmentAlgorithmName = ""


def mapping(ds: Dataset) -> Dataset:
    shared, frame = ds.SharedFunctionalGroupsSequence[0], ds.PerFrameFunctionalGroupsSequence[0]
    found: Dataset = (shared.get("RealWorldValueMappingSequence") or frame.RealWorldValueMappingSequence)[0]
    return found


def unmapped(ds: Dataset) -> None:
    for group in (*ds.SharedFunctionalGroupsSequence, *ds.PerFrameFunctionalGroupsSequence):
        group.pop("RealWorldValueMappingSequence", None)


def own_units(ds: Dataset) -> None:
    mapping(ds).MeasurementUnitsCodeSequence[0].CodingSchemeDesignator = "99OWN"


def no_quantity(ds: Dataset) -> None:
    del mapping(ds).QuantityDefinitionSequence


def low_number(ds: Dataset) -> None:
    ds.SeriesNumber = 3


def other_patient(ds: Dataset) -> None:
    ds.AccessionNumber = "A2"


def misspelled(ds: Dataset) -> None:
    ds.PatientName = "Müller^Jörg"
    del ds.SpecificCharacterSet


FAULTS: list[tuple[str, str, Callable[[Dataset], None]]] = [
    ("root", "sr", rename_root),
    ("content", "sr", without("ContentSequence")),
    ("meanings", "sr", other_meaning),
    ("procedure-reported", "sr", lambda ds: drop(ds, "121058")),
    ("language", "sr", lambda ds: drop(ds, "121049")),
    ("device-observer", "sr", lambda ds: drop(ds, "121012")),
    ("image-library", "sr", lambda ds: drop(ds, "111028")),
    ("answer", "sr", no_answer),
    ("tracked", "sr", lambda ds: drop(last(ds), "112039")),
    ("tracked", "sr-volumetric", lambda ds: drop(last(ds), "112040")),
    ("tracked-once", "sr", share_tracking),
    ("tracking-first", "sr", foreign_uid_first),
    ("not-hydrated", "sr", hydrated),
    ("finding", "sr", lambda ds: drop(last(ds), "121071")),
    ("algorithm", "sr", lambda ds: drop(last(ds), "111003")),
    ("units", "sr", empty_unit),
    ("units", "sr", no_number),
    ("coordinates", "sr", open_outline),
    ("coordinates", "sr", region_without_image),
    ("selected-from", "sr", inferred),
    ("one-frame", "sr", two_frames),
    ("segment-or-frame", "sr-volumetric", segment_and_frame),
    ("segment-named", "sr-volumetric", segment_unnamed),
    ("no-rectangle", "sr", rectangle),
    ("planar-region", "sr", second_region),
    ("drawable", "sr", lambda ds: drop(groups(ds)[0], "111030")),
    ("flat", "sr", in_space),
    ("volumetric-alone", "sr", volume_beside_outline),
    ("inside", "sr", outside),
    ("space", "sr", elsewhere),
    ("evidence", "sr-volumetric", unlisted),
    ("status", "sr", partial),
    ("segment-per-frame", "seg", shared_identification),
    ("colour", "seg", colourless),
    ("no-empty-segment", "seg", empty_segment),
    ("segments-numbered", "seg", numbered_from_two),
    ("background", "labelmap", background),
    ("binary", "seg", fractional),
    ("whole-bytes", "seg", narrow),
    ("apart", "seg", overlap),
    ("slim-fractional", "fractional", tiled),
    ("referenced-series", "seg", no_series),
    ("one-series", "seg", second_series),
    ("derivation", "seg", no_source),
    ("source-listed", "seg", unlisted_source),
    ("frames-of-images", "seg", framed),
    ("one-orientation", "seg", turned),
    ("segments-tracked", "seg", untracked_segment),
    ("segments-made-by", "seg", nobody),
    ("in-space", "seg", nowhere),
    ("frame-of-reference", "seg", other_frame_of_reference),
    ("frame-of-reference", "pm", other_frame_of_reference),
    ("grid", "seg", other_grid),
    ("pixels-complete", "seg", cut),
    ("pixels-complete", "labelmap", cut),
    ("equipment", "seg", without("DeviceSerialNumber")),
    ("content-creator", "pm", without("ContentCreatorName")),
    ("mapping", "pm", unmapped),
    ("mapping-units", "pm", own_units),
    ("mapping-quantity", "pm", no_quantity),
    ("float", "pm", without("FloatPixelData")),
    ("series-description", "sr", nameless_series),
    ("series-number", "sr", low_number),
    ("study", "seg", other_study),
    ("patient", "sr", other_patient),
    ("contributing-equipment", "sr", no_processing),
    ("time", "sr", without("TimezoneOffsetFromUTC")),
    ("character-set", "sr", misspelled),
]


@pytest.mark.parametrize("role", GOOD)
def test_good_objects_break_no_rule(role: str) -> None:
    broken = check(GOOD[role], CASE.headers)
    assert [each.rule for each in broken] == (["binary"] if role in ("labelmap", "labelmap-2", "fractional") else [])
    assert errors(broken) == []


@pytest.mark.parametrize(("rule", "role", "spoil"), FAULTS, ids=[f"{r}-{i}" for i, (r, _, _) in enumerate(FAULTS)])
def test_each_fault_is_caught_by_its_rule(rule: str, role: str, spoil: Callable[[Dataset], None]) -> None:
    ds = deepcopy(GOOD[role])
    spoil(ds)
    assert rule in {broken.rule for broken in check(ds, CASE.headers)}


def test_every_rule_has_a_fault_here_a_reason_and_a_source() -> None:
    others = {rule.name for rule in COMPANION_RULES}  # theirs are in test_companion_rules.py
    assert {rule.name for rule in RULES} - others == {name for name, _, _ in FAULTS}
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.reason and rule.source for rule in RULES)


@pytest.mark.parametrize("role", GOOD)
def test_an_object_with_a_sequence_of_nonsense_is_reported_not_raised(role: str) -> None:
    for keyword in ("ContentSequence", "SegmentSequence", "PerFrameFunctionalGroupsSequence", "ReferencedSeriesSequence"):
        ds = deepcopy(GOOD[role])
        for item in ds.get(keyword, ()):
            for element in item:
                element.value = [] if element.VR == "SQ" else None
        assert all(isinstance(broken, Broken) for broken in check_foreign(ds, CASE.headers))
        if keyword in ds:
            ds[keyword].value = []
            assert check_foreign(ds, CASE.headers)


def test_the_rules_read_objects_of_others_without_failing() -> None:
    empty = Dataset()
    assert check(empty) == []
    empty.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.34"
    assert {"root", "procedure-reported"} <= {broken.rule for broken in check(empty)}
    empty.SOPClassUID = "1.2.840.10008.5.1.4.1.1.66.4"
    assert {"segment-per-frame", "no-empty-segment"} <= {broken.rule for broken in check(empty)}


def test_an_own_object_that_breaks_a_rule_never_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "check", lambda *_: [Broken("made-up", "is not so", "nowhere")])
    with pytest.raises(results.PermanentError, match="made-up"):
        documents(*CASE.arguments)


@pytest.mark.parametrize(
    ("rows", "columns", "spacing", "shift", "fits"),
    [
        (80, 112, 0.002, 0.0, True),  # the level itself
        (20, 28, 0.008, 0.0, True),
        (27, 38, 0.006, 0.0, True),  # the last pixels reach beyond it
        (26, 38, 0.006, 0.0, False),  # a row too few
        (28, 38, 0.006, 0.0, False),
        (20, 28, 0.006, 0.0, False),
        (20, 28, 0.008, 0.01, False),  # begins elsewhere
    ],
)
def test_a_map_of_a_slide_has_its_levels_matrix_or_covers_it_with_larger_pixels(
    rows: int, columns: int, spacing: float, shift: float, fits: bool
) -> None:
    (level,) = grids.slide()
    layers = np.ones((1, 1, 80, 112), np.uint8)
    (document,) = documents(*grids.case([level], Labels(layers, (str(level.SOPInstanceUID),)), outputs=("seg",)).arguments)
    ds = document.dataset
    ds.TotalPixelMatrixRows, ds.TotalPixelMatrixColumns = rows, columns
    ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [spacing, spacing]
    ds.TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem = 20 + shift
    (level,) = grids.slide()  # the former shares its elements with the object
    assert ("grid" not in {broken.rule for broken in check(ds, [level])}) is fits


def test_only_maps_of_slides_are_reduced_and_have_the_size_that_follows() -> None:
    (level,) = grids.slide()
    case = grids.case(
        [level], Labels(np.ones((1, 1, 20, 28), np.uint8), (str(level.SOPInstanceUID),), reduced=3), outputs=("seg",)
    )
    with pytest.raises(results.PermanentError, match="not of the size"):
        documents(*case.arguments)
    images = grids.series(1, 32, 32)
    uids = (str(images[0].SOPInstanceUID),)
    case = grids.case(images, Labels(np.ones((1, 1, 16, 16), np.uint8), uids, reduced=2), outputs=("seg",))
    with pytest.raises(results.PermanentError, match="Only maps of slides"):
        documents(*case.arguments)


@pytest.mark.parametrize(
    "keyword",
    ["SharedFunctionalGroupsSequence", "TotalPixelMatrixOriginSequence", "ImageOrientationSlide", "FrameOfReferenceUID"],
)
def test_nothing_is_laid_over_a_level_that_does_not_say_where_it_lies(keyword: str) -> None:
    (level,) = grids.slide()
    del level[keyword]
    case = grids.case([level], Labels(np.ones((1, 1, 80, 112), np.uint8), (str(level.SOPInstanceUID),)), outputs=("seg",))
    with pytest.raises(results.PermanentError, match="where its pixels lie"):
        documents(*case.arguments)
