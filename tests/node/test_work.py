"""One order with a real spool, a tiny real package and the real writer."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest

from db.spool import Spool
from domain.errors import PackageError
from domain.instances import Caller, Header, Instance
from domain.jobs import Order, Outcome, Verdict
from inference.package import load
from node import work
from node.shelf import LIST, stored
from scp.part10 import split
from tests.ct_series import Series, part10
from tests.inference import small_package
from tests.sr_writer.reading import walk

CALLER = Caller("CT01", "ANCILLA", "127.0.0.1")
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MakeOrder = Callable[..., Order]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages") / "tiny"
    small_package.build(folder)
    return folder


@pytest.fixture
def order(tmp_path: Path, package: Path) -> MakeOrder:
    def make(series: Series | None = None, **changes: object) -> Order:
        instances = received(tmp_path / "spool", series or Series(slices=12))
        whole = Order(
            job_id=1,
            token=1,
            study_uid=instances[0].header.study_uid,
            revision=1,
            package=str(package),
            package_digest=load(package).digest,
            input_digest="ab" * 32,
            instances=tuple(instances),
            spool_dir=str(tmp_path / "spool"),
            out_dir=str(tmp_path / "results" / "x"),
            data_dir=str(tmp_path),
            started_at=AT,
            institution="Test",
            device_uid="2.25.1",
            outputs=("seg", "sr"),
            threads=1,
        )
        return replace(whole, **changes)  # type: ignore[arg-type]

    return make


def received(root: Path, series: Series) -> list[Instance]:
    spool, instances = Spool(root), []
    for ds in series.datasets():
        data = part10(ds)
        syntax, body = split(data)
        header = Header(ds.SOPClassUID, ds.SOPInstanceUID, syntax, ds.StudyInstanceUID, ds.SeriesInstanceUID, "CT")
        writer = spool.writer("association", CALLER, header, data[: len(data) - len(body)])
        writer.write(body)
        place, digest = writer.commit()
        instances.append(Instance(header, place, digest, CALLER, "association", AT))
    spool.close("association")
    return instances


def never_again(order: Order) -> object:
    raise AssertionError("the model must not run")


def test_an_order_becomes_files_and_an_answer_without_patient_data(order: MakeOrder, tmp_path: Path) -> None:
    answer = work.perform(order())
    assert answer.outcome in {Outcome.POSITIVE, Outcome.NEGATIVE}
    roles = {artifact.role for artifact in answer.artifacts}
    assert {"sr", "seg"} <= roles
    for artifact in answer.artifacts:
        file = tmp_path / artifact.path
        assert file.stat().st_size == artifact.size
        if artifact.sop_class_uid:
            ds = pydicom.dcmread(file)
            assert (ds.SOPInstanceUID, ds.SOPClassUID, ds.SeriesInstanceUID) == (
                artifact.sop_instance_uid,
                artifact.sop_class_uid,
                artifact.series_uid,
            )
    listed = (tmp_path / "results" / "x" / LIST).read_text()
    assert json.loads(listed)["outcome"] == answer.outcome
    assert "Synthetic^Test" not in listed and "TEST-1" not in listed
    assert set(answer.timings) == {"load", "infer", "write"}
    assert not list((tmp_path / "results").rglob("*.part"))


def test_equal_input_gives_the_stored_bytes_without_running_the_model(order: MakeOrder, monkeypatch: pytest.MonkeyPatch) -> None:
    first = work.perform(order())
    monkeypatch.setattr(work, "_analyse", never_again)
    again = work.perform(order(started_at=datetime(2030, 1, 1, tzinfo=UTC)))
    assert again.artifacts == first.artifacts
    assert (again.outcome, again.summary) == (first.outcome, first.summary)


def test_equal_orders_give_equal_bytes_in_another_folder(order: MakeOrder, tmp_path: Path) -> None:
    first = work.perform(order())
    second = work.perform(order(out_dir=str(tmp_path / "results" / "y")))
    assert [a.digest for a in first.artifacts] == [a.digest for a in second.artifacts]


def test_a_damaged_result_is_made_again(order: MakeOrder, tmp_path: Path) -> None:
    first = work.perform(order())
    file = tmp_path / first.artifacts[0].path
    good = file.read_bytes()
    file.write_bytes(good[:-1])
    assert stored(order()) is None
    assert work.perform(order()).artifacts == first.artifacts
    assert file.read_bytes() == good


def test_a_result_list_that_was_cut_off_is_not_believed(order: MakeOrder, tmp_path: Path) -> None:
    work.perform(order())
    listed = tmp_path / "results" / "x" / LIST
    listed.write_bytes(listed.read_bytes()[:50])
    assert stored(order()) is None


def test_only_the_outputs_that_are_wanted_are_made(order: MakeOrder) -> None:
    roles = {artifact.role for artifact in work.perform(order(outputs=("sr",))).artifacts}
    assert "sr" in roles and "seg" not in roles


def test_input_that_does_not_suit_is_an_answer_with_a_reason(order: MakeOrder) -> None:
    answer = work.perform(order(Series(slices=2)))
    assert answer.outcome is Outcome.NOT_ANALYSED
    assert answer.reason == "too-few-slices"
    assert "sr" in {artifact.role for artifact in answer.artifacts}


def test_a_package_that_was_changed_is_not_run(order: MakeOrder) -> None:
    with pytest.raises(PackageError, match="was changed since this job was queued"):
        work.perform(order(package_digest="0" * 64))


def test_a_verdict_is_a_report_of_failure_and_the_model_does_not_run(
    order: MakeOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "_analyse", never_again)
    monkeypatch.setattr(work, "analyser_for", never_again)
    answer = work.perform(order(verdict=Verdict("it took too long")))
    assert answer.outcome is Outcome.FAILED
    assert answer.reason == "it took too long"
    (report,) = [artifact for artifact in answer.artifacts if artifact.sop_class_uid]
    assert b"it took too long" in (tmp_path / report.path).read_bytes()


def test_a_report_of_failure_never_has_the_uid_of_a_result(order: MakeOrder) -> None:
    failed = work.perform(order(verdict=Verdict("crashed")))
    other = work.perform(order(verdict=Verdict("timed out")))
    good = work.perform(order())
    uids = [
        artifact.sop_instance_uid for answer in (failed, other, good) for artifact in answer.artifacts if artifact.role == "sr"
    ]
    assert len(set(uids)) == 3


def test_an_unreadable_image_is_not_the_end(order: MakeOrder, tmp_path: Path) -> None:
    whole = order()
    first = whole.instances[0]
    broken = replace(first, place=replace(first.place, offset=first.place.offset + 700, length=900))
    answer = work.perform(replace(whole, instances=(broken, *whole.instances[1:])))
    assert "sr" in {artifact.role for artifact in answer.artifacts}


def said(report: pydicom.Dataset) -> list[str]:
    return [str(item.TextValue) for item in walk(report) if item.get("TextValue")]


def test_an_earlier_result_of_the_patient_is_compared_with_and_its_tracking_goes_on(order: MakeOrder, tmp_path: Path) -> None:
    before = order(Series(slices=12, seed="before"), out_dir=str(tmp_path / "results" / "before"))
    earlier = work.perform(before)
    now = order(prior_study=before.study_uid, prior=earlier.artifacts, out_dir=str(tmp_path / "results" / "now"))
    answer = work.perform(now)
    report = pydicom.dcmread(tmp_path / next(a.path for a in answer.artifacts if a.role == "sr"))
    assert "Compared with the result of the same model of 2026-01-01." in said(report)
    assert report.PertinentOtherEvidenceSequence[0].StudyInstanceUID == before.study_uid
    alone = work.perform(replace(now, prior=(), prior_study="", out_dir=str(tmp_path / "results" / "alone")))
    uids = {a.sop_instance_uid for a in answer.artifacts if a.sop_instance_uid}
    assert uids.isdisjoint({a.sop_instance_uid for a in alone.artifacts})


def test_an_earlier_result_that_is_gone_changes_nothing(order: MakeOrder, tmp_path: Path) -> None:
    before = order(Series(slices=12, seed="before"), out_dir=str(tmp_path / "results" / "before"))
    earlier = work.perform(before)
    for artifact in earlier.artifacts:
        (tmp_path / artifact.path).write_bytes(b"torn")
    answer = work.perform(order(prior=earlier.artifacts))
    report = pydicom.dcmread(tmp_path / next(a.path for a in answer.artifacts if a.role == "sr"))
    assert not any("Compared with" in text for text in said(report))
