"""Made-up smears, cells and fields: equal for equal numbers, with the truth they claim; and the grades of counts."""

import numpy as np
import pytest

from training.cervical_lbc import cells
from training.cervical_lbc import compose as cytology
from training.cervical_lbc import synthetic as pap
from training.tb_smear_afb import smears, synthetic


def test_a_smear_field_is_the_same_each_time_and_has_the_bacilli_it_was_asked_for():
    first, second = (synthetic.field(5, singles=4, clusters=2, width=640, height=480) for _ in range(2))
    assert np.array_equal(first.pixels, second.pixels)
    assert (first.boxes[:, 4] == 0).sum() == 4 and (first.boxes[:, 4] == 1).sum() == 2
    assert first.counts[:4] == (1, 1, 1, 1) and all(n >= 2 for n in first.counts[4:])


def test_bacilli_are_redder_than_their_surroundings():
    made = synthetic.field(11, singles=12, clusters=0, width=640, height=480)
    light = made.pixels.astype(float)
    redder = 0
    for x, y, w, h, _ in made.boxes:
        box = light[max(0, int(y - h / 2)) : int(y + h / 2), max(0, int(x - w / 2)) : int(x + w / 2)]
        redness = box[..., 0] - box[..., 1]
        redder += redness.max() > np.median(light[..., 0] - light[..., 1]) + 8
    assert redder >= 10


@pytest.mark.parametrize(
    ("per_100", "name"),
    [(0, "negative"), (1, "scanty"), (9, "scanty"), (10, "1+"), (99, "1+"), (100, "2+"), (1000, "2+"), (1001, "3+")],
)
def test_grades_follow_the_table_of_the_iuatld(per_100, name):
    assert smears.GRADES[smears.grade(per_100)] == name


def test_the_nucleus_fills_more_of_a_cell_the_worse_the_dysplasia():
    def share(kind):
        dark = []
        for n in range(6):
            taken = pap.density(kind, np.random.default_rng(n)).sum(2)
            dark.append((taken > 1.5).sum() / max((taken > 0.12).sum(), 1))
        return float(np.mean(dark))

    assert share(0) < share(3) < share(6)


def test_a_composed_field_has_a_box_for_every_cell_and_darkens_there():
    stamps = [cytology.stamp(pap.cell(n, kind)) for kind in range(7) for n in range(2)]
    light, boxes = cytology.field(stamps, [0, 1, 6], 512, 512, 1.0, np.random.default_rng(3))
    assert sorted(boxes[:, 4]) == [0, 1, 6]
    for x, y, w, h, _ in boxes:
        inside = light[max(0, int(y - h / 2)) : int(y + h / 2) + 1, max(0, int(x - w / 2)) : int(x + w / 2) + 1]
        assert inside.min() < np.median(light) - 0.2


def test_plain_bars_are_stripped_from_a_picture_and_their_colour_is_kept():
    rng = np.random.default_rng(0)
    picture = np.full((200, 200, 3), (180, 170, 200), np.uint8)
    picture[60:140] = rng.integers(0, 255, (80, 200, 3))
    part, colour = cells.strip(picture)
    assert part.shape[0] in (78, 80) and colour == (180, 170, 200)
