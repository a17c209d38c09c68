"""An earlier report of the same patient: what is certainly the same is tracked and its change told; nothing else is."""

from copy import deepcopy
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from domain.results import Finding
from sr_writer.comparison import CHANGE, COMPARED, Comparison, compare
from sr_writer.context import Reference
from sr_writer.prior import Prior, read_prior
from sr_writer.results import documents
from tests.ct_series import Series
from tests.sr_writer import cases
from tests.sr_writer.reading import by_role, groups, named, tracking, walk


def earlier(role: str = "sr", scale: float = 1.0, seed: str = "before") -> Prior:
    case = scaled(cases.positive(Series(seed=seed)), scale)
    report = by_role(documents(*case.arguments))[role]
    report.StudyDate = "20250401"
    found = read_prior(report)
    assert found is not None
    return found


def scaled(case: cases.Case, scale: float) -> cases.Case:
    findings = tuple(
        replace(f, measurements=tuple(replace(m, value=m.value * scale) for m in f.measurements)) for f in case.analysis.findings
    )
    return replace(case, analysis=replace(case.analysis, findings=findings))


def words(comparison: Comparison, finding: Finding) -> str:
    (found,) = [f for f in comparison.analysis.findings if f.tracking_id == finding.tracking_id]
    return next((e.value.meaning for e in found.evaluations if e.name == COMPARED), "")


def test_a_report_reads_back_as_it_was_said() -> None:
    prior, case = earlier(), cases.positive(Series(seed="before"))
    assert prior.package_id == "chest-demo" and prior.answered and prior.study_date == "20250401"
    assert {f.tracking_id for f in case.analysis.findings} <= set(prior.findings)
    lung = prior.findings["chest-demo/left-lung/1"]
    assert lung.numbers["118565006", "SCT", "mm3", ""] == pytest.approx(case.analysis.findings[0].measurements[0].value)


@pytest.mark.parametrize(
    ("scale", "word", "percent"), [(0.5, "Increase in size", 100), (2, "Decrease in size", -50), (1.05, "No change", -4.76)]
)
def test_the_change_of_the_first_number_is_told_in_per_cent_and_in_a_code(scale: float, word: str, percent: float) -> None:
    case = cases.positive()
    found = compare(case.analysis, earlier(scale=scale), "20260101")
    lung = found.analysis.findings[0]
    assert words(found, lung) == word
    (change,) = [m for m in lung.measurements if m.name == CHANGE]
    assert change.value == pytest.approx(percent, abs=0.01) and change.unit.value == "%"
    assert any("2025-04-01" in note for note in found.analysis.notes)


def test_of_several_findings_under_one_name_none_is_matched_and_the_report_says_so() -> None:
    case = cases.positive()  # two opacities: chest-demo/opacity/1 and /2
    found = compare(case.analysis, earlier(scale=2), "20260101")
    assert {name.rpartition("/")[0] for name in found.tracking} == {
        "chest-demo/left-lung", "chest-demo/right-lung", "chest-demo/affected", "chest-demo",
    } - {"chest-demo"}  # fmt: skip
    opacities = [f for f in found.analysis.findings if "/opacity/" in f.tracking_id]
    assert len(opacities) == 2 and all(words(found, f) == "" for f in opacities)
    assert any("opacity" in note and "several" in note for note in found.analysis.notes)


def test_a_matched_finding_keeps_its_tracking_uid_in_reports_and_segmentation_and_names_the_time_point() -> None:
    prior, case = earlier(), cases.positive()
    found = compare(case.analysis, prior, "20260101")
    context = replace(
        case.context,
        tracking=found.tracking,
        time_points={name: (point.date, point.order) for name, point in found.points.items()},
        compared=((prior.study_uid, Reference(prior.sop_class_uid, prior.sop_instance_uid, prior.series_uid)),),
    )
    made = by_role(documents(found.analysis, case.algorithm, case.headers, context))
    lung = "chest-demo/left-lung/1"
    uid = prior.findings[lung].tracking_uid
    assert (lung, uid) in [tracking(g) for g in groups(made["sr"])]
    assert uid in [str(s.TrackingUID) for role in made if role.startswith("seg") for s in made[role].SegmentSequence]
    (group,) = [g for g in groups(made["sr"]) if tracking(g)[0] == lung]
    assert named(group, "C2348792")[0].TextValue == "20260101"
    assert float(named(group, "126073")[0].MeasuredValueSequence[0].NumericValue) == 2
    (other,) = made["sr"].PertinentOtherEvidenceSequence
    assert other.StudyInstanceUID == prior.study_uid != case.context.study_uid
    again = read_prior(made["sr"])
    assert again is not None and again.findings[lung].order == 2


def test_an_answer_that_is_none_is_neither_compared_nor_compared_with() -> None:
    declined = by_role(documents(*cases.not_analysed().arguments))["sr"]
    prior = read_prior(declined)
    assert prior is not None and not prior.answered
    case = cases.positive()
    assert compare(case.analysis, prior, "20260101").analysis is case.analysis
    nothing = cases.not_analysed().analysis
    assert compare(nothing, earlier(), "20260101").analysis is nothing


def test_a_number_that_was_nothing_before_has_no_percentage() -> None:
    prior = earlier(scale=0)
    found = compare(cases.positive().analysis, prior, "20260101")
    lung = found.analysis.findings[0]
    assert words(found, lung) == "Increase in size" and not [m for m in lung.measurements if m.name == CHANGE]


@cache
def negative_report() -> Dataset:
    return by_role(documents(*cases.negative().arguments))["sr"]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_report_is_read_without_an_exception(data: st.DataObject) -> None:
    report = deepcopy(negative_report())
    items = list(walk(report))
    for _ in range(data.draw(st.integers(1, 6))):
        victim: Dataset = data.draw(st.sampled_from([report, *items]))
        tags = [element.tag for element in victim]
        if not tags:
            continue
        tag = data.draw(st.sampled_from(tags))
        if data.draw(st.booleans()):
            del victim[tag]
        elif victim[tag].VR == "SQ":
            victim[tag].value = data.draw(st.sampled_from([[], [Dataset()]]))
        else:
            victim[tag]._value = data.draw(
                st.one_of(st.none(), st.text(max_size=5), st.binary(max_size=5), st.floats(), st.lists(st.text()))
            )
    read_prior(report)


def test_what_is_no_report_is_no_prior() -> None:
    assert read_prior(Dataset()) is None
    image = Series().datasets()[0]
    found = read_prior(image)
    assert found is None or (not found.answered and not found.findings)
