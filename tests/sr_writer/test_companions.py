"""The companions show the same answer in other forms, and software that is not ours reads each of them."""

import io
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from domain.errors import PermanentError
from domain.jobs import Outcome
from domain.results import Finding, Labels
from sr_writer.page_words import PAGES
from sr_writer.picture import sheets
from sr_writer.results import documents
from sr_writer.telling import DISCLAIMER
from sr_writer.words import LANGUAGES
from tests import peers
from tests.ct_series import Series, part10
from tests.sr_writer import cases, colour_cases
from tests.sr_writer.reading import by_role, saved, walk
from tests.sr_writer.test_peers import PIXELMED, run

ALL = ("sr", "sc", "gsps", "pdf", "ann", "kos")
OTHERS = ALL[1:]
# What dciodvfy says about good objects, and why it is no fault.
NOISE = (
    "DeviceUID", "Device UID",  # (0018,1002) in Contributing Equipment is newer (CP 1891) than this dicom3tools
    "Standard Extended SOP Class",  # follows from it
    "attribute <Laterality>",  # whether the body part is paired is unknown: the attribute is there and empty
    "CommonZCoordinateValue",  # is not in the file; this version takes it for empty
    "Unrecognized defined term <99",  # private coding schemes are private
)  # fmt: skip

STATEMENT = cases.positive().analysis.statements[0]


def made(case: cases.Case) -> dict[str, Dataset]:
    return by_role(documents(*case.arguments))


