"""The benchmark measures every receiver it names, ours among them, on whatever sizes it is given."""

import json

import pytest

from bench.__main__ import main

RIVALS = ["DCMTK storescp", "DCMTK storescp +B", "Orthanc", "pynetdicom storescp"]


@pytest.mark.peer
def test_all_rows_are_measured(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    arguments = [
        "ingest",
        "--json",
        "--rounds",
        "1",
        "--images",
        "8",
        "--small",
        "20",
        "--large",
        "0.01",
        "--folder",
        str(tmp_path),
    ]
    assert main(arguments) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["peer"] for row in rows if row["name"] == "one association (8 objects)"] == RIVALS
    assert len(rows) == 15
    assert all(row["ours"] > 0 and row["theirs"] > 0 and row["version"] != "?" for row in rows if row["peer"] != "-")
    assert [row["unit"] for row in rows if row["peer"] == "-"] == ["s", "MB", "s"]


@pytest.mark.peer
def test_one_row_can_be_asked_for_alone(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    arguments = ["ingest", "--json", "--rounds", "1", "--large", "0.01", "--only", "memory", "--folder", str(tmp_path)]
    assert main(arguments) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["unit"], row["met"]) == ("memory for one object of 0.01 GB", "MB", True)


@pytest.mark.peer
def test_sending_is_measured_beside_dcmtk(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    assert main(["sending", "--json", "--rounds", "2", "--images", "5", "--folder", str(tmp_path)]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["peer"] == "DCMTK dcmsend"
    assert row["ratio"] > 0
