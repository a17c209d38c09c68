"""The benchmark of the console has a row for each question to both, and one for each page of ours alone."""

import json
from pathlib import Path

import pytest

from bench import console
from bench.__main__ import main


@pytest.mark.peer
def test_every_question_has_a_row_and_every_page_of_ours_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, few in (("REQUESTS", 1), ("PAGE", 2)):
        monkeypatch.setattr(console, name, few)
    assert main(["console", "--json", "--rounds", "1", "--studies", "4", "--each", "2", "--folder", str(tmp_path)]) == 0
    rows = json.loads(capsys.readouterr().out)
    beside = [row for row in rows if row["peer"] == "Orthanc"]
    assert len(beside) == 5 and len(rows) == 5 + len(console.ALONE)
    assert {"a study by its UID (4 studies)", "metrics (4 studies)"} < {row["name"] for row in beside}
    assert all(row["ours"] > 0 and row["theirs"] > 0 and row["met"] == (row["ratio"] >= row["target"]) for row in beside)
