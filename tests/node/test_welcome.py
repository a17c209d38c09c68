"""A worker that does not see what the node sees, or is another kind of machine, gets no work and is told why."""

from dataclasses import replace
from pathlib import Path

import pytest

from node import lane
from node.lane import Greeting, Question
from node.welcome import Welcome

GOOD = Greeting("", "a CPU, 8 cores")


def asked(question: Question, instance: str = "one") -> str:
    """What a worker finds wrong before it is asked for its machine."""
    return next(lane._wrong(question, instance), "")


def test_a_worker_reads_the_note_and_the_node_reads_its_answer(tmp_path: Path) -> None:
    welcome = Welcome(tmp_path, [tmp_path])
    assert asked(welcome.question) == ""
    assert welcome.judge("one", GOOD) == ""
    welcome.close()
    assert list((tmp_path / "cluster").iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    question = replace(Welcome(tmp_path, []).question, folder=str(tmp_path / "elsewhere"))
    assert asked(question) == f"it does not see the node's {tmp_path}/elsewhere; mount it there under the same name"


def test_another_folder_under_the_same_name_is_found_out(tmp_path: Path) -> None:
    question = Welcome(tmp_path, []).question
    assert asked(replace(question, token="another")) == f"its {tmp_path} is another folder than that of the node"
    welcome = Welcome(tmp_path, [])
    assert "it is another folder there" in welcome.judge("one", GOOD), "it wrote nothing that is seen here"


def test_a_folder_in_which_it_cannot_write_is_named(tmp_path: Path) -> None:
    welcome = Welcome(tmp_path, [])
    (tmp_path / f"{welcome.question.note}.one").mkdir()  # root may write anywhere else
    assert asked(welcome.question) == f"it cannot read and write in {tmp_path} (IsADirectoryError)"


def test_packages_must_be_there_too(tmp_path: Path) -> None:
    question = Welcome(tmp_path, [tmp_path / "model"]).question
    assert asked(question) == f"it does not see {tmp_path}/model; put it there under the same name"


@pytest.mark.parametrize("name", ["Python", "ancilla", "distributed"])
def test_other_versions_are_named(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "versions", lambda: (("Python", "3.11"), ("ancilla", "1.0"), ("distributed", "2")))
    theirs = tuple((each, "0" if each == name else version) for each, version in lane.versions())
    question = replace(Welcome(tmp_path, []).question, versions=theirs)
    assert f"it has {name} " in asked(question) and "the node has 0" in asked(question)


def test_all_workers_are_of_the_kind_of_the_first(tmp_path: Path) -> None:
    welcome = Welcome(tmp_path, [])
    for instance in ("one", "two", "three"):
        assert asked(welcome.question, instance) == ""
    assert welcome.judge("one", GOOD) == ""
    assert welcome.judge("two", Greeting("", "a CPU, 4 cores")) == (
        "it is another kind of machine (a CPU, 4 cores) than the first worker (a CPU, 8 cores)"
    )
    assert welcome.judge("three", GOOD) == ""
