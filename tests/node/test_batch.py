"""A model over an archive: every study gets a row, none stops the others, what is answered is not computed twice."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.errors import PermanentError, TransientError
from domain.jobs import Answer, Outcome
from node import solo
from node.__main__ import main
from node.batch import Batch, Limits, Row, State
from node.catalogue import Catalogue, Entry
from node.local_archive import LocalArchive
from node.lock import DataLock
from node.pool import Bounded, EngineLostError, WorkerDiedError
from node.solo import Desk, Solo, Solved
from node.summary import written
from tests.ct_series import Series, part10
from tests.inference import small_package
from tests.node.test_app import ROOT, until

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages") / "tiny"
    small_package.build(folder)
    return folder


def study(seed: str, slices: int = 6) -> dict[str, bytes]:
    return {f"{seed}-{number}": part10(ds) for number, ds in enumerate(Series(slices=slices, seed=seed).datasets())}


def uid(seed: str) -> str:
    return str(Series(slices=1, seed=seed).datasets()[0].StudyInstanceUID)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Four studies: two in the same folder without extensions, one in a .zip file, one with too few slices; and other things."""
    root = tmp_path / "archive"
    (root / "2025" / "Mustermann^Max").mkdir(parents=True)
    for name, data in (study("a") | study("b")).items():
        (root / "2025" / name).write_bytes(data)
    with zipfile.ZipFile(root / "more.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in study("c").items():
            packed.writestr(f"any/{name}.dcm", data)
        packed.writestr("readme.txt", "nothing")
    for name, data in study("d", slices=2).items():
        (root / "2025" / "Mustermann^Max" / f"{name}.dcm").write_bytes(data)
    (root / "notes.txt").write_text("not an image")
    (root / "damaged.dcm").write_bytes(study("e")["e-0"][:400])
    (root / "broken.zip").write_bytes(b"PK\x03\x04 and nothing behind it")
    return root


def run(package: Path, out: Path, source: Path, *more: str) -> int:
    return main(["batch", "--model", str(package), "--precision", "fp32", "--out", str(out), *more, str(source)])


def table(out: Path) -> dict[str, dict[str, str]]:
    with (out / "batch.csv").open(newline="", encoding="utf-8") as stream:
        return {row["study_uid"]: row for row in csv.DictReader(stream)}


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.suffix in (".dcm", ".png", ".json")}


