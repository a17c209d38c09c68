"""Matches, F1 and average precision against counts made by hand and against scikit-learn."""

import numpy as np
import pytest

from training.microscopy import score


def found(*rows):
    return np.array(rows, np.float32).reshape(-1, 6)


def truth(*rows):
    return np.array(rows, np.float32).reshape(-1, 5)


def test_a_centre_within_the_slack_of_a_box_is_a_hit_and_beyond_it_is_not():
    box = truth((100, 100, 20, 10, 0))
    assert score.tally(found((114, 100, 9, 9, 0, 0.9)), box, slack=5) == score.Tallied(1, 0, 0)
    assert score.tally(found((116, 100, 9, 9, 0, 0.9)), box, slack=5) == score.Tallied(0, 1, 1)


def test_two_answers_to_one_object_are_one_hit_and_one_false():
    box = truth((100, 100, 20, 20, 0))
    both = found((100, 100, 20, 20, 0, 0.9), (104, 100, 20, 20, 0, 0.8))
    assert score.tally(both, box, slack=5) == score.Tallied(1, 1, 0)
    assert score.tally(both, box, iou=0.3) == score.Tallied(1, 1, 0)


def test_what_is_not_judged_excuses_an_answer_and_an_impostor_does_not():
    doubt, impostor = truth((50, 50, 20, 20, -1)), truth((50, 50, 20, 20, -2))
    answer = found((50, 50, 20, 20, 0, 0.9))
    assert score.tally(answer, doubt, slack=5) == score.Tallied(0, 0, 0)
    assert score.tally(answer, impostor, slack=5) == score.Tallied(0, 1, 0)


def test_f1_is_over_all_objects_and_lies_in_its_interval():
    result = score.f1([score.Tallied(8, 1, 1), score.Tallied(2, 0, 3)])
    assert result["f1"] == pytest.approx(20 / 25)
    assert result["f1_ci95"][0] <= result["f1"] <= result["f1_ci95"][1]
    assert result["precision"] == pytest.approx(10 / 11, abs=1e-3)


def test_average_precision_is_one_for_a_perfect_order_and_falls_with_a_false_answer_on_top():
    boxes = [truth((20, 20, 10, 10, 1), (60, 60, 10, 10, 1))]
    good = [found((20, 20, 10, 10, 1, 0.9), (60, 60, 10, 10, 1, 0.8))]
    assert score.average_precision(good, boxes, 1) == pytest.approx(1.0)
    worse = [np.concatenate([good[0], found((90, 90, 10, 10, 1, 0.95))])]
    assert score.average_precision(worse, boxes, 1) == pytest.approx(2 / 3)
    assert score.average_precision(good, boxes, 0) is None


def test_overlap_of_boxes_is_intersection_over_union():
    a, b = np.array([[10, 10, 10, 10]], float), np.array([[15, 10, 10, 10]], float)
    assert score.overlaps(a, b)[0, 0] == pytest.approx(50 / 150)
