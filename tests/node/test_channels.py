"""A study of several sequences through a whole order: one answer that refers to all of them, a SEG on the grid of the first."""

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from domain.jobs import Outcome
from tests.ct_series import part10
from tests.inference import sequences
from tests.node.answering import answer
from tests.node.test_images import assert_valid
from tests.sr_writer.test_peers import run

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sequences.build(tmp_path_factory.mktemp("packages") / "channels")


def referenced(report: Path) -> Iterator[str]:
    for study in pydicom.dcmread(report).CurrentRequestedProcedureEvidenceSequence:
        for series in study.ReferencedSeriesSequence:
            yield str(series.SeriesInstanceUID)


def test_the_answer_refers_to_every_series_and_the_segmentation_lies_on_the_first(package: Path, tmp_path: Path) -> None:
    series = list(sequences.study().values())
    given, files = answer(package, [part10(ds) for one in reversed(series) for ds in one.datasets()], tmp_path, ("seg", "sr"))
    assert given.outcome is Outcome.POSITIVE
    assert_valid(files)
    uids = [str(one.common("0").SeriesInstanceUID) for one in series]
    assert set(uids) <= set(referenced(files["sr"]))
    seg = pydicom.dcmread(next(path for role, path in files.items() if role.startswith("seg")))
    assert [str(item.SeriesInstanceUID) for item in seg.ReferencedSeriesSequence] == uids[:1]
    assert (seg.Rows, seg.Columns) == series[0].shape[1:]
    told = run("dsrdump", "+Pc", "+Pl", files["sr"])
    assert "Read together: T1: series 3, T1 with contrast: series 5, FLAIR: series 7." in told


def test_a_network_that_sees_two_series_slice_by_slice_answers_for_both(tmp_path: Path) -> None:
    series = [one for name, one in sequences.study().items() if name in ("T1", "FLAIR")]
    package = sequences.build_of_slices(tmp_path / "package")
    given, files = answer(package, [part10(ds) for one in series for ds in one.datasets()], tmp_path, ("seg", "sr"))
    assert given.outcome is Outcome.POSITIVE
    assert_valid(files)
    uids = [str(one.common("0").SeriesInstanceUID) for one in series]
    assert set(uids) <= set(referenced(files["sr"]))
    seg = pydicom.dcmread(next(path for role, path in files.items() if role.startswith("seg")))
    assert [str(item.SeriesInstanceUID) for item in seg.ReferencedSeriesSequence] == uids[:1]


def test_a_study_without_one_of_them_is_answered_in_code_and_words(package: Path, tmp_path: Path) -> None:
    series = list(sequences.study().values())[:2]
    given, files = answer(package, [part10(ds) for one in series for ds in one.datasets()], tmp_path, ("seg", "sr"))
    assert given.outcome is Outcome.NOT_ANALYSED
    assert_valid(files)
    told = run("dsrdump", "+Pc", "+Pl", files["sr"])
    assert "MISSING_SERIES" in told and "There is no series for FLAIR" in told
