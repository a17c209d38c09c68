"""The pictures of failures in model cards show what the figures count as failures."""

import numpy as np

from training import contours
from training.microscopy.failures import Failure, of_field, sheet, spread

NAMES = ("bacillus", "cluster")
PIXELS = np.full((120, 160, 3), 200, np.uint8)
#                  x   y   w   h  class
TRUTH = np.array([(20, 20, 10, 10, 0), (60, 20, 10, 10, 1), (100, 20, 10, 10, 0), (140, 90, 10, 10, -1), (60, 90, 30, 30, 0)])
#                  x   y   w   h  class score
FOUND = np.array([
    (21, 20, 10, 10, 0, 0.9),  # right
    (60, 21, 10, 10, 0, 0.8),  # named wrong
    (20, 90, 10, 10, 1, 0.7),  # nothing there
    (140, 90, 10, 10, 0, 0.6),  # not judged
    (60, 90, 20, 20, 0, 0.5), (64, 94, 8, 8, 0, 0.4),  # one thing twice
], np.float32)  # fmt: skip


def told() -> list[Failure]:
    return list(of_field(PIXELS, FOUND, TRUTH.astype(np.float32), 2.0, NAMES))


def test_what_is_missed_made_up_named_wrong_or_said_twice_is_a_failure_and_nothing_else() -> None:
    assert sorted(failure.words for failure in told()) == [
        "bacillus, missed", "bacillus, said twice", "cluster, said bacillus", "nothing, said cluster",
    ]  # fmt: skip
    by_words = {failure.words: failure for failure in told()}
    assert by_words["bacillus, missed"].middle == (100, 20) and by_words["bacillus, missed"].answer is None
    assert by_words["nothing, said cluster"].truth is None


def test_each_kind_of_failure_is_shown_before_one_is_shown_twice() -> None:
    many = [*told(), *told(), *told()]
    assert [f.words for f in spread(many, 4)] == sorted({f.words for f in many})
    assert len(spread(many, 7)) == 7


def test_the_sheet_has_a_row_for_six_and_both_boxes_in_their_colours(tmp_path) -> None:
    from PIL import Image

    sheet(told() * 2, 40, tmp_path / "sheet.png")
    page = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert page.shape == (2 * 208, 6 * 192, 3)
    assert (page == (230, 30, 30)).all(2).any() and (page == (0, 190, 60)).all(2).any()


def test_contours_of_truth_and_answer_are_drawn_over_the_grey_picture(tmp_path) -> None:
    from PIL import Image

    truth, answer = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    truth[10:30, 10:30], answer[40:60, 40:60] = True, True
    contours.sheet([(np.full((64, 64), 90, np.uint8), truth, answer)] * 5, tmp_path / "sheet.jpg")
    page = np.asarray(Image.open(tmp_path / "sheet.jpg")).astype(int)
    assert page.shape == (512, 1024, 3)
    green, red = page[..., 1] - page[..., 0] > 60, page[..., 0] - page[..., 1] > 60
    assert green[40:120, 40:120].any() and not green[130:256, 130:256].any()
    assert red[160:240, 160:240].any() and not red[:130, :130].any()
    assert abs(page[80, 80] - 90).max() < 12  # within the contour the picture is as it was
