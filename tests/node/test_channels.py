"""A study of several sequences through a whole order: one answer that refers to all of them, a SEG on the grid of the first."""

from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from domain.jobs import Answer, Order, Outcome
from inference.package import load
from inference.source import open_source
from node import work
from tests.ct_series import part10
from tests.inference import sequences
from tests.node.test_images import assert_valid
from tests.node.test_work import AT
from tests.sr_writer.test_peers import run

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sequences.build(tmp_path_factory.mktemp("packages") / "channels")


def answer(package: Path, folder: Path, datasets: list[Dataset]) -> tuple[Answer, dict[str, Path]]:
    order = Order(
        job_id=1,
        token=1,
        study_uid=str(datasets[0].StudyInstanceUID),
        revision=1,
        package=str(package),
        package_digest=load(package).digest,
        input_digest="ab" * 32,
        instances=(),
        spool_dir="",
        out_dir=str(folder / "results"),
        data_dir=str(folder),
        started_at=AT,
        institution="Test",
        device_uid="2.25.1",
        outputs=("seg", "sr"),
        threads=1,
    )
    given = work.respond(order, lambda: [open_source(part10(ds)) for ds in datasets])
    return given, {artifact.role: folder / artifact.path for artifact in given.artifacts}


def referenced(report: Path) -> Iterator[str]:
    for study in pydicom.dcmread(report).CurrentRequestedProcedureEvidenceSequence:
        for series in study.ReferencedSeriesSequence:
            yield str(series.SeriesInstanceUID)


def test_the_answer_refers_to_every_series_and_the_segmentation_lies_on_the_first(package: Path, tmp_path: Path) -> None:
    series = list(sequences.study().values())
    given, files = answer(package, tmp_path, [ds for one in reversed(series) for ds in one.datasets()])
    assert given.outcome is Outcome.POSITIVE
    assert_valid(files)
    uids = [str(one.common("0").SeriesInstanceUID) for one in series]
    assert set(uids) <= set(referenced(files["sr"]))
    seg = pydicom.dcmread(next(path for role, path in files.items() if role.startswith("seg")))
    assert [str(item.SeriesInstanceUID) for item in seg.ReferencedSeriesSequence] == uids[:1]
    assert (seg.Rows, seg.Columns) == series[0].shape[1:]
    told = run("dsrdump", "+Pc", "+Pl", files["sr"])
    assert "Read together: T1: series 3, T1 with contrast: series 5, FLAIR: series 7." in told


def test_a_study_without_one_of_them_is_answered_in_code_and_words(package: Path, tmp_path: Path) -> None:
    series = list(sequences.study().values())[:2]
    given, files = answer(package, tmp_path, [ds for one in series for ds in one.datasets()])
    assert given.outcome is Outcome.NOT_ANALYSED
    assert_valid(files)
    told = run("dsrdump", "+Pc", "+Pl", files["sr"])
    assert "MISSING_SERIES" in told and "There is no series for FLAIR" in told
