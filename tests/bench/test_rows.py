"""What a benchmark reports follows from its samples alone."""

import json
from collections.abc import Iterator

import pytest

from bench.__main__ import report
from bench.rows import Row, UnmeasurableError, alone, as_json, as_table, compare


def test_a_ratio_is_of_medians_and_its_spread_is_over_rounds() -> None:
    row = compare("throughput", "1/s", [100, 120, 500], [50, 60, 100], "peer", "1.0", target=2.0)
    assert (row.ours, row.theirs, row.ratio, row.spread, row.met) == (120, 60, 2.0, (2.0, 5.0), True)


def test_for_seconds_fewer_is_better() -> None:
    row = compare("delay", "s", [2.0], [6.0], "peer", "1.0", target=4.0, more_is_better=False)
    assert (row.ratio, row.met) == (3.0, False)


def test_a_row_without_target_is_neither_met_nor_missed() -> None:
    assert compare("x", "s", [1.0], [1.0], "peer", "1").met is None
    assert alone("x", "s", [3.0, 1.0, 2.0]).ours == 2.0
    assert alone("x", "s", [3.0], limit=2.0).met is False


def test_rounds_that_do_not_pair_are_no_measurement() -> None:
    with pytest.raises(UnmeasurableError):
        compare("x", "s", [1.0, 2.0], [1.0], "peer", "1")
    with pytest.raises(UnmeasurableError):
        alone("x", "s", [])


def test_json_and_table_tell_the_same() -> None:
    rows = [compare("receive", "1/s", [300.0], [150.0], "Orthanc", "1.10.1", 3.5), alone("wait", "s", [1.25])]
    assert json.loads(as_json(rows))[0] == {
        "name": "receive",
        "unit": "1/s",
        "ours": 300.0,
        "theirs": 150.0,
        "peer": "Orthanc",
        "version": "1.10.1",
        "ratio": 2.0,
        "spread": [2.0, 2.0],
        "target": 3.5,
        "met": False,
    }
    assert "| receive | 1/s  | 300  | 150  | Orthanc 1.10.1 | 2.00  | 2.00-2.00 | 3.50   | no  |" in as_table(rows)


def test_what_could_be_measured_is_printed_and_the_exit_status_says_that_something_could_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def measured() -> Iterator[Row]:
        yield alone("one", "s", [1.0])
        raise UnmeasurableError("the other peer is not there")

    assert report(measured(), json=True) == 1
    out, err = capsys.readouterr()
    assert [row["name"] for row in json.loads(out)] == ["one"]
    assert "the other peer is not there" in err
    assert report(iter([alone("one", "s", [1.0])]), json=False) == 0