def complaints(ds: Dataset, folder: Path) -> list[str]:
    file = folder / "object.dcm"
    file.write_bytes(part10(ds))
    done = subprocess.run([peers.program("dciodvfy"), file], capture_output=True, text=True, errors="replace", check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return [line for line in lines if line.startswith(("Error", "Warning")) and not any(noise in line for noise in NOISE)]


@pytest.mark.peer
@pytest.mark.parametrize(
    "case",
    [
        cases.positive(outputs=OTHERS),
        cases.negative(outputs=OTHERS),
        cases.not_analysed(outputs=OTHERS),
        cases.failed(outputs=OTHERS),
        colour_cases.microscope(crops=6, outputs=OTHERS),
        colour_cases.without_pixels(colour_cases.loop(outputs=OTHERS)),
        colour_cases.slide(outputs=OTHERS),
    ],
    ids=["positive", "negative", "not-analysed", "failed", "microscope", "loop", "slide"],
)
def test_dciodvfy_finds_no_fault_in_any_companion(case: cases.Case, tmp_path: Path) -> None:
    found = {role: complaints(ds, tmp_path) for role, ds in made(case).items()}
    assert {role: lines for role, lines in found.items() if lines} == {}


def test_every_companion_has_the_patient_and_study_of_the_images_and_says_what_it_may_be_used_for() -> None:
    case = colour_cases.microscope(outputs=OTHERS)
    found = made(case)
    assert list(found) == ["sc-1", "gsps-1", "pdf", "ann-1", "kos"]
    for role, ds in found.items():
        assert (ds.PatientID, ds.StudyInstanceUID) == ("TEST-1", case.context.study_uid)
        assert ds.SeriesDescription == "AI findings: Chest CT opacities, research use", role
        assert "Ancilla" in [item.Manufacturer for item in ds.ContributingEquipmentSequence]
    numbers = {role: int(ds.SeriesNumber) for role, ds in found.items()}
    assert numbers == {"sc-1": 9025, "gsps-1": 9024, "pdf": 9026, "ann-1": 9027, "kos": 9028}
    assert len({ds.SeriesInstanceUID for ds in found.values()}) == 5


def test_the_same_analysis_gives_the_same_bytes_in_every_companion() -> None:
    first, second = ([saved(d) for d in documents(*colour_cases.microscope(crops=6, outputs=OTHERS).arguments)] for _ in range(2))
    assert first == second


# pictures


def test_a_picture_is_one_frame_of_rgb_with_the_source_image_named_and_no_ruler() -> None:
    case = cases.positive(outputs=("sc",))
    ds = made(case)["sc-1"]
    assert (ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.BitsAllocated) == (3, "RGB", 8)
    assert "NumberOfFrames" not in ds and "PixelSpacing" not in ds and ds.BurnedInAnnotation == "NO"
    assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == case.analysis.key_images[0].sop_instance_uid
    assert DISCLAIMER in ds.ImageComments and case.analysis.summary in ds.ImageComments
    for segment in case.analysis.segments:
        assert (ds.pixel_array == segment.colour).all(axis=2).any()


def test_a_lossy_or_burned_in_source_stays_known_as_such() -> None:
    case = cases.positive(Series(tags={"LossyImageCompression": "01", "LossyImageCompressionRatio": "8.0",
                                       "LossyImageCompressionMethod": "ISO_10918_1", "BurnedInAnnotation": "YES"}),
                          outputs=("sc",))  # fmt: skip
    ds = made(case)["sc-1"]
    assert (ds.LossyImageCompression, ds.LossyImageCompressionRatio, ds.BurnedInAnnotation) == ("01", 8.0, "YES")


def test_each_key_image_has_a_picture_of_its_own_and_many_crops_share_a_gallery() -> None:
    few, many = colour_cases.microscope(crops=3), colour_cases.microscope(crops=20)
    assert [len(keys) for _, keys in sheets(few.analysis, {}, "model")] == [1, 1, 1, 1]
    assert [len(keys) for _, keys in sheets(many.analysis, {}, "model")] == [1, 16, 4]
    found = made(replace(many, context=replace(many.context, outputs=("sc",))))
    assert list(found) == ["sc-1", "sc-2", "sc-3"]
    assert [int(ds.InstanceNumber) for ds in found.values()] == [1, 2, 3]
    assert len({ds.SeriesInstanceUID for ds in found.values()}) == 1
    assert len(found["sc-2"].SourceImageSequence) == 1


def test_a_reduced_region_in_colour_is_drawn_on_at_the_right_place() -> None:
    """The mark lies at (200, 105) of 800 x 600; the key image shows all of it at half the size."""
    analysis = replace(colour_cases.microscope().analysis, marks=())
    (sheet, _), *_ = sheets(analysis, {}, "model")
    pixels = np.asarray(sheet)[:576, :768].astype(int)
    rod = (np.abs(pixels - (255, 220, 0)).sum(axis=2) < 60).nonzero()
    assert abs(rod[1].min() - 200 * 0.96) < 4 and abs(rod[1].max() - 240 * 0.96) < 4
    assert abs(rod[0].min() - 100 * 0.96) < 4 and abs(rod[0].max() - 110 * 0.96) < 4


def test_a_segment_of_one_frame_is_not_seen_on_another() -> None:
    case = colour_cases.loop()
    (right, _), *_ = sheets(case.analysis, {}, "model")
    wrong_key = replace(case.analysis.key_images[0], frame=1)
    (wrong, _), *_ = sheets(replace(case.analysis, key_images=(wrong_key,)), {}, "model")
    colour = case.analysis.segments[0].colour
    assert (np.asarray(right)[:512, :768] == colour).all(axis=2).any()
    assert not (np.asarray(wrong)[:512, :768] == colour).all(axis=2).any()


@pytest.mark.parametrize("case", [cases.not_analysed(outputs=("sc",)), cases.failed(outputs=("sc",))])
def test_an_answer_without_an_image_is_one_page_of_words(case: cases.Case) -> None:
    found = made(case)
    assert list(found) == ["sc-1"]
    assert "SourceImageSequence" not in found["sc-1"]
    assert (found["sc-1"].pixel_array > 100).any(), "something is written on it"


# presentation states


@pytest.mark.peer
def test_dcmtk_draws_nothing_it_does_not_understand_and_reads_every_graphic(tmp_path: Path) -> None:
    series = Series()
    case = cases.positive(series, outputs=("gsps",))
    state = tmp_path / "state.dcm"
    state.write_bytes(saved(documents(*case.arguments)[0]))
    key = case.analysis.key_images[0].sop_instance_uid
    image = tmp_path / "image.dcm"
    image.write_bytes(part10(next(ds for ds in series.datasets() if key == ds.SOPInstanceUID)))
    picture = tmp_path / "out.pgm"
    command = [peers.program("dcmp2pgm"), "-d", "-p", state, image, picture]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=True)
    said = done.stdout + done.stderr
    assert picture.stat().st_size > 1000
    assert not [line for line in said.splitlines() if line.startswith(("E:", "F:"))]
    for words in ("1 Left lung: 563,000 mm", "4 Opacity right", DISCLAIMER, "AI_1"):
        assert words in said, said


