"""A worker that begins with a study, and the order that finds what it has kept, with a real spool and package."""

from dataclasses import replace
from pathlib import Path

import pytest

from domain.early import EarlyOrder
from domain.jobs import Answer, Order
from inference.kept import SUFFIX
from node import ahead, opened, tasks, work
from node.pool import Pool
from tests.ct_series import Series
from tests.node.test_work import MakeOrder, order, package

__all__ = ["order", "package"]  # fixtures
SLICES = 12


def early(whole: Order, folder: Path, images: int = SLICES, **changes: object) -> EarlyOrder:
    permit = folder / "permit"
    permit.touch()
    made = EarlyOrder(
        package=whole.package,
        package_digest=whole.package_digest,
        precision=whole.precision,
        threads=whole.threads,
        data_dir=whole.data_dir,
        spool_dir=whole.spool_dir,
        cache_dir=str(folder / "early" / "studies" / "study" / "package"),
        permit=str(permit),
        seconds=600.0,
        cache_bytes=10**9,
        instances=whole.instances[:images],
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def performed(whole: Order, folder: Path, name: str, cache_dir: str = "") -> Answer:
    return work.perform(replace(whole, out_dir=str(folder / "results" / name), cache_dir=cache_dir))


def digests(answer: Answer) -> list[tuple[str, str]]:
    return [(artifact.role, artifact.digest) for artifact in answer.artifacts]


@pytest.mark.parametrize(("images", "found"), [(SLICES, SLICES - 2), (7, 5)])
def test_what_was_begun_changes_no_byte_of_the_results(order: MakeOrder, tmp_path: Path, images: int, found: int) -> None:
    whole = order()
    without = performed(whole, tmp_path, "without")
    visit = early(whole, tmp_path, images)
    answer = ahead.begin(visit)
    assert (answer.slices, answer.complete) == (found, True)
    with_it = performed(whole, tmp_path, "with", visit.cache_dir)
    assert digests(with_it) == digests(without)
    assert with_it.timings["cached_slices"] == found
    assert "cached_slices" not in without.timings
    for file in Path(visit.cache_dir).glob(f"*{SUFFIX}"):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert digests(performed(whole, tmp_path, "half", visit.cache_dir)) == digests(without)


def test_images_that_arrive_later_are_opened_once_and_only_they(
    order: MakeOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, count = order(), [0]
    really = opened.open_source

    def counted(part10: memoryview) -> object:
        count[0] += 1
        return really(part10)

    monkeypatch.setattr(opened, "open_source", counted)
    ahead.begin(early(whole, tmp_path, 7))
    ahead.begin(early(whole, tmp_path, 9))
    assert count == [9]
    performed(whole, tmp_path, "x")
    assert count == [SLICES]
    assert not opened._OPEN


def test_without_permit_or_time_nothing_is_computed(order: MakeOrder, tmp_path: Path) -> None:
    whole = order()
    visit = early(whole, tmp_path)
    Path(visit.permit).unlink()
    assert ahead.begin(visit) == ahead.EarlyAnswer(0, complete=False)
    assert ahead.begin(early(whole, tmp_path, seconds=0.0)) == ahead.EarlyAnswer(0, complete=False)
    assert not Path(visit.cache_dir).exists()


def test_a_study_too_large_to_be_kept_is_not_begun_again_and_again(order: MakeOrder, tmp_path: Path) -> None:
    visit = early(order(), tmp_path)
    ahead.begin(visit)
    assert ahead.begin(replace(visit, cache_bytes=10)) == ahead.EarlyAnswer(0, complete=True)


def test_images_whose_bytes_are_not_there_yet_are_left_out(order: MakeOrder, tmp_path: Path) -> None:
    whole = order()
    last = whole.instances[-1]
    away = replace(last, place=replace(last.place, offset=10**9))
    answer = ahead.begin(early(replace(whole, instances=(*whole.instances[:-1], away)), tmp_path))
    assert (answer.slices, answer.complete) == (SLICES - 3, True)


def test_no_name_on_disk_tells_of_a_patient(order: MakeOrder, tmp_path: Path) -> None:
    visit = early(order(Series(slices=SLICES)), tmp_path)
    ahead.begin(visit)
    (file,) = Path(visit.cache_dir).iterdir()
    content = file.read_bytes()
    for told in (b"Synthetic^Test", b"TEST-1", b"1.2.826"):
        assert told not in content and told.decode() not in file.name


def test_a_worker_process_begins_and_the_job_behind_it_finds_what_it_kept(order: MakeOrder, tmp_path: Path) -> None:
    whole = order()
    visit = early(whole, tmp_path)
    pool = Pool(1)
    try:
        begun = pool.submit(tasks.begin, visit)
        done = pool.submit(tasks.perform, replace(whole, cache_dir=visit.cache_dir))
        assert begun.result(60).complete
        assert done.result(60).timings["cached_slices"] == SLICES - 2
    finally:
        pool.shutdown(wait=False)
    assert digests(done.result()) == digests(performed(whole, tmp_path, "without"))
