"""The picture shows what was found where it was found, and carries its warning."""

import io
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from domain.jobs import Outcome
from domain.results import KeyImage, Labels, Marks, Measurement
from sr_writer import drawing, picture, telling
from tests.ct_series import Series
from tests.sr_writer import cases


def drawn(case: cases.Case) -> npt.NDArray[np.uint8]:
    png = picture.overlay(case.analysis)
    assert png is not None
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG" and image.info == {}
    return np.asarray(image.convert("RGB"))


def test_each_segment_of_the_slice_is_seen_in_its_colour_at_its_place() -> None:
    case = cases.positive(Series(size=128))
    pixels = drawn(case)
    for segment in case.analysis.segments:
        assert (pixels[:768, :768] == segment.colour).all(axis=2).any()
    grey = (pixels[:768, :768, 0] == pixels[:768, :768, 1]) & (pixels[:768, :768, 1] == pixels[:768, :768, 2])
    assert grey[:, :60].all(), "nothing is drawn outside the body"


def test_tinting_follows_the_mask_voxel_by_voxel() -> None:
    case = cases.positive(numbers=(3,))
    assert case.analysis.labels is not None
    key = case.analysis.key_images[0]
    index = case.analysis.labels.sop_instance_uids.index(key.sop_instance_uid)
    tinted = drawing.tinted(case.analysis, key)
    coloured = (tinted != key.pixels[..., np.newaxis]).any(axis=2)
    np.testing.assert_array_equal(coloured, case.analysis.labels.mask(3)[index])


def test_the_text_changes_with_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    words: list[str] = []
    original = picture.ImageDraw.ImageDraw.text

    def spy(self: object, where: object, text: str, *rest: object, **more: object) -> None:
        words.append(text)
        original(self, where, text, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(picture.ImageDraw.ImageDraw, "text", spy)
    drawn(cases.positive())
    shown = "\n".join(words)
    for part in ("Findings", "Left lung", "Opacity right", "Ratio: 12.4 %", "Severity: Mild", "slices are missing"):
        assert part in shown
    assert "AI result, research use, not for primary diagnosis" in words
    assert "Synthetic" not in shown and "TEST-1" not in shown


def test_every_colour_of_the_picture_is_explained_beside_it() -> None:
    case = cases.positive()
    outlined = replace(case.analysis, findings=case.analysis.findings[2:])
    entries = list(telling.legend(outlined, case.analysis.key_images[0], alone=False))
    assert {colour: words for colour, words in entries if colour} == {
        (230, 80, 60): "1  Opacity left",
        (240, 170, 40): "2  Opacity right",
        (90, 160, 230): "Left lung",
        (90, 200, 180): "Right lung",
    }


def test_beside_one_of_several_images_stands_what_is_true_of_it_and_of_the_study() -> None:
    case = cases.positive()
    first, other = (str(ds.SOPInstanceUID) for ds in case.headers[:2])
    (study,) = case.analysis.statements[:1]
    spots = Marks("demo/spots", "Spot", cases.LUNG, cases.LUNG, first, np.zeros((3, 1, 2), np.float32), (1, 2, 3))
    analysis = replace(
        case.analysis,
        findings=(),
        statements=(study, replace(study, sop_instance_uid=first), replace(study, sop_instance_uid=other)),
        marks=(spots, replace(spots, sop_instance_uid=other), replace(spots, label="Clump", colour=(4, 5, 6))),
    )
    key = KeyImage(first, np.zeros((8, 8), np.uint8))
    assert [words for _, words in telling.legend(analysis, key, alone=False) if words.startswith(("Spot", "Clump"))] == [
        "Spot: 3", "Clump: 3",
    ]  # fmt: skip
    assert [words for _, words in telling.legend(analysis, None) if words.startswith(("Spot", "Clump"))] == [
        "Spot: 6",
        "Clump: 3",
    ]
    meaning = study.finding.meaning
    told = [words for _, words in telling.legend(analysis, key, alone=False) if words.startswith(meaning)]
    assert told == [meaning, f"{meaning} (this image)"]
    assert [words for _, words in telling.legend(analysis, None) if words.startswith(meaning)] == [meaning]


@pytest.mark.parametrize(
    ("unit", "words"),
    [("mm2", "3.5 mm²"), ("%", "3.5 %"), ("1", "3.5"), ("{cells}", "3.5"), ("/(100.{field})", "3.5"), ("/mm2", "3.5 /mm2")],
)
def test_units_are_written_as_people_write_them(unit: str, words: str) -> None:
    assert telling.value_of(Measurement(cases.VOLUME, 3.5, cases.Code(unit, "UCUM", unit))) == words


def test_letters_the_font_lacks_are_written_in_others() -> None:
    assert drawing.drawable("mm² Trübung señal 12 µm ≥ 3 肺") == "mm2 Truebung senal 12 um >= 3 ?"


def test_a_negative_answer_says_no_finding_over_the_plain_image() -> None:
    case = cases.negative()
    entries = list(telling.legend(case.analysis, case.analysis.key_images[0]))
    assert entries[0] == (None, "No finding")
    np.testing.assert_array_equal(drawn(case)[:768, :768, 0], drawn(case)[:768, :768, 2])


def test_without_a_key_image_there_is_no_picture() -> None:
    assert picture.overlay(cases.not_analysed().analysis) is None


def test_a_long_legend_makes_the_picture_longer_instead_of_losing_lines() -> None:
    case = cases.positive()
    many = replace(case.analysis, notes=tuple(f"note {n}" for n in range(80)))
    assert drawn(replace(case, analysis=many)).shape[0] > 80 * 20 > drawn(case).shape[0]


def test_the_same_analysis_gives_the_same_picture() -> None:
    assert picture.overlay(cases.positive().analysis) == picture.overlay(cases.positive().analysis)
    assert cases.positive().analysis.outcome is Outcome.POSITIVE


@pytest.mark.parametrize("region", [(0, 0, 80, 64), (8, 16, 40, 40), (20, 4, 60, 60)])
def test_a_reduced_map_of_a_slide_tints_what_lies_under_the_region(region: tuple[int, int, int, int]) -> None:
    """A box of 24 x 16 pixels of the slide, on a map of a quarter of its rows and columns; shown at half the size."""
    case = cases.positive(numbers=(3,))
    layers = np.zeros((1, 1, 16, 20), np.uint8)
    layers[0, 0, 6:10, 5:11] = 3  # rows 24 to 40, columns 20 to 44
    left, top, columns, rows = region
    key = KeyImage("1.2.3", np.full((rows // 2, columns // 2, 3), 90, np.uint8), region=region)
    analysis = replace(case.analysis, labels=Labels(layers, ("1.2.3",), reduced=4), key_images=(key,), findings=())
    tinted = (drawing.tinted(analysis, key) != 90).any(axis=2)
    expected = np.kron(layers[0, 0] == 3, np.ones((4, 4), bool))[top : top + rows : 2, left : left + columns : 2]
    np.testing.assert_array_equal(tinted, expected)
    assert drawing.segments_on(analysis, key) == {3}