def test_a_state_has_a_layer_per_colour_the_outlines_and_the_window_of_each_key_image() -> None:
    case = cases.positive(outputs=("gsps",))
    key = replace(case.analysis.key_images[0], window=(-600.0, 1500.0))
    ds = made(replace(case, analysis=replace(case.analysis, key_images=(key,))))["gsps-1"]
    assert [item.GraphicLayer for item in ds.GraphicLayerSequence] == ["AI_1", "AI_2", "AI_3", "AI_4"]
    shown = [
        a for a in ds.GraphicAnnotationSequence if a.ReferencedImageSequence[0].ReferencedSOPInstanceUID == key.sop_instance_uid
    ]
    drawn = [np.array(g.GraphicData).reshape(-1, 2) for a in shown for g in a.GraphicObjectSequence]
    for finding, points in zip(case.analysis.findings, drawn, strict=True):
        assert finding.outline is not None
        np.testing.assert_array_equal(points, finding.outline.points)
    assert (ds.SoftcopyVOILUTSequence[0].WindowCenter, ds.SoftcopyVOILUTSequence[0].WindowWidth) == (-600, 1500)
    assert (ds.RescaleIntercept, ds.RescaleSlope, ds.PresentationLUTShape) == (-1024, 1, "IDENTITY")
    area = ds.DisplayedAreaSelectionSequence[0]
    assert list(area.DisplayedAreaBottomRightHandCorner) == [64, 64]


