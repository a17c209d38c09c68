"""What is sent for each kind of answer, and what every object carries."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.tag import Tag

from domain.errors import PermanentError, Reason
from domain.jobs import Outcome
from domain.results import Code, Finding, Measurement
from sr_writer.codes import REASONS, SUMMARIES
from sr_writer.context import Reference
from sr_writer.results import documents
from tests.ct_series import Series, part10
from tests.sr_writer import cases
from tests.sr_writer.reading import by_role, groups, named, template, tracking, walk

SR_3D = "1.2.840.10008.5.1.4.1.1.88.34"


def test_a_positive_answer_is_a_seg_a_report_of_outlines_and_a_report_of_volumes_each_in_its_own_series() -> None:
    made = by_role(documents(*cases.positive().arguments))
    assert list(made) == ["seg", "seg-2", "sr", "sr-volumetric"]
    assert len({ds.SeriesInstanceUID for ds in made.values()}) == 4
    assert [template(g) for g in groups(made["sr"])] == ["1501", "1501", "1410", "1410", "1410", "1410"]
    assert [template(g) for g in groups(made["sr-volumetric"])] == ["1411"] * 4
    assert {int(ds.SeriesNumber) for ds in made.values()} == {9020, 9021, 9022, 19021}


def test_every_group_of_the_main_report_has_coordinates_on_an_image_that_is_listed_as_evidence() -> None:
    report = by_role(documents(*cases.positive().arguments))["sr"]
    listed = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    for group in groups(report):
        (region,) = named(group, "111030")
        assert region.ValueType == "SCOORD"
        (image,) = region.ContentSequence
        assert image.ValueType == "IMAGE" and image.RelationshipType == "SELECTED FROM"
        uid = image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        assert uid in {item.ReferencedSOPInstanceUID for item in listed}


def test_the_outline_is_written_point_by_point_as_it_was_found() -> None:
    case = cases.positive(numbers=(3,))
    points = np.array([[1, 1], [9, 2], [12.5, 7], [8, 11.25], [3, 10], [1, 6], [1, 1]], float)
    finding = replace(case.analysis.findings[0], outline=replace(case.analysis.findings[0].outline, points=points))
    report = by_role(documents(replace(case.analysis, findings=(finding,)), *case.arguments[1:]))["sr"]
    (region,) = named(groups(report)[-1], "111030")
    assert [float(v) for v in region.GraphicData] == points.ravel().tolist()


@pytest.mark.parametrize(
    "corners", [[[1, 1], [9, 1], [5, 8]], [[1, 1], [9, 1], [9, 8], [1, 8]], [[1, 1], [9, 1], [5, 8], [1, 1]]]
)
def test_an_outline_that_a_viewer_could_take_for_its_rectangle_tool_gets_more_points_on_the_same_edges(
    corners: list[list[int]],
) -> None:
    case = cases.positive(numbers=(3,))
    finding = replace(
        case.analysis.findings[0], outline=replace(case.analysis.findings[0].outline, points=np.array(corners, float))
    )
    report = by_role(documents(replace(case.analysis, findings=(finding,)), *case.arguments[1:]))["sr"]
    data = np.array(named(groups(report)[-1], "111030")[0].GraphicData, float).reshape(-1, 2)
    assert len(data) > 5 and (data[0] == data[-1]).all()
    assert {tuple(c) for c in corners} <= {tuple(p) for p in data.tolist()}
    assert shoelace(data) == pytest.approx(shoelace(np.array(corners, float)))


def shoelace(points: np.ndarray) -> float:
    x, y = points[:, 0], points[:, 1]
    return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2)


def test_numbers_of_the_whole_finding_say_so_where_only_an_outline_is_drawn() -> None:
    report = by_role(documents(*cases.positive(numbers=(3,)).arguments))["sr"]
    numbers = {i.ConceptNameCodeSequence[0].CodeMeaning: i for i in groups(report)[-1].ContentSequence if i.ValueType == "NUM"}
    assert "ContentSequence" not in numbers["Area"]
    (method,) = named(numbers["Volume"], "370129005")
    assert method.ConceptCodeSequence[0].CodeMeaning == "Whole finding, all slices"
    assert numbers["Volume"].MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "mm3"


def test_numbers_about_the_study_say_so_beside_the_frame() -> None:
    report = by_role(documents(*cases.negative().arguments))["sr"]
    (number,) = [i for i in groups(report)[1].ContentSequence if i.ValueType == "NUM"]
    assert named(number, "370129005")[0].ConceptCodeSequence[0].CodeValue == "WHOLE_STUDY"
    assert float(number.MeasuredValueSequence[0].NumericValue) == 0.0


def test_volumes_refer_to_the_segments_of_the_seg_and_share_tracking_with_the_outlines() -> None:
    made = by_role(documents(*cases.positive().arguments))
    segs = {made[role].SOPInstanceUID: made[role] for role in ("seg", "seg-2")}
    for group in groups(made["sr-volumetric"]):
        reference = named(group, "121191")[0].ReferencedSOPSequence[0]
        seg = segs[reference.ReferencedSOPInstanceUID]
        (segment,) = [s for s in seg.SegmentSequence if s.SegmentNumber == int(reference.ReferencedSegmentNumber)]
        assert (segment.TrackingID, segment.TrackingUID) == tracking(group)
        assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == named(group, "121232")[0].UID
    listed = made["sr-volumetric"].CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert set(segs) <= {instance.ReferencedSOPInstanceUID for series in listed for instance in series.ReferencedSOPSequence}
    assert {tracking(g) for g in groups(made["sr-volumetric"])} < {tracking(g) for g in groups(made["sr"])}


def test_a_finding_whose_numbers_are_all_of_its_outline_is_told_once() -> None:
    case = cases.positive(numbers=(3, 5))
    findings = tuple(replace(finding, measurements=()) for finding in case.analysis.findings)
    told = replace(case, analysis=replace(case.analysis, findings=findings))
    assert "sr-volumetric" not in by_role(documents(*told.arguments))
    unseen = (findings[0], replace(findings[1], outline=None))
    only = by_role(documents(*replace(told, analysis=replace(told.analysis, findings=unseen)).arguments))["sr-volumetric"]
    assert [tracking(group)[0] for group in groups(only)] == [findings[1].tracking_id]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (cases.positive(), "AI findings: "),
        (cases.negative(), "AI no findings: "),
        (cases.not_analysed(), "AI NOT ANALYSED: "),
        (cases.failed(), "AI FAILED: "),
    ],
    ids=["positive", "negative", "not analysed", "failed"],
)
def test_the_answer_stands_first_in_the_report_in_code_and_words_and_in_the_series_description(
    case: cases.Case, words: str
) -> None:
    report = by_role(documents(*case.arguments))["sr"]
    expected = SUMMARIES[case.analysis.outcome].value
    first = groups(report)[0]
    assert named(first, "111017")[0].ConceptCodeSequence[0].CodeValue == expected
    (whole,) = named(report, "C0034375")
    assert named(whole, "111017")[0].ConceptCodeSequence[0].CodeValue == expected
    assert named(whole, "121077")[0].TextValue == case.analysis.summary
    assert [i.TextValue for i in named(whole, "121106")] == [*case.analysis.notes, case.algorithm.disclaimer]
    assert report.SeriesDescription.startswith(words) and report.SeriesDescription.endswith("research use")


@pytest.mark.parametrize("case", [cases.negative(), cases.not_analysed(), cases.failed()], ids=lambda c: c.analysis.outcome.value)
def test_an_answer_without_findings_is_one_report_and_no_seg(case: cases.Case) -> None:
    made = by_role(documents(*case.arguments))
    assert list(made) == ["sr"]
    assert {template(g) for g in groups(made["sr"])} == {"1501"}


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_code_that_fits_and_reaches_the_report(reason: Reason) -> None:
    case = cases.not_analysed()
    report = by_role(documents(replace(case.analysis, reason=reason), *case.arguments[1:]))["sr"]
    (item,) = named(groups(report)[0], "REASON")
    assert item.ConceptCodeSequence[0].CodeValue == REASONS[reason].value
    assert len(REASONS[reason].value) <= 16
    assert report.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99ANCILLA"


def test_a_study_without_any_image_still_gets_its_answer_and_no_group_that_viewers_fail_on() -> None:
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.11", "1.2.3.4"
    header.StudyInstanceUID, header.SeriesInstanceUID = "1.2.3", "1.2.3.1"
    case = cases.not_analysed()
    context = replace(case.context, study_uid="1.2.3")
    analysis = replace(case.analysis, series_uid="1.2.3.1", reason=Reason.NO_IMAGES)
    report = by_role(documents(analysis, case.algorithm, [header], context))["sr"]
    assert not groups(report) and named(named(report, "C0034375")[0], "REASON")


def test_no_header_at_all_is_an_error_because_nobody_could_be_named() -> None:
    case = cases.not_analysed()
    with pytest.raises(PermanentError, match="header"):
        documents(case.analysis, case.algorithm, [], case.context)


def test_the_second_revision_names_the_first_and_keeps_tracking_uids() -> None:
    first = by_role(documents(*cases.positive().arguments))
    references = tuple(Reference(str(ds.SOPClassUID), str(ds.SOPInstanceUID), str(ds.SeriesInstanceUID)) for ds in first.values())
    second = by_role(documents(*cases.positive(revision=2, input_digest="cd" * 32, predecessors=references).arguments))
    for role in ("sr", "sr-volumetric"):
        (study,) = second[role].PredecessorDocumentsSequence
        named_uids = {i.ReferencedSOPInstanceUID for s in study.ReferencedSeriesSequence for i in s.ReferencedSOPSequence}
        assert named_uids == {first["sr"].SOPInstanceUID, first["sr-volumetric"].SOPInstanceUID}
        assert [tracking(g) for g in groups(second[role])] == [tracking(g) for g in groups(first[role])]
    assert not {ds.SOPInstanceUID for ds in first.values()} & {ds.SOPInstanceUID for ds in second.values()}
    assert not {ds.SeriesInstanceUID for ds in first.values()} & {ds.SeriesInstanceUID for ds in second.values()}


@pytest.mark.parametrize(("outputs", "roles"), [(("sr",), ["sr"]), (("seg",), ["seg", "seg-2"]), ((), [])])
def test_only_what_was_asked_for_is_made(outputs: tuple[str, ...], roles: list[str]) -> None:
    assert list(by_role(documents(*cases.positive(outputs=outputs).arguments))) == roles


def test_without_a_seg_a_finding_that_has_no_outline_is_told_in_the_main_report() -> None:
    case = cases.positive(numbers=(3, 5), outputs=("sr",))
    bare = replace(case.analysis.findings[1], outline=None)
    report = by_role(documents(replace(case.analysis, findings=(case.analysis.findings[0], bare)), *case.arguments[1:]))["sr"]
    (group,) = [g for g in groups(report) if tracking(g)[0] == bare.tracking_id]
    assert template(group) == "1501"
    assert any(i.ValueType == "NUM" and i.ConceptNameCodeSequence[0].CodeMeaning == "Volume" for i in group.ContentSequence)


def test_who_speaks_about_what_is_told_by_observer_procedure_and_equipment() -> None:
    case = cases.positive()
    for role, ds in by_role(documents(*case.arguments)).items():
        items = ds.ContributingEquipmentSequence
        ours = next(i for i in items if i.PurposeOfReferenceCodeSequence[0].CodeValue == "109102")
        assert (ours.DeviceUID, ours.SoftwareVersions) == (case.context.device_uid, case.algorithm.version)
        assert (ours.Manufacturer, ours.ManufacturerModelName) == (case.algorithm.manufacturer, case.algorithm.name)
        assert ours.ContributionDescription == case.algorithm.disclaimer
        if not role.startswith("seg"):
            assert named(ds, "121005")[0].ConceptCodeSequence[0].CodeValue == "121007"
            assert case.context.device_uid == named(ds, "121012")[0].UID
            assert named(ds, "121058")[0].ConceptCodeSequence[0].CodeValue == case.algorithm.procedure.value
            assert (ds.CompletionFlag, ds.VerificationFlag, ds.SOPClassUID) == ("COMPLETE", "UNVERIFIED", SR_3D)
            assert not [i for i in walk(ds) if i.ValueType == "PNAME"]


def test_times_are_the_start_of_the_analysis_on_its_own_clock() -> None:
    for ds in by_role(documents(*cases.positive().arguments)).values():
        assert (ds.ContentDate, ds.ContentTime, ds.TimezoneOffsetFromUTC) == ("20260304", "093015.250000", "+0100")
        assert (ds.InstanceCreationDate, ds.InstanceCreationTime) == (ds.ContentDate, ds.ContentTime)


def test_times_follow_the_clock_of_the_images_when_these_say_which_it_is() -> None:
    case = cases.positive(Series(tags={"TimezoneOffsetFromUTC": "+0800"}))
    for ds in by_role(documents(*case.arguments)).values():
        assert (ds.ContentTime, ds.TimezoneOffsetFromUTC) == ("163015.250000", "+0800")


def test_patient_and_study_are_copied_unchanged_whatever_they_look_like() -> None:
    def strange(ds: Dataset) -> None:
        ds.PatientID, ds.IssuerOfPatientID, ds.PatientSex, ds.StudyID = "0007 ", "General^&", "O", "77"
        ds.AccessionNumber, ds.ReferringPhysicianName = "ACC-9", "Referring^Doctor"
        request = Dataset()
        request.StudyInstanceUID, request.AccessionNumber, request.RequestedProcedureID = ds.StudyInstanceUID, "ACC-9", "RP1"
        request.PlacerOrderNumberImagingServiceRequest = request.FillerOrderNumberImagingServiceRequest = ""
        request.RequestedProcedureDescription, request.RequestedProcedureCodeSequence = "CT", []
        request.ReferencedStudySequence = []
        ds.ReferencedRequestSequence = [request]

    case = cases.positive(Series(change=strange))
    source = case.headers[0]
    keywords = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientSex", "PatientBirthDate", "StudyID", "StudyDate")
    keywords += ("StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyInstanceUID")
    for role, ds in by_role(documents(*case.arguments)).items():
        assert {k: str(ds[k].value).rstrip() for k in keywords} == {k: str(source[k].value).rstrip() for k in keywords}
        assert role.startswith("seg") or ds.ReferencedRequestSequence[0].RequestedProcedureID == "RP1"


def test_a_header_without_patient_and_study_attributes_gets_empty_ones() -> None:
    def bare(ds: Dataset) -> None:
        for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber", "ReferringPhysicianName"):
            del ds[keyword]
        del ds.SliceThickness

    for ds in by_role(documents(*cases.positive(Series(change=bare)).arguments)).values():
        assert ds.PatientSex == "" and "PatientName" in ds and "StudyID" in ds


def test_values_a_library_would_refuse_do_not_stop_an_answer() -> None:
    def odd(ds: Dataset) -> None:
        ds.PatientSex = "UNKNOWN"

    assert {ds.PatientSex for ds in by_role(documents(*cases.positive(Series(change=odd)).arguments)).values()} == {"UNKNOWN"}


def test_impossible_values_and_unknown_classes_of_images_do_not_stop_an_answer() -> None:
    case = cases.not_analysed()
    stream = io.BytesIO(
        part10(Series(slices=1).datasets()[0]).replace(b"1.2.840.10008.5.1.4.1.1.2\x00", b"1.2.840.99999.5.1.4.1.1.2\x00")
    )
    header = pydicom.dcmread(stream, stop_before_pixels=True)
    header[0x00280008] = RawDataElement(Tag(0x00280008), "IS", 2, b"1A", 0, False, True)
    header[0x00280030] = RawDataElement(Tag(0x00280030), "DS", 4, b"a\\b ", 0, False, True)
    report = by_role(documents(case.analysis, case.algorithm, [header], case.context))["sr"]
    assert (
        named(groups(report)[0], "111030")[0].ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPClassUID
        == header.SOPClassUID
    )
    assert header.SOPClassUID.startswith("1.2.840.99999")


def test_a_long_model_name_leaves_the_kind_of_use_in_the_series_description() -> None:
    case = cases.positive()
    algorithm = replace(
        case.algorithm, name="A very long name of a model that nobody will ever read to the end, version for chest"
    )
    for ds in by_role(documents(case.analysis, algorithm, case.headers, case.context)).values():
        assert len(ds.SeriesDescription) <= 64 and ds.SeriesDescription.endswith(", research use")
        assert len(ds.ManufacturerModelName) <= 64


def test_a_number_that_is_none_is_an_error_and_not_a_number_in_a_report() -> None:
    case = cases.negative()
    broken = replace(case.analysis.statements[0], measurements=(Measurement(cases.RATIO, float("nan"), cases.PERCENT),))
    with pytest.raises(PermanentError, match="finite"):
        documents(replace(case.analysis, statements=(broken,)), *case.arguments[1:])


def test_an_outline_beside_its_image_or_on_an_unknown_one_is_an_error() -> None:
    case = cases.positive(numbers=(3,))
    finding = case.analysis.findings[0]
    assert finding.outline is not None
    for outline in (
        replace(finding.outline, points=finding.outline.points + 60),
        replace(finding.outline, sop_instance_uid="1.2"),
    ):
        with pytest.raises(PermanentError):
            documents(replace(case.analysis, findings=(replace(finding, outline=outline),)), *case.arguments[1:])


def test_a_code_that_dicom_cannot_hold_is_an_error() -> None:
    case = cases.negative()
    for code in (Code("", "SCT", "x"), Code("1", "SCT", "x" * 65)):
        with pytest.raises(PermanentError, match="code"):
            documents(replace(case.analysis, findings=(Finding("a/b/1", code),)), *case.arguments[1:])


def test_images_are_not_changed_by_being_written_about() -> None:
    case = cases.positive()
    before = [h.to_json() for h in case.headers]
    documents(*case.arguments)
    assert [h.to_json() for h in case.headers] == before
    assert case.analysis.outcome is Outcome.POSITIVE


@pytest.mark.data
def test_real_headers_of_every_kind_get_an_answer_with_their_patient_unchanged(real_images: Path) -> None:
    case, answered = cases.not_analysed(), 0
    for path in sorted((real_images / "dicom").rglob("*")):
        header = read(path)
        if header is None or not header.get("StudyInstanceUID") or not header.get("SOPInstanceUID"):
            continue
        analysis = replace(case.analysis, series_uid=str(header.get("SeriesInstanceUID", "")))
        context = replace(case.context, study_uid=str(header.StudyInstanceUID))
        report = by_role(documents(analysis, case.algorithm, [header], context))["sr"]
        assert (str(report.PatientName), str(report.PatientID)) == (
            str(header.get("PatientName", "")),
            str(header.get("PatientID", "")),
        )
        answered += 1
    assert answered > 300


def read(path: Path) -> Dataset | None:
    if not path.is_file():
        return None
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        return header if header.get("StudyInstanceUID") else None
    except (InvalidDicomError, EOFError, ValueError, AttributeError, KeyError, TypeError, OSError, NotImplementedError):
        return None