def test_an_archive_of_any_layout_is_answered_study_by_study_even_after_a_kill(
    package: Path, archive: Path, capsys: Capture
) -> None:
    out = archive / "results"  # in the middle of what is looked through
    words = ["batch", "--model", str(package), "--precision", "fp32", "--out", str(out), str(archive), "-c", "node.toml"]
    with subprocess.Popen(
        [sys.executable, "-m", "node", *words], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        until(lambda: (out / "batch.csv").is_file() and table(out), 110)
        process.send_signal(signal.SIGKILL)
    first = contents(out)

    assert run(package, out, archive, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["studies"], said["done"], said["declined"], said["failed"]) == (4, 3, 1, 0)
    assert said["other_files"] == 2 and said["damaged_files"] == 2 and said["kept"] >= 1
    rows = table(out)
    assert set(rows) == {uid(seed) for seed in "abcd"}
    assert {rows[uid(seed)]["state"] for seed in "abc"} == {"done"} and rows[uid("d")]["state"] == "declined"
    assert rows[uid("d")]["why"] and rows[uid("a")]["images"] == "6" and rows[uid("a")]["model"] == "test-lungs"
    assert "test-lungs/left-lung/1: Volume 125.5 ml; " in rows[uid("a")]["measurements"]
    for row in rows.values():
        assert {"sr.dcm", "result.json"} <= {path.name for path in (out / row["folder"]).iterdir()}
        assert row["folder"] != row["study_uid"] and len(row["folder"]) == 32
        mine = [name for name in first if name.split("/")[0] == row["folder"]]
        assert not row["kept"] or {name: contents(out)[name] for name in mine} == {name: first[name] for name in mine} != {}
    assert "Mustermann" not in " ".join(str(path.relative_to(out)) for path in out.rglob("*"))
    assert not (out / ".fetched").exists()


def test_answers_are_kept_until_images_or_package_change(package: Path, archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()

    def again() -> dict[str, Row]:
        found = look(archive, tmp_path)
        digest = small_package.package.load(package).digest
        desk = Desk(str(package), digest, str(out), ("sr",), precision="fp32", threads=1)
        rows = list(Batch(found, Hands(solo.solve), solo.solve, desk, out, Limits(100.0), Clock()).rows())
        found.close()
        return {row.study_uid: row for row in rows}

    assert not any(row.kept for row in again().values())
    before = contents(out)
    kept = again()
    assert all(row.kept for row in kept.values()) and contents(out) == before
    (archive / "2025" / "a-5").unlink()
    changed = again()
    assert [row.study_uid for row in changed.values() if not row.kept] == [uid("a")]
    assert changed[uid("a")].images == 5 and changed[uid("a")].input_digest != kept[uid("a")].input_digest
    assert changed[uid("c")].images == 6, "out of the .zip file"
    folder = out / changed[uid("a")].folder
    names = {path.name for path in folder.iterdir()}
    for number in range(1, 5):
        (archive / "2025" / f"a-{number}").unlink()
    declined = again()[uid("a")]
    assert declined.state is State.DECLINED
    left = {path.name for path in folder.iterdir()}
    listed = {Path(one["path"]).name for one in json.loads((folder / "result.json").read_text())["artifacts"]}
    assert left == listed | {"result.json"} and "overlay.png" in names - left, "nothing of the former answer"


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda out: (out / "batch.json").write_text('{"model": "other"}'), 2, "holds results of other"),
        (lambda out: (out / "batch.json").write_text("[]"), 2, "cannot be read; choose another folder"),
    ],
)
def test_a_folder_of_other_results_is_left_alone(
    package: Path, archive: Path, tmp_path: Path, capsys: Capture, change: Callable[[Path], object], code: int, words: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    change(out)
    assert run(package, out, archive) == code
    assert words in capsys.readouterr().err


def test_a_package_must_be_signed_where_keys_are_configured(
    package: Path, archive: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "node.toml").write_text(f'[models]\ntrusted_keys = ["{"A" * 43}="]\n')
    assert run(package, tmp_path / "out", archive, "-c", str(tmp_path / "node.toml")) == 1
    assert "is not signed by a trusted key" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_two_calls_do_not_write_to_one_folder(package: Path, archive: Path, tmp_path: Path, capsys: Capture) -> None:
    lock = DataLock(tmp_path)
    assert run(package, tmp_path, archive) == 2
    assert "another `ancilla batch` is writing" in capsys.readouterr().err
    lock.release()


def test_an_archive_without_studies_and_one_that_is_not_there_are_errors(package: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "empty").mkdir()
    assert run(package, tmp_path / "out", tmp_path / "empty") == 1
    assert "there is no DICOM study in" in capsys.readouterr().err
    assert run(package, tmp_path / "out", tmp_path / "absent") == 2
    assert "is neither a folder, nor a file" in capsys.readouterr().err


# From here on without processes: an archive and workers that do what the test says.


@dataclass
class Shelf:
    """Studies by name; ``broken`` ones cannot be fetched."""

    names: list[str]
    broken: dict[str, BaseException] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)

    def studies(self) -> list[str]:
        return self.names

    def mark(self, study_uid: str) -> str:
        return self.marks.get(study_uid, "")

    def fetch(self, study_uid: str, folder: Path) -> list[Path]:
        assert not list(folder.iterdir())
        if study_uid in self.broken:
            raise self.broken[study_uid]
        self.fetched.append(study_uid)
        (folder / "1.dcm").write_bytes(b"image")
        return [folder / "1.dcm"]


