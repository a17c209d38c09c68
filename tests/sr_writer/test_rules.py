"""Every rule lets good objects pass and catches the fault it is there for."""

from collections.abc import Callable
from copy import deepcopy

import pytest
from pydicom.dataset import Dataset

from sr_writer import results
from sr_writer.results import documents
from sr_writer.rules import RULES, Broken, check
from tests.sr_writer import cases
from tests.sr_writer.reading import by_role, groups, named

CASE = cases.positive()
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


FAULTS: list[tuple[str, str, Callable[[Dataset], None]]] = [
    ("root", "sr", rename_root),
    ("procedure-reported", "sr", lambda ds: drop(ds, "121058")),
    ("device-observer", "sr", lambda ds: drop(ds, "121012")),
    ("tracked", "sr", lambda ds: drop(last(ds), "112039")),
    ("tracked", "sr-volumetric", lambda ds: drop(last(ds), "112040")),
    ("tracked-once", "sr", share_tracking),
    ("tracking-first", "sr", foreign_uid_first),
    ("units", "sr", empty_unit),
    ("units", "sr", no_number),
    ("coordinates", "sr", open_outline),
    ("coordinates", "sr", region_without_image),
    ("no-rectangle", "sr", rectangle),
    ("planar-region", "sr", second_region),
    ("drawable", "sr", lambda ds: drop(groups(ds)[0], "111030")),
    ("volumetric-alone", "sr", volume_beside_outline),
    ("inside", "sr", outside),
    ("evidence", "sr-volumetric", unlisted),
    ("status", "sr", partial),
    ("segment-per-frame", "seg", shared_identification),
    ("colour", "seg", colourless),
    ("no-empty-segment", "seg", empty_segment),
    ("binary", "seg", fractional),
    ("referenced-series", "seg", no_series),
    ("derivation", "seg", no_source),
    ("segments-tracked", "seg", untracked_segment),
    ("frame-of-reference", "seg", other_frame_of_reference),
    ("grid", "seg", other_grid),
    ("series-description", "sr", nameless_series),
    ("study", "seg", other_study),
    ("contributing-equipment", "sr", no_processing),
]


@pytest.mark.parametrize("role", GOOD)
def test_good_objects_break_no_rule(role: str) -> None:
    assert check(GOOD[role], CASE.headers) == []


@pytest.mark.parametrize(("rule", "role", "spoil"), FAULTS, ids=[f"{r}-{i}" for i, (r, _, _) in enumerate(FAULTS)])
def test_each_fault_is_caught_by_its_rule(rule: str, role: str, spoil: Callable[[Dataset], None]) -> None:
    ds = deepcopy(GOOD[role])
    spoil(ds)
    assert rule in {broken.rule for broken in check(ds, CASE.headers)}


def test_every_rule_has_a_fault_here_a_reason_and_a_source() -> None:
    assert {rule.name for rule in RULES} == {name for name, _, _ in FAULTS}
    assert all(rule.reason and rule.source for rule in RULES)


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
