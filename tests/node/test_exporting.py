"""Plain files out of the packs: the bytes that were received, under names that say nothing of a patient, whole or not at all."""

import fcntl
import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from db.engine import open_store
from db.store import Store
from domain.jobs import Answer, Artifact, JobKind, NewJob, Outcome
from domain.retention import WAIVABLE
from node.__main__ import main
from node.commands.options import now
from node.files import find
from scp.part10 import split
from tests.ct_series import Series, part10
from tests.node.configuration import TEXT

Capture = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[2]
SLICES = Series(slices=5, size=16)


@dataclass
class Kept:
    """A data folder into which one study was sent from the command line; no node runs on it."""

    folder: Path
    sent: dict[str, Path]  # by SOP Instance UID
    study_uid: str

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def store(self) -> Store:
        return open_store(f"sqlite:///{self.folder / 'data' / 'ancilla.db'}", now)

    def tell(self, *words: str) -> int:
        return main([*words, "-c", str(self.folder / "node.toml")])

    def export(self, *more: str, study: str = "") -> int:
        return self.tell("export-images", study or self.study_uid, "--out", str(self.out), *more)

    def files(self) -> dict[str, Path]:
        return {file.name: file for file in self.out.rglob("*") if file.is_file()}

    def send(self, folder: str, *datasets: Any) -> None:
        (self.folder / folder).mkdir()
        for number, ds in enumerate(datasets):
            (self.folder / folder / f"{number}.dcm").write_bytes(part10(ds))
        assert self.tell("send", str(self.folder / folder)) == 0

    def settle(self) -> None:
        """The study is complete and no model wants it."""
        with closing(self.store()) as store:
            study = store.study(self.study_uid)
            assert study is not None and store.settle(self.study_uid, study.revision, [])


def data_set(file: Path) -> bytes:
    return bytes(split(file.read_bytes())[1])


@pytest.fixture
def kept(tmp_path: Path, capsys: Capture) -> Kept:
    (tmp_path / "node.toml").write_text(TEXT.replace("quiet_seconds = 30", "quiet_seconds = 0"))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "package.toml").touch()
    datasets = SLICES.datasets()
    kept = Kept(tmp_path, {}, str(datasets[0].StudyInstanceUID))
    kept.send("images", *datasets)
    kept.sent = {str(ds.SOPInstanceUID): tmp_path / "images" / f"{n}.dcm" for n, ds in enumerate(datasets)}
    capsys.readouterr()
    return kept


def test_every_image_comes_back_bit_for_bit_under_its_uids(kept: Kept, capsys: Capture) -> None:
    assert kept.export("--json") == 0
    (study,) = json.loads(capsys.readouterr().out)["studies"]
    assert (study["images"], study["written"], study["already"], study["problems"]) == (5, 5, 0, [])
    found = find([kept.out])
    assert found.skipped == 0
    for file in found.files:
        assert data_set(file.path) == data_set(kept.sent[file.header.sop_instance_uid])
        names = (file.header.study_uid, file.header.series_uid, f"{file.header.sop_instance_uid}.dcm")
        assert file.path.relative_to(kept.out).parts == names
        assert dcmread(file.path).file_meta.MediaStorageSOPInstanceUID == file.header.sop_instance_uid
    assert {folder.stat().st_mode & 0o777 for folder in (kept.out, *kept.out.rglob("*")) if folder.is_dir()} == {0o700}
    assert len(found.files) == len(kept.files()) == 5 and study["size"] == sum(f.path.stat().st_size for f in found.files)
    with closing(kept.store()) as store:
        (row,) = store.audit(event="images-exported")
    assert (row.study_uid, row.actor[:9]) == (kept.study_uid, "operator:")
    assert json.loads(row.details) == {"images": 5, "results": 0, "revision": 1}


def test_what_is_there_already_is_not_written_again_and_what_differs_is_left_alone(kept: Kept, capsys: Capture) -> None:
    assert kept.export() == 0
    first, second, *_ = sorted(kept.files().values())
    second.unlink()
    first.write_bytes(b"something else")
    times = {file: file.stat().st_mtime_ns for file in kept.files().values()}
    capsys.readouterr()
    assert kept.export() == 1
    said = capsys.readouterr().out
    assert "is there already and differs; it was left as it is" in said and f"{kept.study_uid}, image " in said
    assert first.read_bytes() == b"something else" and data_set(second) == data_set(kept.sent[second.stem])
    assert all(file.stat().st_mtime_ns == at for file, at in times.items())


def test_bytes_that_are_not_those_received_are_not_given_back(kept: Kept, capsys: Capture) -> None:
    (pack,) = (kept.folder / "data" / "spool").rglob("*.pack")
    content = bytearray(pack.read_bytes())
    third = list(kept.sent.values())[2]
    at = content.index(data_set(third)[-400:])
    content[at + 100] ^= 1
    pack.write_bytes(content)
    assert kept.export("--json") == 1
    (study,) = json.loads(capsys.readouterr().out)["studies"]
    (problem,) = study["problems"]
    assert (problem["number"], problem["kind"], study["written"]) == (3, "image", 4)
    assert "not those that were received" in problem["words"]
    assert dcmread(third).SOPInstanceUID not in [name.removesuffix(".dcm") for name in kept.files()]
    assert not [name for name in kept.files() if name.endswith(".part")]
    pack.unlink()
    assert kept.tell("export-images", kept.study_uid, "--out", str(kept.folder / "again")) == 1
    assert capsys.readouterr().out.count("cannot be read") == 5


