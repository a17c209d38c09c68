"""Folders as people keep them, archives that mean harm, and the throw-away PACS."""

import zipfile
from pathlib import Path

import pytest

from domain.errors import PermanentError, UnnameableError
from domain.instances import Caller, Header, Receipt
from node.files import find, unzip
from node.folder_pacs import FolderIntake
from scp.part10 import split
from tests.ct_series import Series, part10

CALLER = Caller("NODE", "PACS", "127.0.0.1")


def test_dicom_files_are_found_in_any_depth_and_others_are_counted(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    for number, ds in enumerate(Series(slices=3, size=8).datasets()):
        (deep / f"IM{number}").write_bytes(part10(ds))
    (tmp_path / "again.dcm").write_bytes((deep / "IM0").read_bytes())
    (tmp_path / "readme.txt").write_text("no image")
    (tmp_path / "empty").touch()
    other = Series(slices=1, size=8, seed="other").datasets()[0]
    (tmp_path / "other.dcm").write_bytes(part10(other))

    found = find([tmp_path])
    assert found.skipped == 2
    studies = found.by_study()
    assert sorted(len(files) for files in studies.values()) == [1, 3]
    assert len(studies[str(other.StudyInstanceUID)]) == 1


def test_a_digest_covers_the_data_set_and_not_the_file_meta_information(tmp_path: Path) -> None:
    ds = Series(slices=1, size=8).datasets()[0]
    (tmp_path / "a").write_bytes(part10(ds))
    ds.file_meta.SourceApplicationEntityTitle = "OTHER"
    (tmp_path / "b").write_bytes(part10(ds))
    first, second = find([tmp_path]).files
    assert first.path.read_bytes() != second.path.read_bytes()
    assert first.digest == second.digest


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="nowhere does not exist"):
        find([tmp_path / "nowhere"])


def test_names_in_an_archive_never_become_paths(tmp_path: Path) -> None:
    archive, folder = tmp_path / "a.zip", tmp_path / "out"
    folder.mkdir()
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("../../evil.dcm", b"1")
        target.writestr("deep/x", b"2")
        target.writestr("/etc/y.dcm", b"3")
    unzip(archive, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"00000.dcm": b"1", "00001": b"2", "00002.dcm": b"3"}
    assert not (tmp_path.parent / "evil.dcm").exists()


def test_a_broken_archive_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK no")
    with pytest.raises(PermanentError, match="not a readable"):
        unzip(tmp_path / "a.zip", tmp_path)


def test_the_throw_away_pacs_keeps_whole_files_only(tmp_path: Path) -> None:
    data = part10(Series(slices=1, size=8).datasets()[0])
    syntax, data_set = split(data)
    meta = data[: len(data) - len(data_set)]
    header = Header("1.2.840.10008.5.1.4.1.1.2", "1.2.3", syntax, "1.2", "1.2.1")
    pacs = FolderIntake(tmp_path / "pacs")
    association = pacs.opened(CALLER)
    lost = pacs.writer(association, CALLER, header, meta)
    lost.write(data_set[:10])
    lost.discard()
    assert list((tmp_path / "pacs").iterdir()) == []
    for receipt in (Receipt.STORED, Receipt.DUPLICATE):
        writer = pacs.writer(association, CALLER, header, meta)
        writer.write(data_set)
        assert writer.commit() is receipt
    assert [path.name for path in (tmp_path / "pacs").iterdir()] == ["1.2.3.dcm"]
    assert (tmp_path / "pacs" / "1.2.3.dcm").read_bytes() == data


def test_the_throw_away_pacs_takes_no_path_for_a_uid(tmp_path: Path) -> None:
    header = Header("1.2", "../1.2", "1.2.840.10008.1.2.1", "1.2", "1.2.1")
    with pytest.raises(UnnameableError):
        FolderIntake(tmp_path).writer("a", CALLER, header, b"")