@dataclass
class Hands:
    """``does`` answers, at once, or not at all (None)."""

    does: Callable[[Solo], Solved | BaseException | None]
    size: int = 2
    most: list[int] = field(default_factory=list)
    open: int = 0

    def submit(self, fn: Callable[[Solo], Solved], work: Solo, /) -> Future[Solved]:
        future: Future[Solved] = Future()
        future.set_running_or_notify_cancel()
        self.most += [fn.most] if isinstance(fn, Bounded) else []
        found = self.does(work)
        if isinstance(found, BaseException):
            future.set_exception(found)
        elif found is not None:
            future.set_result(found)
        return future

    def kill(self, future: Future[Solved], /) -> bool:
        future.set_exception(WorkerDiedError(-9))
        return True


DESK = Desk("package", "d" * 64, "out", ("sr",))
GOOD = Solved(Answer(Outcome.NEGATIVE, "Nothing found.", ()), "1" * 64, 3, 1.25, kept=False)


class Clock:
    """Each look takes a minute."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.at += timedelta(seconds=60)
        return self.at


def rows(shelf: Shelf, hands: Hands, out: Path, seconds: float = 100.0) -> list[Row]:
    return list(Batch(shelf, hands, solo.solve, DESK, out, Limits(seconds, 7), Clock()).rows())


def test_one_bad_study_does_not_stop_the_rest(tmp_path: Path) -> None:
    shelf = Shelf(
        [*"abcde"], {"a": TransientError("the archive does not answer"), "b": OSError(5, "Input/output error", "/Doe^J")}
    )
    worker = {"c": WorkerDiedError(-11), "d": KeyError("Doe^John")}
    found = {row.study_uid: row for row in rows(shelf, Hands(lambda work: worker.get(work.study_uid, GOOD)), tmp_path)}
    assert [found[name].state for name in "abcd"] == [State.FAILED] * 4 and found["e"].state is State.DONE
    assert found["a"].why == "the archive does not answer"
    assert found["b"].why == "its files could not be made ready: Input/output error"
    assert "SIGSEGV" in found["c"].why and "Doe" not in found["d"].why
    assert not (tmp_path / ".fetched").exists()


def test_a_study_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.batch._LOOK", 0.001)
    hands = Hands(lambda work: None if work.study_uid == "a" else GOOD)
    found = {row.study_uid: row for row in rows(Shelf([*"ab"]), hands, tmp_path)}
    assert found["a"].why == "it took longer than 100 seconds and was ended" and found["b"].state is State.DONE
    assert hands.most == [7, 7]


def test_a_study_whose_cluster_was_away_is_sent_again(tmp_path: Path) -> None:
    says: list[Solved | BaseException] = [EngineLostError(), EngineLostError(), GOOD]
    [row] = rows(Shelf(["a"]), Hands(lambda work: says.pop(0)), tmp_path)
    assert row.state is State.DONE and not says


def test_no_more_is_fetched_ahead_than_workers_need(tmp_path: Path) -> None:
    shelf, waiting = Shelf([*"abcdefgh"]), []

    def does(work: Solo) -> Solved:
        waiting.append(len(list((tmp_path / ".fetched").iterdir())))
        return GOOD

    assert len(rows(shelf, Hands(does), tmp_path)) == 8
    assert max(waiting) <= 3


def test_what_an_archive_knows_to_be_the_same_is_not_fetched_again(
    package: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    for name, data in study("a").items():
        (source / name).write_bytes(data)
    digest = small_package.package.load(package).digest
    desk = Desk(str(package), digest, str(out), ("sr",), precision="fp32", threads=1)

    class Marked(Shelf):
        def fetch(self, study_uid: str, folder: Path) -> list[Path]:
            super().fetch(study_uid, folder)
            (folder / "1.dcm").unlink()
            return [Path(shutil.copy(file, folder)) for file in source.iterdir()]

    shelf = Marked([uid("a")], marks={uid("a"): "first"})

    def again() -> Row:
        hands = Hands(solo.solve)
        (row,) = Batch(shelf, hands, solo.solve, desk, out, Limits(100.0), Clock()).rows()
        return row

    assert not again().kept and len(shelf.fetched) == 1
    kept = again()
    assert kept.kept and len(shelf.fetched) == 1 and (kept.images, kept.state) == (6, State.DONE)
    shelf.marks[uid("a")] = "second"
    assert again().kept, "the bytes are the same after all" and len(shelf.fetched) == 2
    assert len(shelf.fetched) == 2


def test_the_table_holds_what_was_known_when_a_call_was_broken_off(tmp_path: Path) -> None:
    def some() -> Iterator[Row]:
        yield Row("1.2", State.DONE, "negative", "=1+1", kept=True)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(written(some(), tmp_path, "tiny", "d" * 64))
    (row,) = table(tmp_path).values()
    assert (row["study_uid"], row["state"], row["kept"], row["summary"]) == ("1.2", "done", "yes", "'=1+1")


def look(source: Path, out: Path) -> LocalArchive:
    found = LocalArchive(source, out / "results")
    for _ in found.look():
        pass
    return found


def test_copies_of_an_image_count_once_and_directories_are_no_images(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for folder in ("one", "two"):
        (source / folder).mkdir(parents=True)
        for name, data in study("a").items():
            (source / folder / name).write_bytes(data)
    directory = study("b")["b-0"].replace(b"1.2.840.10008.5.1.4.1.1.2\0", b"1.2.840.10008.1.3.10\0\0\0\0\0\0", 1)
    (source / "DICOMDIR").write_bytes(directory)
    found = look(source, tmp_path)
    assert found.studies() == [uid("a")] and found.other == 1
    assert {path.parent.name for path in found.fetch(uid("a"), tmp_path)} == {"one"}
    found.close()


def test_headers_are_read_without_their_pixels(tmp_path: Path) -> None:
    data = study("a")["a-0"]
    (tmp_path / "source").mkdir()
    with (tmp_path / "source" / "huge").open("wb") as file:
        file.write(data)
        file.truncate(8 << 40)  # no memory and no patience would be enough to read this
    found = look(tmp_path / "source", tmp_path)
    assert found.studies() == [uid("a")]
    found.close()


def test_a_damaged_member_fails_its_study_alone(tmp_path: Path) -> None:
    file = tmp_path / "source.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
        for name, data in (study("a") | study("b")).items():
            packed.writestr(name, data)
        last = packed.getinfo("b-5")
    with file.open("r+b") as stream:
        stream.seek(last.header_offset + 5000)
        stream.write(b"\xff" * 100)
    found = look(file, tmp_path)
    (tmp_path / "a").mkdir()
    assert len(found.fetch(uid("a"), tmp_path / "a")) == 6
    with pytest.raises(PermanentError, match=r"one of its files is damaged in the \.zip file"):
        found.fetch(uid("b"), tmp_path / "a")
    found.close()


def test_an_archive_that_unpacks_to_too_much_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.local_archive._FLOOR", 1000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a", study("a")["a-0"] + bytes(10_000_000))
    found = look(tmp_path / "bomb.zip", tmp_path)
    (tmp_path / "a").mkdir()
    with pytest.raises(PermanentError, match="unpacks to more than 100 times its size"):
        found.fetch(uid("a"), tmp_path / "a")
    found.close()


def test_an_archive_of_too_many_members_is_not_looked_through(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.local_archive.MOST_ENTRIES", 6)
    found = look(archive / "more.zip", tmp_path)
    assert found.studies() == [] and "more than 6 files" in found.named[0]
    found.close()


def test_a_catalogue_has_the_first_copy_of_each_image() -> None:
    catalogue = Catalogue()
    for number in range(3):
        catalogue.add("1.2", f"1.2.{number % 2}", Entry(f"/Doe^John/{number}", number))
    assert [entry.member for entry in catalogue.entries("1.2")] == [0, 1]
    assert catalogue.studies() == ["1.2"]
    catalogue.close()


def test_a_file_that_changed_while_the_batch_ran_fails_its_study(package: Path, tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(study("a")["a-0"])
    made: dict[str, Any] = {"desk": DESK, "out_dir": str(tmp_path / "out"), "started_at": datetime.now(UTC)}
    with pytest.raises(PermanentError, match="is of another study now"):
        solo.solve(Solo(study_uid="1.2", files=(str(tmp_path / "1"),), **made))
    with pytest.raises(PermanentError, match="cannot be read any more"):
        solo.solve(Solo(study_uid=uid("a"), files=(str(tmp_path / "1"), str(tmp_path / "2")), **made))