def test_every_slice_of_a_segment_is_contoured_in_its_colour_and_window() -> None:
    case = cases.positive(numbers=(3,), outputs=("gsps",))
    key = replace(case.analysis.key_images[0], window=(-600.0, 1500.0))
    analysis = replace(case.analysis, key_images=(key,))
    ds = made(replace(case, analysis=analysis))["gsps-1"]
    assert analysis.labels is not None
    mask = analysis.labels.mask(3)
    expected = {uid for uid, plane in zip(analysis.labels.sop_instance_uids, mask, strict=True) if plane.any()}
    drawn = {
        a.ReferencedImageSequence[0].ReferencedSOPInstanceUID: np.array(a.GraphicObjectSequence[0].GraphicData).reshape(-1, 2)
        for a in ds.GraphicAnnotationSequence
    }
    assert set(drawn) == expected == listed(ds) and len(expected) > 2
    assert {item.WindowCenter for item in ds.SoftcopyVOILUTSequence} == {-600} and len(ds.SoftcopyVOILUTSequence) == len(expected)
    index = next(n for n, uid in enumerate(analysis.labels.sop_instance_uids) if uid in expected and uid != key.sop_instance_uid)
    x, y = drawn[analysis.labels.sop_instance_uids[index]].T
    assert abs((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2) == mask[index].sum()


def listed(ds: Dataset) -> set[str]:
    return {i.ReferencedSOPInstanceUID for s in ds.ReferencedSeriesSequence for i in s.ReferencedImageSequence}


def test_a_state_over_colour_has_a_profile_the_axes_and_the_marks() -> None:
    case = colour_cases.microscope(count=50, outputs=("gsps",))
    ds = made(case)["gsps-1"]
    assert ds.SOPClassUID == pydicom.uid.ColorSoftcopyPresentationStateStorage
    assert ds.ICCProfile[36:40] == b"acsp" and "RescaleSlope" not in ds
    graphics = [g for a in ds.GraphicAnnotationSequence for g in a.get("GraphicObjectSequence", ())]
    assert [g.GraphicType for g in graphics].count("POINT") == 50
    assert [len(g.GraphicData) for g in graphics if g.GraphicType == "POLYLINE"] == [10, 4, 10]


def test_a_state_over_a_loop_names_the_frame_everywhere() -> None:
    ds = made(colour_cases.without_pixels(colour_cases.loop(outputs=("gsps",))))["gsps-1"]
    references = [
        ds.ReferencedSeriesSequence[0].ReferencedImageSequence[0],
        ds.DisplayedAreaSelectionSequence[0].ReferencedImageSequence[0],
        *(a.ReferencedImageSequence[0] for a in ds.GraphicAnnotationSequence),
    ]
    assert {item.ReferencedFrameNumber for item in references} == {2}


def test_a_state_over_a_slide_speaks_of_its_total_pixel_matrix() -> None:
    found = made(colour_cases.slide(outputs=("gsps", "ann")))
    ds = found["gsps-1"]
    assert list(ds.DisplayedAreaSelectionSequence[0].DisplayedAreaBottomRightHandCorner) == [2000, 1500]
    graphics = [g for a in ds.GraphicAnnotationSequence for g in a.get("GraphicObjectSequence", ())]
    assert {g.GraphicAnnotationUnits for g in graphics} == {"MATRIX"}
    assert [1900.0, 1400.0] in [list(g.GraphicData) for g in graphics]
    assert "ReferencedFrameNumber" not in ds.ReferencedSeriesSequence[0].ReferencedImageSequence[0]
    assert found["ann-1"].PixelOriginInterpretation == "VOLUME"


def test_a_reduced_map_as_large_as_a_tile_is_not_taken_for_contours_of_the_image() -> None:
    case = colour_cases.slide(outputs=("gsps",))
    (image,), segment = case.headers, cases.SEGMENTS[2]
    layers = np.zeros((1, 1, 256, 256), np.uint8)
    layers[0, 0, 10:50, 10:50] = segment.number
    finding = Finding("slide/part/1", segment.type, segment=segment.number)
    labels = Labels(layers, (str(image.SOPInstanceUID),), reduced=8)
    analysis = replace(case.analysis, segments=(segment,), findings=(finding,), marks=(), labels=labels)
    drawn = made(replace(case, analysis=analysis))
    assert not [
        g for ds in drawn.values() for a in ds.get("GraphicAnnotationSequence", ()) for g in a.get("GraphicObjectSequence", ())
    ]


@pytest.mark.peer
def test_dcmtk_reads_a_state_over_a_loop_and_shows_the_frame(tmp_path: Path) -> None:
    case = colour_cases.loop(outputs=("gsps",))
    image, state, picture = (tmp_path / name for name in ("image.dcm", "state.dcm", "out.pgm"))
    image.write_bytes(part10(case.headers[0]))
    state.write_bytes(saved(documents(*colour_cases.without_pixels(case).arguments)[0]))
    command = [peers.program("dcmp2pgm"), "-d", "-f", "2", "-p", state, image, picture]
    said = subprocess.run(command, capture_output=True, text=True, errors="replace", check=True)
    assert sum(value > 0 for value in picture.read_bytes()[-96 * 64 :]) == 20 * 30, "the bright box of frame 2"
    assert not [line for line in (said.stdout + said.stderr).splitlines() if line.startswith(("E:", "F:"))]


def test_images_of_different_rescale_get_states_of_their_own() -> None:
    case = cases.positive(outputs=("gsps",))
    other = case.headers[2]
    other.RescaleSlope = "2.5"
    keys = (*case.analysis.key_images, replace(case.analysis.key_images[0], sop_instance_uid=str(other.SOPInstanceUID)))
    found = made(replace(case, analysis=replace(case.analysis, key_images=keys)))
    assert {float(ds.RescaleSlope) for ds in found.values()} == {1.0, 2.5}
    assert sorted(found) == ["gsps-1", "gsps-2"]


# pages


@pytest.mark.peer
@pytest.mark.parametrize(
    ("summary", "language"),
    [
        ("Trübungen in beiden Lungen, 12,4 % des Lungenvolumens.", "de"),
        ("Opacidades en ambos pulmones: 12,4 % del volumen. ¿Señal?", "es"),
        ("双肺可见磨玻璃影，占肺体积的百分之十二。", "zh"),
        ("両肺にすりガラス影があります。", "ja"),
        ("양쪽 폐에 음영이 있습니다.", "ko"),
    ],
)
def test_a_page_can_be_searched_in_every_script_without_a_font_file(summary: str, language: str, tmp_path: Path) -> None:
    case = cases.positive(outputs=("pdf",))
    ds = made(replace(case, analysis=replace(case.analysis, summary=summary)))["pdf"]
    words = text_of(ds, tmp_path)
    assert summary in words.replace("\n", " "), language
    for part in (
        DISCLAIMER,
        "Opacity right",
        "Volume: 156,500 mm³",
        "Severity: Mild",
        "Limit: 2 of 24",
        "Chest CT opacities 1.2.0",
    ):
        assert part in words
    assert "Synthetic" not in words and "TEST-1" not in words


def text_of(ds: Dataset, folder: Path) -> str:
    file = folder / "page.pdf"
    file.write_bytes(ds.EncapsulatedDocument[: ds.EncapsulatedDocumentLength])
    command = [peers.program("pdftotext"), "-raw", "-enc", "UTF-8", file, "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode()


@pytest.mark.peer
def test_a_page_speaks_the_language_of_the_node_and_repeats_the_english(tmp_path: Path) -> None:
    words = text_of(made(cases.negative(outputs=("pdf",), language="de"))["pdf"], tmp_path)
    for part in ("No opacity found.", LANGUAGES["de"].disclaimer, LANGUAGES["de"].outcomes[Outcome.NEGATIVE], DISCLAIMER):
        assert part in words.replace("\n", " ")


@pytest.mark.peer
@pytest.mark.parametrize("language", PAGES)
def test_headings_of_a_page_are_in_the_language_of_the_node(language: str, tmp_path: Path) -> None:
    case = colour_cases.microscope(outputs=("pdf",), language=language)
    told = replace(case.analysis, findings=case.analysis.findings * 31, notes=("blurred",), statements=(STATEMENT,))
    words = text_of(made(replace(case, analysis=told))["pdf"], tmp_path).replace("\n", " ")
    page, others = PAGES[language], [PAGES[other] for other in PAGES if other != language]
    own = (page.headings[Outcome.POSITIVE], *page.columns, page.study, page.more.format(n=1), page.marked.format(n=500),
           page.limit, page.model, page.digest, page.unverified)  # fmt: skip
    assert [part for part in own if part not in words] == []
    assert not [other.unverified for other in others if other.unverified in words]


def test_every_language_has_a_heading_for_every_answer() -> None:
    assert set(PAGES) == set(LANGUAGES)
    assert all(set(page.headings) == set(Outcome) and all(page.headings.values()) for page in PAGES.values())


@pytest.mark.peer
def test_a_page_of_thousand_findings_stays_short_and_says_what_it_left_out(tmp_path: Path) -> None:
    case = cases.positive(outputs=("pdf",))
    many = replace(case.analysis, findings=case.analysis.findings * 250)
    ds = made(replace(case, analysis=many))["pdf"]
    words = text_of(ds, tmp_path)
    assert "and 970 more" in words and words.count("\f") <= 4
    assert (ds.Modality, ds.MIMETypeOfEncapsulatedDocument) == ("DOC", "application/pdf")
    assert ds.ConceptNameCodeSequence[0].CodeValue == "126000"


@pytest.mark.peer
def test_a_finding_of_a_thousand_numbers_fits_on_a_page_and_beside_a_picture(tmp_path: Path) -> None:
    case = cases.positive(outputs=("pdf", "sc"))
    first, *others = case.analysis.findings
    wordy = replace(first, measurements=first.measurements * 500, label="<b>&amp;" * 2000)
    found = made(replace(case, analysis=replace(case.analysis, findings=(wordy, *others), notes=("note " * 5000,))))
    assert "Opacity right" in text_of(found["pdf"], tmp_path)
    assert found["sc-1"].Rows < 300 * 20 + 200


@pytest.mark.peer
def test_a_page_of_a_study_that_was_not_analysed_says_why(tmp_path: Path) -> None:
    assert "slices are 7 mm apart" in text_of(made(cases.not_analysed(outputs=("pdf",)))["pdf"], tmp_path)


# annotations


def test_highdicom_reads_the_marks_back_point_by_point() -> None:
    case = colour_cases.microscope(count=10_000, outputs=("ann",))
    ds = hd.ann.annread(io.BytesIO(part10(made(case)["ann-1"])))
    bacilli, clumps = ds.get_annotation_groups()
    points = np.array(bacilli.get_graphic_data("2D")).reshape(-1, 2)
    np.testing.assert_array_equal(points, case.analysis.marks[0].points.reshape(-1, 2))
    names, values, units = bacilli.get_measurements()
    np.testing.assert_allclose(values[:, 0], case.analysis.marks[0].scores)
    assert (names[0].value, units[0].value) == ("122157", "1")
    np.testing.assert_array_equal(clumps.get_graphic_data("2D")[0], case.analysis.marks[1].points[0])


def test_marks_on_frames_of_a_loop_stand_in_objects_of_their_own() -> None:
    case = colour_cases.without_pixels(colour_cases.loop(outputs=("ann",)))
    uid = case.analysis.key_images[0].sop_instance_uid
    marks = tuple(
        replace(colour_cases.microscope(count=2).analysis.marks[0], sop_instance_uid=uid, frame=frame, scores=None, points=points)
        for frame, points in ((1, np.full((1, 1, 2), 5, np.float32)), (3, np.full((2, 1, 2), 9, np.float32)))
    )
    found = made(replace(case, analysis=replace(case.analysis, marks=marks)))
    told = [(ds.ReferencedImageSequence[0].ReferencedFrameNumber, ds.PixelOriginInterpretation) for ds in found.values()]
    assert told == [(1, "FRAME"), (3, "FRAME")]
    assert [ds.AnnotationGroupSequence[0].NumberOfAnnotations for ds in found.values()] == [1, 2]


def test_ends_of_lines_are_polylines_with_an_index() -> None:
    case = colour_cases.microscope(outputs=("ann",))
    ends = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], np.float32)
    marks = replace(case.analysis.marks[0], points=ends, scores=None)
    ds = hd.ann.annread(io.BytesIO(part10(made(replace(case, analysis=replace(case.analysis, marks=(marks,))))["ann-1"])))
    np.testing.assert_array_equal(np.array(ds.get_annotation_groups()[0].get_graphic_data("2D")), ends)