def test_a_copy_that_does_not_count_is_written_when_asked_for(kept: Kept) -> None:
    other = SLICES.datasets()[0]
    other.SeriesDescription = "Other"
    kept.send("other", other)
    assert kept.export() == 0
    assert len(kept.files()) == 5
    assert kept.export("--conflicts") == 0
    (conflict,) = [file for name, file in kept.files().items() if ".conflict-" in name]
    assert dcmread(conflict).SeriesDescription == "Other" and len(kept.files()) == 6


def test_a_revision_is_what_was_there_then(kept: Kept, capsys: Capture) -> None:
    kept.settle()
    kept.send("late", *Series(slices=6, size=16).datasets()[5:])
    assert kept.export("--revision", "1") == 0 and len(kept.files()) == 5
    assert kept.export() == 0 and len(kept.files()) == 6
    capsys.readouterr()
    assert kept.export("--revision", "3") == 1
    assert "has the revisions 1 to 2" in capsys.readouterr().out


def test_a_purged_study_says_since_when_it_is_gone(kept: Kept, capsys: Capture) -> None:
    kept.settle()
    with closing(kept.store()) as store:
        store.purge(kept.study_uid, "operator:somebody", waived=WAIVABLE)
    assert kept.export() == 1
    assert f"were purged on {now():%Y-%m-%d}" in capsys.readouterr().out
    assert kept.export(study="9.9.9") == 1
    assert "there is no study 9.9.9" in capsys.readouterr().out
    assert kept.files() == {}


def test_results_come_along_when_asked_for_and_reports_stay_when_images_are_gone(kept: Kept, capsys: Capture) -> None:
    folder = "results/study/1-lungs-dddddddd"
    bytes_of = {"sr": b"a report", "seg": b"segments"}
    artifacts = tuple(Artifact(role, f"{folder}/{role}.dcm", sha256(data).hexdigest(), 8) for role, data in bytes_of.items())
    (kept.folder / "data" / folder).mkdir(parents=True)
    for role, data in bytes_of.items():
        (kept.folder / "data" / folder / f"{role}.dcm").write_bytes(data)
    with closing(kept.store()) as store:
        assert store.settle(kept.study_uid, 1, [NewJob("lungs", "d" * 64, (), ("pacs",), shadow=True)])
        job = store.claim(JobKind.INFER, "worker", 60)
        assert job is not None
        store.finish(job, Answer(Outcome.POSITIVE, "Found.", artifacts))
    assert kept.export("--results") == 0
    made = {file.relative_to(kept.out / kept.study_uid).as_posix() for file in kept.files().values() if file.name[0] == "s"}
    assert made == {"results/1-lungs-dddddddd/sr.dcm", "results/1-lungs-dddddddd/seg.dcm"}
    (kept.folder / "data" / folder / "seg.dcm").write_bytes(b"otherwise")
    capsys.readouterr()
    assert kept.tell("export-images", kept.study_uid, "--results", "--out", str(kept.folder / "again")) == 1
    assert ", result 2: its bytes are not those that were written" in capsys.readouterr().out
    assert kept.tell("purge", kept.study_uid) == 0
    capsys.readouterr()
    assert kept.tell("export-images", kept.study_uid, "--results", "--out", str(kept.folder / "gone")) == 1
    assert "were purged on" in capsys.readouterr().out
    assert [file.name for file in (kept.folder / "gone").rglob("*.dcm")] == ["sr.dcm"]


def test_the_folder_must_be_one_and_of_one_call_at_a_time(kept: Kept, capsys: Capture) -> None:
    assert kept.tell("export-images", kept.study_uid, "--out", str(kept.folder / "node.toml")) == 2
    kept.out.mkdir()
    held = os.open(kept.out, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    assert kept.export() == 1
    assert "another export writes" in capsys.readouterr().err
    os.close(held)
    assert kept.export() == 0


def test_a_call_that_is_killed_leaves_whole_files_and_the_next_one_the_rest(kept: Kept) -> None:
    line = [sys.executable, "-m", "tests.flow.crashing_node", "export-images", kept.study_uid, "--out", str(kept.out)]
    env = {**os.environ, "CRASH_AT": "node.exporting:_copied:after:3"}
    done = subprocess.run([*line, "-c", str(kept.folder / "node.toml")], cwd=ROOT, env=env, timeout=60, check=False)
    assert done.returncode == -9
    assert sorted(name.startswith(".") for name in kept.files()) == [False, False, True]  # its name comes last
    assert all(data_set(file) == data_set(kept.sent[file.stem]) for file in kept.files().values() if file.name[0] != ".")
    assert kept.export() == 0
    assert {name.removesuffix(".dcm") for name in kept.files()} == set(kept.sent)
