"""``ancilla send``: what folders and archives hold is in the store afterwards, whatever else they hold."""

import io
import json
import os
import struct
import zipfile
from pathlib import Path

import pytest
from pydicom.fileset import FileSet

from db.engine import open_store
from db.spool import Spool
from node import sending
from node.__main__ import main
from node.commands.options import now
from tests.ct_series import Series, part10

Capture = pytest.CaptureFixture[str]
TOML = '[node]\ndata_dir = "data"\n[scp]\nreserve_gb = {reserve}\n'


@pytest.fixture
def node(tmp_path: Path) -> Path:
    file = tmp_path / "node.toml"
    file.write_text(TOML.format(reserve=0))
    return file


@pytest.fixture(scope="module")
def images() -> list[bytes]:
    return [part10(ds) for ds in Series(slices=4, size=16).datasets()]


def send(node: Path, capsys: Capture, *sources: Path, code: int = 0) -> dict[str, object]:
    assert main(["send", "--json", "-c", str(node), *map(str, sources)]) == code
    return dict(json.loads(capsys.readouterr().out))


def archive(path: Path, entries: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as target:
        for name, content in entries.items():
            target.writestr(name, content)
    return path


def data_set(content: bytes) -> bytes:
    return content[144 + int.from_bytes(content[140:144], "little") :]


def test_a_folder_is_stored_bit_by_bit_and_what_is_no_image_is_counted(
    node: Path, images: list[bytes], tmp_path: Path, capsys: Capture
) -> None:
    deep = tmp_path / "in" / "a" / "b"
    deep.mkdir(parents=True)
    for number, content in enumerate(images):
        (deep if number % 2 else tmp_path / "in").joinpath(f"{number}").write_bytes(content)
    (deep / "notes.txt").write_text("not an image")
    (deep / "empty").touch()
    os.mkfifo(deep / "pipe")
    (deep / "nowhere").symlink_to("missing")
    said = send(node, capsys, tmp_path / "in")
    assert (said["stored"], said["duplicates"], said["conflicts"], said["refused"]) == (4, 0, 0, [])
    assert (said["not_dicom"], said["studies"], said["node_running"]) == (4, 1, False)
    store, spool = open_store(f"sqlite:///{tmp_path}/data/ancilla.db", now), Spool(tmp_path / "data" / "spool")
    (study,) = store.studies()
    kept = {data_set(bytes(spool.view(one.place))) for one in store.instances(study.study_uid)}
    assert kept == {data_set(content) for content in images}
    rows = list(store.audit())
    assert rows[0].actor.startswith("operator:") and rows[0].actor.endswith("@local")
    assert [row.event for row in rows] == ["association-opened", *["stored"] * 4, "association-closed"]
    assert json.loads(rows[-1].details)["how"] == "released"
    assert str(tmp_path) not in "".join(row.details for row in rows)
    store.close()


def test_sent_again_everything_is_a_duplicate_and_another_copy_is_a_conflict(
    node: Path, images: list[bytes], tmp_path: Path, capsys: Capture
) -> None:
    file = archive(tmp_path / "one.zip", {f"../../{number}": content for number, content in enumerate(images)})
    assert send(node, capsys, file)["stored"] == 4
    assert send(node, capsys, file)["duplicates"] == 4
    changed = archive(tmp_path / "two.zip", {"x": images[0][:-1] + b"!"})
    assert send(node, capsys, changed)["conflicts"] == 1
    assert not list(tmp_path.glob("../[0-9]"))


def test_refused_files_are_named_on_the_screen_and_not_in_the_log(
    node: Path, images: list[bytes], tmp_path: Path, capsys: Capture
) -> None:
    nameless = images[0].replace(b"\x20\x00\x0d\x00UI", b"\x20\x00\x0c\x00UI")  # no Study Instance UID
    file = archive(tmp_path / "in.zip", {"Miller\x1b[31m/1": nameless, "good": images[1]})
    said = send(node, capsys, file, code=1)
    ((refused),) = said["refused"]  # type: ignore[misc]
    assert said["stored"] == 1 and "Study Instance UID" in refused["reason"]  # type: ignore[index]
    assert refused["file"].endswith("in.zip: Miller?[31m/1")  # type: ignore[index]
    store = open_store(f"sqlite:///{tmp_path}/data/ancilla.db", now)
    assert "Miller" not in "".join(row.details + row.actor for row in store.audit())
    assert [row.event for row in store.audit()].count("refused") == 1
    store.close()
    assert main(["send", "-c", str(node), str(file)]) == 1
    out = capsys.readouterr().out
    assert "Miller?[31m/1" in out and "when `ancilla serve` runs" in out


def test_archives_in_archives_are_not_opened_and_those_in_folders_are(
    node: Path, images: list[bytes], tmp_path: Path, capsys: Capture
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    archive(folder / "inner.ZIP", {"1": images[0]})
    archive(folder / "outer.zip", {"inner.zip": (folder / "inner.ZIP").read_bytes(), "2": images[1]}, zipfile.ZIP_STORED)
    said = send(node, capsys, folder)
    assert (said["stored"], said["not_dicom"]) == (2, 1)


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_entry_is_refused_and_the_next_one_stored(
    how: int, node: Path, images: list[bytes], tmp_path: Path, capsys: Capture
) -> None:
    file = archive(tmp_path / "in.zip", {"bad": images[0], "good": images[1]}, how)
    content = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as source:
        middle = source.getinfo("bad").header_offset + 33 + source.getinfo("bad").compress_size * 2 // 3
    content[middle] ^= 0x55
    file.write_bytes(content)
    said = send(node, capsys, file, code=1)
    assert said["stored"] == 1 and [one["file"].rpartition(" ")[2] for one in said["refused"]] == ["bad"]  # type: ignore[attr-defined]


def test_files_that_only_look_like_archives_and_encrypted_entries_are_refused(
    node: Path, images: list[bytes], tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "no.zip").write_bytes(b"PK\x03\x04 nothing behind it")
    locked = archive(tmp_path / "locked.zip", {"1": images[0]})
    content = bytearray(locked.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + at] |= 1
    locked.write_bytes(content)
    said = send(node, capsys, tmp_path / "no.zip", locked, code=1)
    assert [one["reason"] for one in said["refused"]] == ["not a readable .zip file", "encrypted in the archive"]  # type: ignore[attr-defined]


def test_a_bomb_of_zeros_is_not_read_and_one_behind_a_real_header_is_stopped(
    node: Path, images: list[bytes], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_FLOOR", 4_000_000)
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        with target.open("zeros", "w") as out:
            for _ in range(50):
                out.write(bytes(1_000_000))
        with target.open("image", "w") as out:
            out.write(images[0])
            for _ in range(50):
                out.write(bytes(1_000_000))
    said = send(node, capsys, file, code=1)
    assert (said["stored"], said["not_dicom"]) == (0, 1)
    assert [one["reason"] for one in said["refused"]] == ["archive unpacks to more than 100 times its size"]  # type: ignore[attr-defined]
    assert sum(path.stat().st_size for path in (tmp_path / "data" / "spool").rglob("*.pack")) == 0


def test_an_entry_that_lies_about_its_size_is_refused(node: Path, images: list[bytes], tmp_path: Path, capsys: Capture) -> None:
    file = archive(tmp_path / "in.zip", {"liar": images[0]}, zipfile.ZIP_STORED)
    content = bytearray(file.read_bytes())
    at = content.index(b"PK\x01\x02")
    struct.pack_into("<LL", content, at + 20, 10_000_000, 10_000_000)
    file.write_bytes(content)
    said = send(node, capsys, file, code=1)
    assert said["stored"] == 0 and len(said["refused"]) == 1  # type: ignore[arg-type]


def test_a_dicomdir_is_skipped_as_such(node: Path, tmp_path: Path, capsys: Capture) -> None:
    media = FileSet()
    for ds in Series(slices=2, size=16).datasets():
        media.add(ds)
    media.write(tmp_path / "cd")
    assert (tmp_path / "cd" / "DICOMDIR").is_file()
    said = send(node, capsys, tmp_path / "cd")
    assert (said["stored"], said["dicomdir"], said["refused"]) == (2, 1, [])


def test_without_space_the_rest_is_not_tried(images: list[bytes], tmp_path: Path, capsys: Capture) -> None:
    node = tmp_path / "node.toml"
    node.write_text(TOML.format(reserve=999_999))
    file = archive(tmp_path / "in.zip", {str(number): content for number, content in enumerate(images)})
    said = send(node, capsys, file, code=1)
    assert (said["stored"], len(said["refused"]), said["not_tried"]) == (0, 1, 3)  # type: ignore[arg-type]


def test_a_source_that_is_not_there_is_one_sentence(node: Path, tmp_path: Path, capsys: Capture) -> None:
    assert main(["send", "-c", str(node), str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err.endswith("nowhere does not exist\n")


def test_larger_objects_than_allowed_are_refused_without_being_read_to_the_end() -> None:
    class Endless(io.RawIOBase):
        taken = 0

        def read(self, size: int = -1, /) -> bytes:
            content = part10(Series(slices=1, size=16).datasets()[0])
            piece = (content + bytes(size))[self.taken : self.taken + size] if self.taken < 2000 else bytes(size)
            self.taken += len(piece)
            return piece

    from tests.scp.recording_intake import RecordingIntake

    intake, tally, endless = RecordingIntake(), sending.Tally(), Endless()
    sender = sending.Sender(intake, sending.Caller("a", "b", "local"), "association-1", tally, max_object=5_000_000)
    sender._stream(endless, "endless")
    assert [one.reason for one in tally.refused] == ["object is larger than this node takes"] and not tally.full
    assert endless.taken < 10_000_000 and intake.open_writers == 0
