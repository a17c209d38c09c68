"""Studies of generated images go in, answers that can be checked by hand come out."""

from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from domain.errors import Reason
from domain.jobs import Outcome
from domain.results import Analysis, Measurement
from inference.images.analyse import ImageAnalyser
from inference.source import Source, open_source
from tests import image_objects as objects
from tests.ct_series import part10
from tests.inference.image_package import field, scan


def sources(*datasets: Dataset) -> list[Source]:
    return [open_source(part10(ds)) for ds in datasets]


def value(measurements: tuple[Measurement, ...], meaning: str) -> float:
    return next(m.value for m in measurements if m.name.meaning == meaning)


def smear(*fields: np.ndarray, **changes: Any) -> list[Source]:
    return sources(*(objects.field(pixels, number, **changes) for number, pixels in enumerate(fields, 1)))


def test_every_bacillus_of_every_field_is_counted_once_though_tiles_overlap(spots: ImageAnalyser) -> None:
    # 150 x 200 pixels are tiles of 64 with 16 in common: columns 48 to 64 and rows 48 to 64 are seen twice.
    places = [(10, 10), (52, 52), (56, 30), (60, 100), (110, 60), (190, 140)]
    answer = spots.analyse(smear(field(places), field([]), field([(100, 56)])))
    assert answer.outcome is Outcome.POSITIVE
    assert answer.summary == "7 bacilli in 3 fields: 2+."
    found = [tuple(np.round(point[0] - 0.5).astype(int)) for marks in answer.marks for point in marks.points]
    expected = [*places, (100, 56)]
    assert len(found) == len(expected)
    for place in expected:
        assert min(np.hypot(place[0] - x, place[1] - y) for x, y in found) <= 1


def test_a_cluster_counts_as_many_as_its_area_holds(spots: ImageAnalyser) -> None:
    answer = spots.analyse(smear(field([(30, 30)], large=[(120, 80)])))
    # The detector says 20 x 20: an ellipse of 314 pixels, 100 for each bacillus.
    assert answer.summary == "4 bacilli in 1 fields: 2+."


def test_a_negative_smear_says_how_many_fields_the_grade_rests_on(spots: ImageAnalyser) -> None:
    answer = spots.analyse(smear(*[field([])] * 3))
    assert (answer.outcome, answer.summary) == (Outcome.NEGATIVE, "No bacilli in 3 fields.")
    assert answer.notes == ("The grade (No bacilli) rests on 3 fields; 100 are asked for.",)
    assert answer.statements[0].evaluations[0].value.meaning == "No bacilli"
    assert not answer.findings and not answer.marks
    assert len(answer.key_images) == 1


def test_fields_with_the_most_are_told_one_by_one(spots: ImageAnalyser) -> None:
    images = smear(field([(20, 20)]), field([(20, 20), (100, 100), (150, 60)]), field([(50, 90), (150, 90)]))
    told = [s for s in spots.analyse(images).statements if s.sop_instance_uid]
    assert [s.sop_instance_uid for s in told] == [images[1].uid, images[2].uid]
    assert [value(s.measurements, "Bacilli counted") for s in told] == [3, 2]


def test_fields_of_several_series_are_one_smear(spots: ImageAnalyser) -> None:
    both = sources(objects.field(field([(20, 20)]), 1, series=1), objects.field(field([(60, 60)]), 1, series=2))
    assert spots.analyse(both).summary.startswith("2 bacilli in 2 fields")


def test_the_gallery_shows_the_best_objects_as_they_are(spots: ImageAnalyser) -> None:
    pixels = field([(20, 20), (100, 100)])
    crops = [key for key in spots.analyse(smear(pixels, compressed=False)).key_images if key.region]
    assert len(crops) == 2
    for key in crops:
        assert key.region is not None
        left, top, columns, rows = key.region
        np.testing.assert_array_equal(key.pixels, pixels[top : top + rows, left : left + columns])


def nodule(answer: Analysis) -> dict[str, float]:
    return {m.name.meaning: m.value for m in answer.findings[0].outline_measurements}


def test_a_nodule_is_measured_in_millimetres_where_the_region_is_calibrated(blob: ImageAnalyser) -> None:
    # A window of 160 x 100 pixels inside a screen, 0.3 mm a pixel; the ellipse has half axes of 30 and 20 pixels.
    screen = np.zeros((160, 260, 3), np.uint8)
    screen[40:140, 60:220] = scan((80, 50, 30, 20), 100, 160)
    regions = [objects.region((60, 40, 219, 139), (0.03, 0.03)), objects.region((0, 0, 40, 30), (0.5, 0.5), units=4, kind=3)]
    answer = blob.analyse(sources(objects.ultrasound(screen, regions)))
    sizes = nodule(answer)
    assert sizes["Long Axis"] == pytest.approx(18.0, abs=0.9)
    assert sizes["Short Axis"] == pytest.approx(12.0, abs=0.9)
    assert sizes["Area"] == pytest.approx(np.pi * 9 * 6, rel=0.08)
    assert {m.unit.value for m in answer.findings[0].outline_measurements} >= {"mm", "mm2"}
    outline = answer.findings[0].outline
    assert outline is not None
    np.testing.assert_allclose((outline.points.min(axis=0) + outline.points.max(axis=0)) / 2, (140, 90), atol=1.5)
    long, short = answer.findings[0].lines
    assert abs(long.points[0, 0] - long.points[1, 0]) == pytest.approx(60, abs=3)
    assert abs(short.points[0, 1] - short.points[1, 1]) == pytest.approx(40, abs=3)