def test_marks_beside_the_image_or_on_none_are_refused() -> None:
    case = colour_cases.microscope(count=3, outputs=("ann",))
    outside = replace(case.analysis.marks[0], points=np.array([[[900, 10]]], np.float32), scores=None)
    with pytest.raises(PermanentError, match="bulk-inside"):
        documents(*replace(case, analysis=replace(case.analysis, marks=(outside,))).arguments)
    lost = replace(case.analysis.marks[0], sop_instance_uid="1.2.3")
    with pytest.raises(PermanentError, match="not among the images"):
        documents(*replace(case, analysis=replace(case.analysis, marks=(lost,))).arguments)


# selections


def test_a_selection_names_the_key_images_best_first_with_their_frames() -> None:
    case = cases.positive(outputs=("kos",))
    second = replace(case.analysis.key_images[0], sop_instance_uid=str(case.headers[3].SOPInstanceUID))
    ds = made(replace(case, analysis=replace(case.analysis, key_images=(*case.analysis.key_images, second))))["kos"]
    images = [item.ReferencedSOPSequence[0] for item in walk(ds) if item.ValueType == "IMAGE"]
    assert [i.ReferencedSOPInstanceUID for i in images] == [k.sop_instance_uid for k in (*case.analysis.key_images, second)]
    assert ds.ConceptNameCodeSequence[0].CodeValue == "113000"
    assert any(DISCLAIMER in item.TextValue for item in walk(ds) if item.ValueType == "TEXT")
    frame = made(colour_cases.without_pixels(colour_cases.loop(outputs=("kos",))))["kos"]
    assert [i.ReferencedSOPSequence[0].ReferencedFrameNumber for i in walk(frame) if i.ValueType == "IMAGE"] == [2]
    assert hd.ko.KeyObjectSelectionDocument.from_dataset(ds).content.get_references()


