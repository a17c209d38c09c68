"""What a batch is pointed at: archives that are asked over the network, and what cannot be meant."""

import json
from pathlib import Path

import pytest

from domain.errors import ConfigurationError, TransientError
from node import solo
from node.archives import archive_of
from node.batch import Batch, Limits, State
from node.config import parse
from node.solo import Desk
from node.web_archive import WebArchive
from tests import peers
from tests.ct_series import Series, part10
from tests.delivery.test_dicomweb import Handler, says, serving, to
from tests.inference import small_package
from tests.node.configuration import TEXT, settings
from tests.node.test_batch import Clock, Hands, study, uid

NONE = parse({}, Path("node.toml"))


@pytest.mark.peer
def test_an_orthanc_is_answered_by_dicomweb_or_dimse_and_asked_for_images_only_once(tmp_path: Path) -> None:
    small_package.build(tmp_path / "tiny")
    out = tmp_path / "out"
    out.mkdir()
    digest = small_package.package.load(tmp_path / "tiny").digest
    desk = Desk(str(tmp_path / "tiny"), digest, str(out), ("sr",), precision="fp32", threads=1)
    with peers.orthanc(web=True, extra={"DicomAlwaysAllowFind": True, "DicomAlwaysAllowGet": True}) as pacs:
        dimse = settings(tmp_path, TEXT.replace("4242", str(pacs.port)).replace('"PACS"', '"ORTHANC"'))
        for data in (study("a") | study("b") | study("c", slices=2)).values():
            pacs.post("/instances", data)

        def rows(*query: str, source: str = "pacs") -> dict[str, tuple[State, int, bool]]:
            archive = archive_of(source, out, query, dimse)
            list(archive.look())
            found = Batch(archive, Hands(solo.solve), solo.solve, desk, out, Limits(100.0), Clock()).rows()
            return {row.study_uid: (row.state, row.images, row.kept) for row in found}

        web = f"http://127.0.0.1:{pacs.http_port}/dicom-web/"
        assert rows("ModalitiesInStudy=MR") == {} == rows("ModalitiesInStudy=MR", source=web)
        whole = {uid("a"): (State.DONE, 6), uid("b"): (State.DONE, 6), uid("c"): (State.DECLINED, 2)}
        assert rows("ModalitiesInStudy=CT", "StudyDate=20260101", source=web) == {
            name: (*one, False) for name, one in whole.items()
        }
        assert not (out / ".fetched").exists()
        assert rows(source=web) == {name: (*one, True) for name, one in whole.items()}
        assert rows() == {name: (*one, True) for name, one in whole.items()}, "by C-FIND the study is the same"
        extra = Series(slices=7, seed="a").datasets()[6]
        extra.ImagePositionPatient = ["-160", "-160", "30"]
        pacs.post("/instances", part10(extra))
        assert rows()[uid("a")] == (State.DONE, 7, False), "by C-GET"
        assert rows(source=web)[uid("a")] == (State.DONE, 7, True)


def body(files: list[bytes], boundary: bytes = b"x", end: bytes = b"--x--") -> bytes:
    head = b"--" + boundary + b"\r\nContent-Type: application/dicom\r\n\r\n"
    return b"".join(head + data + b"\r\n" for data in files) + end


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ('multipart/related; type="application/dicom"; boundary=x', body([b"one"], end=b""), "ends before its closing delimiter"),
        ("application/dicom", b"DICM", "the boundary is missing"),
    ],
)
def test_a_study_that_breaks_off_is_not_taken_for_a_whole_one(tmp_path: Path, kind: str, data: bytes, words: str) -> None:
    with serving(says(200, data, **{"Content-Type": kind})) as server:
        archive = WebArchive(to(f"http://127.0.0.1:{server.port}"))
        with pytest.raises(TransientError, match=words):
            archive.fetch("1.2", tmp_path)


def test_parts_become_files_under_numbers(tmp_path: Path) -> None:
    files = [b"a" * 300_000, b"", b"\r\n--not a delimiter"]
    kind = 'multipart/related; type="application/dicom"; boundary=x'
    with serving(says(200, body(files), **{"Content-Type": kind})) as server:
        found = WebArchive(to(f"http://127.0.0.1:{server.port}")).fetch("1.2", tmp_path)
    assert [path.name for path in found] == ["000000.dcm", "000001.dcm", "000002.dcm"]
    assert [path.read_bytes() for path in found] == files


@pytest.mark.parametrize(("status", "sent", "whole"), [(200, 3, True), (206, 3, True), (200, 2, False), (206, 2, False)])
def test_a_study_with_less_than_the_archive_lists_is_not_taken_for_a_whole_one(
    tmp_path: Path, status: int, sent: int, whole: bool
) -> None:
    kind = 'multipart/related; type="application/dicom"; boundary=x'
    listed = json.dumps([{"00080018": {"Value": [f"1.2.{n}"]}} for n in range(3)]).encode()

    def answer(request: Handler) -> None:
        if "/instances" in request.path:
            says(200, listed)(request)
        else:
            says(status, body([b"one"] * sent), **{"Content-Type": kind})(request)

    with serving(answer) as server:
        archive = WebArchive(to(f"http://127.0.0.1:{server.port}"))
        assert archive.mark("1.2")
        if whole:
            assert len(archive.fetch("1.2", tmp_path)) == 3
        else:
            with pytest.raises(TransientError, match="gave back 2 of 3 instances"):
                archive.fetch("1.2", tmp_path)


def test_partial_content_of_a_study_that_nobody_listed_is_not_a_whole_one(tmp_path: Path) -> None:
    kind = 'multipart/related; type="application/dicom"; boundary=x'
    partial = says(206, body([b"one"]), **{"Content-Type": kind})
    with serving(partial) as server, pytest.raises(TransientError, match="gave back 1 of more instances"):
        WebArchive(to(f"http://127.0.0.1:{server.port}")).fetch("1.2", tmp_path)


def test_a_destination_of_the_configuration_is_asked_with_its_own_secret(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    seen: list[str] = []

    def answer(request: Handler) -> None:
        seen.append(request.headers["Authorization"])
        says(204)(request)

    with serving(answer) as server:
        text = f'url = "http://127.0.0.1:{server.port}"\ntoken_file = "token"\nkind = "dicomweb"\n'
        plain = 'host = "127.0.0.1"\nport = 4242\nae_title = "PACS"\n'
        archive = archive_of("pacs", tmp_path, [], settings(tmp_path, TEXT.replace(plain, text)))
        assert list(archive.look()) == []
    assert seen == ["Bearer s3cret"]


@pytest.mark.parametrize(
    ("source", "query", "words"),
    [
        (".", ["StudyDate=2025"], "--query needs an archive"),
        ("nowhere", [], "is neither a folder"),
        ("ftp://pacs", [], "is no DICOMweb service"),
        ("https://me:pw@pacs/web", [], "password_file"),
        ("https://pacs/web?limit=1", [], "use --query"),
        ("https://pacs/web", ["StudyDate"], "write it as StudyDate=20250101-20250131"),
        ("https://pacs/web", ["StudyDat=2025"], 'did you mean "StudyDate"'),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_sentence(tmp_path: Path, source: str, query: list[str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        archive_of(source, tmp_path, query, NONE)
    assert "pw" not in str(caught.value).replace("password", "")