def test_sizes_are_in_pixels_and_say_so_where_nothing_is_calibrated(blob: ImageAnalyser) -> None:
    answer = blob.analyse(sources(objects.ultrasound(scan((90, 60, 30, 20)))))
    assert nodule(answer)["Long Axis"] == pytest.approx(60, abs=3)
    assert {m.unit.value for m in answer.findings[0].outline_measurements} == {"{pixels}", "1", "{score}"}
    assert "Sizes are in pixels: the images do not say what a pixel measures." in answer.notes


def test_features_points_and_level_of_a_nodule_are_coded(blob: ImageAnalyser) -> None:
    wide = blob.analyse(sources(objects.ultrasound(scan((90, 60, 30, 20)))))
    tall = blob.analyse(sources(objects.ultrasound(scan((90, 60, 20, 40)))))
    told = [{e.name.meaning: e.value.meaning for e in answer.findings[0].evaluations} for answer in (wide, tall)]
    assert told == [{"Composition": "Solid", "Level": "Level 2"}, {"Composition": "Solid", "Level": "Level 4"}]
    assert [nodule(answer)["Points"] for answer in (wide, tall)] == [2, 5]
    assert wide.summary.endswith("Level 2.")


def test_a_nodule_of_a_cine_is_one_finding_drawn_in_its_best_frame(blob: ImageAnalyser) -> None:
    frames = np.stack([scan((60 + 4 * i, 60, 12 + 4 * (i % 4), 10 + 3 * (i % 4)), seed=i) for i in range(4)])
    answer = blob.analyse(sources(objects.ultrasound(frames)))
    assert len(answer.findings) == 1
    assert answer.findings[0].outline is not None
    best = answer.findings[0].outline.frame
    assert answer.key_images[0].frame == best
    assert answer.labels is not None
    assert answer.labels.frames == (1, 2, 3, 4)
    assert len(set(answer.labels.sop_instance_uids)) == 1
    for i, frame in enumerate(frames):
        drawn, true = answer.labels.layers[0, i] > 0, frame[:, :, 0] == 220
        assert 2 * (drawn & true).sum() / (drawn.sum() + true.sum()) > 0.85


def test_the_probability_of_a_nodule_lies_on_the_image_it_is_drawn_on(blob: ImageAnalyser) -> None:
    pixels = scan((90, 60, 30, 20))
    answer = blob.analyse(sources(objects.ultrasound(pixels)))
    (found,) = answer.fields
    assert (found.segment, found.values.shape) == (1, (1, 128, 192))
    true = pixels[:, :, 0] == 220
    assert found.values[0][true].mean() == pytest.approx(220 / 255, abs=0.08)
    assert found.values[0][~true].mean() < 0.25
    assert answer.labels is not None
    agree = (found.values[0] >= 0.5) == (answer.labels.layers[0, 0] > 0)
    assert agree.mean() > 0.995


def test_no_nodule_is_an_answer_with_a_picture(blob: ImageAnalyser) -> None:
    answer = blob.analyse(sources(objects.ultrasound(scan(None))))
    assert (answer.outcome, answer.summary, answer.labels) == (Outcome.NEGATIVE, "No nodule found.", None)
    assert answer.statements[0].evaluations[0].value.meaning == "Absent"
    assert answer.key_images[0].pixels.shape == (128, 192, 3)


def test_a_blank_image_is_not_analysed_and_one_among_others_is_left_out(blob: ImageAnalyser) -> None:
    blank, good = np.zeros((128, 192, 3), np.uint8), scan((90, 60, 30, 20))
    alone = blob.analyse(sources(objects.ultrasound(blank)))
    assert (alone.outcome, alone.reason) == (Outcome.NOT_ANALYSED, Reason.OTHER)
    assert "1 of 1 images were left out (1 blank)" in alone.summary
    among = blob.analyse(sources(objects.ultrasound(blank, number=1), objects.ultrasound(good, number=2)))
    assert among.outcome is Outcome.POSITIVE
    assert among.partial
    assert "1 of 2 images were left out (1 blank)." in among.notes


@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        (objects.capture(scan(None)), Reason.MODALITY),
        (objects.ultrasound(np.zeros((1, 1, 3), np.uint8)), Reason.GEOMETRY),
    ],
)
def test_images_that_do_not_fit_are_not_analysed(dataset: Dataset, reason: Reason, blob: ImageAnalyser) -> None:
    answer = blob.analyse(sources(dataset))
    assert (answer.outcome, answer.reason) == (Outcome.NOT_ANALYSED, reason)


def test_gray_images_do_not_fit_a_model_made_for_colour(spots: ImageAnalyser) -> None:
    gray = objects.capture(field([])[:, :, 0])
    assert spots.analyse(sources(gray)).reason is Reason.MODALITY


def test_nothing_at_all_is_not_analysed(spots: ImageAnalyser) -> None:
    assert spots.analyse([]).reason is Reason.NO_IMAGES


def test_the_answer_does_not_depend_on_the_order_of_arrival(spots: ImageAnalyser) -> None:
    images = smear(field([(20, 20)]), field([(60, 60), (100, 100)], large=[(150, 30)]), field([]))
    one, other = spots.analyse(images), spots.analyse(images[::-1])
    assert one.summary == other.summary
    for a, b in zip(one.marks, other.marks, strict=True):
        assert a.sop_instance_uid == b.sop_instance_uid
        np.testing.assert_array_equal(a.points, b.points)