@pytest.mark.peer
def test_pixelmed_takes_the_selection_for_one_of_tid_2010(tmp_path: Path) -> None:
    file = tmp_path / "kos.dcm"
    file.write_bytes(saved(documents(*cases.positive(outputs=("kos",)).arguments)[0]))
    said = run(*PIXELMED, file)
    assert "Found Root Template TID_2010 (KeyObjectSelection)" in said and "IOD validation complete" in said
    assert not [line for line in said.splitlines() if "Error" in line], said


@pytest.mark.peer
def test_dcmtk_reads_the_selection_strictly(tmp_path: Path) -> None:
    file = tmp_path / "kos.dcm"
    file.write_bytes(saved(documents(*cases.positive(outputs=("kos",)).arguments)[0]))
    done = subprocess.run([peers.program("dsrdump"), "+Pl", file], capture_output=True, text=True, check=True)
    said = done.stdout + done.stderr
    assert "Of Interest" in said and DISCLAIMER in said
    assert not [line for line in said.splitlines() if line.startswith(("E:", "F:"))]


# plainer reports

PLAINER = {"sr-comprehensive": "ComprehensiveSR", "sr-enhanced": "EnhancedSR"}


@pytest.mark.peer
@pytest.mark.parametrize("role", PLAINER)
@pytest.mark.parametrize("make", [cases.positive, cases.negative, cases.not_analysed, cases.failed])
def test_the_report_is_valid_in_the_plainer_kinds_of_older_archives(
    role: str, make: Callable[..., cases.Case], tmp_path: Path
) -> None:
    found = made(make(outputs=("sr", *PLAINER)))
    assert list(found) == ["sr", *PLAINER]
    assert complaints(found[role], tmp_path) == []
    for program, words in (("dciodvfy", PLAINER[role]), ("dsrdump", found["sr"].SeriesDescription)):
        done = subprocess.run([peers.program(program), tmp_path / "object.dcm"], capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert words in said
        assert not [line for line in said.splitlines() if line.startswith(("E:", "F:", "Error"))]
    assert found[role].ContentSequence == found["sr"].ContentSequence
    assert len({ds.SOPInstanceUID for ds in found.values()}) == len({ds.SeriesInstanceUID for ds in found.values()}) == 3
